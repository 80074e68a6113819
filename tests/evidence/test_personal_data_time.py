"""Personal data whose time is up: at each end of a report, and where none will come."""

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import audit
from proxy.database import Database
from proxy.erasure import Erasures
from proxy.ledger import Ledger
from tests.core.conftest import DAY, DELIVERED, REFUSED, Clock, a_message
from tests.evidence import canary
from tests.evidence.filled import KEY
from tests.evidence.personal import JANE, MARK, SEARCHED, WITH, Personal, started


@pytest.fixture
def register(database: Database, clock: Clock, tmp_path: Path) -> Personal:
    """The register of a process that has just started."""
    return started(database, clock, tmp_path / "weekly")


@pytest.fixture
def erasures(database: Database) -> Erasures:
    """What erases, on the register of the test."""
    return Erasures(database, Ledger(KEY))


def patience(_partner: str, _upstream: str) -> int:
    """Return how long a report may still come: ttl, late and hold."""
    return 3 * DAY


def dies(register: Personal) -> int:
    """Refused: kept for a requeue."""
    register.decline(metadata=canary.metadata(MARK), **WITH)
    register.attempt(REFUSED)
    return 7 * DAY


def only_shown(register: Personal) -> int:
    """Never answered."""
    register.intake.know(
        partner="ACME",
        upstream="purchase",
        offer="offer-1",
        metadata=canary.metadata(MARK),
        customer=JANE,
    )
    return 3 * DAY


@pytest.mark.parametrize("make", [dies, only_shown])
def test_what_is_not_reported_any_more_is_forgotten_in_time(
    register: Personal, erasures: Erasures, tmp_path: Path, make: Callable[[Personal], int]
) -> None:
    """Not a millisecond before; its choice, its report and its facts stay."""
    span = make(register)
    before = register.row()
    register.clock.pass_ms(span - 1)
    assert erasures.forget_old(patience) == 0
    assert register.row() == before
    register.clock.pass_ms(1)

    assert erasures.forget_old(patience) == 1
    assert erasures.empty_log()

    gone = {"customer": None, "customer_key": None, "body": None, "metadata": "{}"}
    assert register.row() == before | gone
    assert erasures.forget_old(patience) == 0
    if register.database.is_sqlite:
        searched = [*SEARCHED, *canary.texts(canary.metadata(MARK))]
        assert canary.left(tmp_path, searched) == set()
    with register.database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY))) == []


def test_a_forgotten_dead_letter_is_requeued_without_it(
    register: Personal, erasures: Erasures
) -> None:
    """It is still reported, under a new key."""
    dies(register)
    register.clock.pass_ms(7 * DAY)
    erasures.forget_old(patience)
    assert register.dead_letters.requeue(register.find().id)

    assert register.attempt(DELIVERED).body == "{}"


@pytest.mark.parametrize("upstream", ["now", "purchase", "implying"])
def test_what_may_still_be_reported_keeps_it(
    register: Personal, erasures: Erasures, upstream: str
) -> None:
    """Due, held, or bought and soon implied."""
    choice = None if upstream == "implying" else "declined"
    said = a_message(
        upstream=upstream, choice=choice, purchased=upstream == "implying", customer=JANE
    )
    register.intake.record(said)
    register.clock.pass_ms(400 * DAY)

    assert erasures.forget_old(patience) == 0
    assert register.row()["customer"] is not None


def test_many_old_rows_are_forgotten_page_by_page(register: Personal, erasures: Erasures) -> None:
    """More than go in one commit."""
    messages = [
        a_message(f"offer-{number}", choice="undecided", metadata={"seat": number})
        for number in range(1_201)
    ]
    register.intake.record_all(messages)
    register.clock.pass_ms(3 * DAY)

    assert erasures.forget_old(patience) == 1_201


def accepted(register: Personal) -> None:
    """The customer wants it after all."""
    register.accept(upstream="purchase")


def abandoned(register: Personal) -> None:
    """The purchase never came."""
    register.clock.pass_ms(2 * DAY)
    register.outbox.tick()


def erased(register: Personal) -> None:
    """A person asked for it."""
    Erasures(register.database, Ledger(KEY)).erase([register.row()["id"]])


@pytest.mark.parametrize("end", [accepted, abandoned, erased])
def test_the_row_forgets_the_customer_at_each_end(
    register: Personal, end: Callable[[Personal], None]
) -> None:
    """In the transaction that ends it."""
    register.decline(upstream="purchase", metadata={"guest": MARK}, **WITH)
    end(register)
    row = register.row()

    assert (row["customer"], row["customer_key"], row["metadata"]) == (None, None, "{}")
