"""Erasure: no byte of the customer is left, and everything else is as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy import audit
from proxy.choices import Report
from proxy.conflicts import Conflicts
from proxy.control import Control, ask
from proxy.dead_letters import DeadLetters
from proxy.deliveries import story
from proxy.erasure import Erased, Erasures, matching
from proxy.ledger import Ledger
from proxy.upstreams import APIS
from tests.core.conftest import DELIVERED, REFUSED, TIMED_OUT, UNREACHED, Clock, Register
from tests.evidence.filled import KEY

# Letters that JSON and URLs write in another way.
NAME, MAIL, ORDER = "Zoë Quälgeist-Ångström", "zoe+canary@müller.example", "ORDER/Käse 4711"
METADATA = {"product": "event-ticket", "name": NAME, "mail": MAIL}


@pytest.fixture
def erasures(register: Register) -> Erasures:
    """What erases, on the register of the test."""
    return Erasures(register.database, Ledger(KEY))


def decline(register: Register, offer: str = "offer-1") -> None:
    """Record a decline with everything personal that there can be."""
    register.decline(offer, metadata=METADATA, purchased=True, order=ORDER)


def waits(register: Register) -> None:
    """Due, its body frozen: an attempt did not reach the insurer."""
    decline(register)
    register.attempt(UNREACHED)


def died(register: Register) -> None:
    """Refused by the insurer."""
    decline(register)
    register.attempt(REFUSED)


def delivered(register: Register) -> None:
    """Only the order is left of the customer."""
    decline(register)
    register.attempt(DELIVERED)


def only_known(register: Register) -> None:
    """Nothing was answered."""
    register.intake.know(partner="ACME", upstream="now", offer="offer-1", metadata=METADATA)


MAKES = [waits, died, delivered, only_known]


@pytest.mark.parametrize("make", MAKES)
def test_nothing_but_personal_data_changes(
    register: Register, erasures: Erasures, make: Callable[[Register], None]
) -> None:
    """Choice, report and evidence stay, one fact is added, and the audit finds nothing wrong."""
    make(register)
    before = register.find()

    came = erasures.erase([before.id])

    after = register.find()
    assert came == ([Erased.ERASED], True)
    assert (after.choice, after.report, after.epoch) == (before.choice, before.report, before.epoch)
    assert (after.due_at, after.product, after.purchased) == (
        before.due_at,
        "event-ticket",
        before.purchased,
    )
    assert (after.order_reference, after.customer, after.body) == (None, None, None)
    assert json.loads(after.metadata).keys() <= {"product"}
    with register.database.snapshot() as connection:
        told = story(connection, before.id)
        assert list(audit.verify(connection, Ledger(KEY))) == []
    assert told is not None
    assert (told[1][-1]["kind"], told[1][-1]["source"]) == ("offer.erased", "operator")


def test_what_is_still_to_be_reported_goes_without(register: Register, erasures: Erasures) -> None:
    """With the product only, under the same key."""
    waits(register)
    erasures.erase([register.find().id])
    register.clock.pass_ms(3_600_000)

    delivery = register.attempt(DELIVERED)

    assert APIS["xcover-offers"].body == "metadata"
    assert json.loads(delivery.body) == {"partner_metadata": {"product": "event-ticket"}}
    assert (delivery.epoch, register.find().report) == (1, Report.DELIVERED)


def test_what_is_under_way_is_not_erased(register: Register, erasures: Erasures) -> None:
    """Its body must be the same if it has to be sent again; a minute later it can be."""
    decline(register)
    delivery = register.claim_one()
    before = register.find()

    assert erasures.erase([before.id])[0] == [Erased.SENDING]
    assert register.find() == before

    register.outbox.finish(delivery, register.bucket, DELIVERED)
    assert erasures.erase([before.id])[0] == [Erased.ERASED]


def test_what_may_be_repeated_keeps_its_body(register: Register, erasures: Erasures) -> None:
    """The insurer may know the key already, with that body; after 47 h nobody repeats it."""
    decline(register)
    first = register.attempt(TIMED_OUT)
    before = register.find()

    assert erasures.erase([before.id])[0] == [Erased.UNANSWERED]
    assert register.find() == before
    register.clock.pass_ms(3_600_000)
    again = register.attempt(TIMED_OUT)
    assert (again.body, again.epoch) == (first.body, first.epoch)

    register.clock.pass_ms(47 * 3_600_000)
    assert erasures.erase([before.id])[0] == [Erased.ERASED]


def test_twice_is_once(register: Register, erasures: Erasures) -> None:
    """The second time, and in the same call, nothing is written down."""
    decline(register)
    row = register.find().id

    came, _ = erasures.erase([row, row, 4711])

    assert came == [Erased.ERASED, Erased.NOTHING, Erased.UNKNOWN]
    assert erasures.erase([row])[0] == [Erased.NOTHING]
    assert register.find().facts == 2


@pytest.mark.parametrize("row", [0, -1, 2**63])
def test_an_id_that_can_not_be_is_refused(erasures: Erasures, row: int) -> None:
    """It would stand for an error of the database."""
    with pytest.raises(ValueError, match="positive"):
        erasures.erase([row])


WANTED: list[tuple[dict[str, str], list[str]]] = [
    ({"offer": "one"}, ["now", "settling"]),
    ({"offer": "one", "upstream": "settling"}, ["settling"]),
    ({"order": "ORDER-1"}, ["now", "now"]),
    ({"order": "ORDER-2"}, ["settling"]),
    ({"order": "ORDER"}, []),
]


@pytest.mark.parametrize(("wanted", "upstreams"), WANTED)
def test_offers_are_found_by_id_or_by_order(
    register: Register, wanted: dict[str, str], upstreams: list[str]
) -> None:
    """Only that partner's."""
    register.decline("one", purchased=True, order="ORDER-1")
    register.decline("two", purchased=True, order="ORDER-1")
    register.decline("one", upstream="settling", purchased=True, order="ORDER-2")

    with register.database.read() as connection:
        found = matching(connection, "ACME", **wanted)
        assert matching(connection, "OTHER", **wanted) == []

    assert [one.upstream for one in found] == upstreams


# -- through the running service --------------------------------------------------------------


@pytest.fixture
def control(register: Register, erasures: Erasures, tmp_path: Path) -> Control:
    """Who answers commands."""
    ledger, database = Ledger(KEY), register.database
    return Control(
        tmp_path / "sock",
        dead_letters=DeadLetters(database, ledger),
        conflicts=Conflicts(database, ledger),
        intake=register.intake,
        erasures=erasures,
    )


def answer(control: Control, tmp_path: Path, **asked: Any) -> dict[str, Any] | None:
    """Ask over the socket."""
    control.start()
    try:
        return ask(tmp_path / "sock", {"command": "erase", **asked})
    finally:
        control.stop()


def test_the_service_erases_when_asked(
    register: Register, control: Control, tmp_path: Path, clock: Clock
) -> None:
    """It holds the only writer."""
    decline(register)
    clock.pass_ms(1)

    told = answer(control, tmp_path, rows=[register.find().id])

    assert told == {"came": ["erased"], "emptied": True}
    assert register.find().order_reference is None


@pytest.mark.parametrize("asked", [{}, {"rows": 1}, {"rows": [0]}, {"rows": ["a"]}])
def test_the_service_takes_no_less_than_the_command(
    control: Control, tmp_path: Path, asked: dict[str, object]
) -> None:
    """Whoever speaks there by hand is refused as well, and answered."""
    assert answer(control, tmp_path, **asked) == {"error": "that is not a command"}
