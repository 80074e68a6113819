"""What a round of claims costs follows what is due, not what the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from proxy.leases import Lane, Taken, Wanted
from proxy.upstreams import APIS
from proxy.waiting import first_due
from tests.core.conftest import START, Register


def _lanes(register: Register, others: int) -> list[Lane]:
    """Return the test's own lane, and *others* of upstreams with nothing to report."""
    apis = [{("ACME", f"other-{number}"): APIS["xcover-offers"]} for number in range(others)]
    return [
        register.lane(),
        *(Lane(bucket=f"bucket-of-{n}", rate=0.0, apis=api) for n, api in enumerate(apis)),
    ]


def _claim(register: Register, others: int) -> Taken:
    return register.outbox.claim(Wanted(lanes=_lanes(register, others), free=10, lease_ms=30_000))


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Collect every statement that is executed meanwhile."""
    told: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        told.append(statement)

    listen(Engine, "before_cursor_execute", note)
    try:
        yield told
    finally:
        remove(Engine, "before_cursor_execute", note)


def test_each_upstream_is_found_with_its_first_due_time(register: Register) -> None:
    """Upstreams with nothing due are not among them."""
    register.decline("offer-1", upstream="now")
    register.clock.pass_ms(50)
    register.decline("offer-2", upstream="now")
    register.decline("offer-3", upstream="settling")
    register.accept("offer-4", upstream="now")

    with register.database.read() as connection:
        found = first_due(connection)

    assert found == {("ACME", "now"): START, ("ACME", "settling"): START + 50 + 5_000}


def test_an_empty_register_has_nothing_due(register: Register) -> None:
    """Not even an upstream without a name."""
    with register.database.read() as connection:
        assert first_due(connection) == {}


@pytest.mark.parametrize("due", [0, 1])
def test_a_round_asks_nothing_of_who_has_nothing_due(register: Register, due: int) -> None:
    """With 300 further credentials it makes as many statements as with one."""
    counts = []
    for others in (1, 300):
        if due:
            register.decline(f"offer-of-{others}")
            _claim(register, others)  # makes what buckets are missing
            register.decline(f"again-of-{others}")
        with _counted() as told:
            taken = _claim(register, others)
        assert len(taken.deliveries) == due
        counts.append(len(told))

    assert counts[0] == counts[1]


def test_the_next_look_is_at_what_is_due_first_anywhere(register: Register) -> None:
    """Also of an upstream whose bucket this round had no reason to look at."""
    register.decline("offer-1", upstream="settling")

    assert _claim(register, 1).next_at == START + 5_000
