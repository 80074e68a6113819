"""The funnel: each offer in one column, and a statement that notices when one is not."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import funnel
from proxy.funnel import Completeness, Counts, Line, Wanted, wilson
from tests.core.conftest import (
    DAY,
    DELIVERED,
    HOUR,
    REFUSED,
    START,
    Register,
    a_message,
)
from tests.core.test_audit import orphan, tamper

FIRST = date(2027, 1, 15)  # START is 08:00 UTC of it


def counted(register: Register, wanted: Wanted | None = None) -> tuple[Counts, Completeness]:
    """Return the counts of one moment and what is said of them."""
    wanted = wanted or Wanted()
    with register.database.snapshot() as connection:
        counts = funnel.total(connection, wanted)
        return counts, funnel.completeness(connection, wanted, counts)


def lines(register: Register, *by: str, **only: date) -> list[Line]:
    """Return the lines by these words."""
    with register.database.snapshot() as connection:
        return list(funnel.lines(connection, Wanted(by=by, **only)))  # type: ignore[arg-type]


def live(register: Register) -> None:
    """Lead one offer to every column that time and answers can lead to."""
    register.intake.know(partner="ACME", upstream="now", offer="undecided")
    register.accept("accepted")
    register.accept("none", purchased=True, order="ORDER-1")
    register.clock.pass_ms(1)
    register.decline("none")
    register.decline("gone", upstream="purchase")
    register.clock.pass_ms(DAY + 1)
    register.outbox.tick()
    register.decline("told")
    register.attempt(DELIVERED)
    register.decline("refused")
    register.attempt(REFUSED)
    register.decline("held", upstream="purchase")
    register.decline("on its way")
    register.claim_one()
    register.decline("due", late=True)


def test_every_column_counts_its_own(register: Register) -> None:
    """One offer was led to each; none is counted twice."""
    live(register)

    counts, complete = counted(register)

    assert counts == Counts(
        undecided=1, accepted=1, none=1, held=1, due=1, sending=1, delivered=1, dead=1, abandoned=1,
        purchased=1, late=1, conflict=1,
    )  # fmt: skip
    assert (counts.shown, counts.declined) == (9, 7)
    assert complete.holds, complete.sentence


def test_a_changed_mind_is_one_offer(register: Register) -> None:
    """Declined, accepted, declined again in three tabs: shown once, declined once."""
    register.decline()
    register.accept()
    register.clock.pass_ms(1)
    register.decline()

    counts, complete = counted(register)

    assert (counts.shown, counts.declined, counts.accepted) == (1, 1, 0)
    assert complete.holds


def test_an_implied_decline_is_declined_and_marked(register: Register) -> None:
    """No answer is on record for it, and the statement knows that none is due."""
    asked = a_message("silent", None, upstream="implying", purchased=True, order="ORDER-1")
    register.intake.record(asked)
    register.clock.pass_ms(DAY + 1)
    register.outbox.tick()

    counts, complete = counted(register)

    assert (counts.due, counts.implicit, complete.answered) == (1, 1, 0)
    assert complete.holds, complete.sentence


def test_an_offer_belongs_to_the_day_of_its_first_record(register: Register) -> None:
    """Midnight in UTC parts the days; what is said later moves nothing."""
    register.clock.now = START - 8 * HOUR - 1
    register.decline("before midnight")
    register.clock.now = START - 8 * HOUR
    register.decline("at midnight")
    register.clock.pass_ms(3 * DAY)
    register.accept("before midnight")

    by_day = {line.key[0]: line.counts.shown for line in lines(register, "day")}

    assert by_day == {"2027-01-14": 1, "2027-01-15": 1}
    assert [line.key for line in lines(register, "day", first=FIRST)] == [("2027-01-15",)]
    assert [line.key for line in lines(register, "day", last=FIRST)] == [
        ("2027-01-14",),
        ("2027-01-15",),
    ]


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        (("week",), {("2027-W02",), ("2027-W03",)}),
        (("month",), {("2027-01",)}),
        (("upstream",), {("now",), ("settling",)}),
        (("product",), {("",), ("luggage",)}),
        (("upstream", "day"), {("now", "2027-01-15"), ("settling", "2027-01-20")}),
        ((), {()}),
    ],
)
def test_lines_are_made_by_what_is_asked(
    register: Register, by: tuple[str, ...], keys: set[tuple[str, ...]]
) -> None:
    """In the order of the words; a week is ISO 8601's; together they are the whole."""
    register.decline("first")
    register.clock.pass_ms(5 * DAY)
    register.decline("second", upstream="settling", metadata={"product": "luggage"})

    found = lines(register, *by)

    assert {line.key for line in found} == keys
    assert sum(line.counts.shown for line in found) == 2


def test_another_partners_offers_are_not_counted(register: Register) -> None:
    """Neither in the columns nor in what they are compared with."""
    register.decline("ours")
    register.decline("theirs", partner="OTHER")

    counts, complete = counted(register, Wanted(partner="OTHER"))

    assert (counts.shown, complete.offers, complete.acknowledged) == (1, 1, 1)


def test_nothing_is_complete_too(register: Register) -> None:
    """An empty register has no conversion and no interval."""
    counts, complete = counted(register)

    assert (counts.shown, counts.conversion, counts.interval) == (0, None, None)
    assert complete.sentence.startswith("Complete: neither")


SPOILT = {
    "UPDATE offers SET choice = 'whatever' WHERE offer = 'told'": (
        "offers that stand in no column: 1, the first: told of ACME (whatever, report delivered)"
    ),
    "UPDATE offers SET report = 'none' WHERE offer = 'told'": (
        "offers that stand in no column: 1, the first: told of ACME (declined, report none)"
    ),
    "UPDATE offers SET choice = 'undecided' WHERE offer = 'told'": (
        "offers with an answer in the ledger: 2, counted as answered: 1"
    ),
    "UPDATE offers SET report = 'cancelled' WHERE offer = 'told'": (
        "declined offers at cancelled, where none should be: 1"
    ),
    "UPDATE offers SET created_at = created_at - 86400000 WHERE offer = 'told'": (
        "ACME on 2027-01-14: 0 first records in the ledger, 1 in the register; "
        "ACME on 2027-01-15: 2 first records in the ledger, 1 in the register"
    ),
    "UPDATE offers SET partner = 'OTHER' WHERE offer = 'told'": (
        "OTHER on 2027-01-15: 0 first records in the ledger, 1 in the register"
    ),
    "DELETE FROM facts WHERE said = 'accepted'": (
        "ACME on 2027-01-15: 1 first records in the ledger, 2 in the register"
    ),
}


@pytest.mark.parametrize(("statement", "said"), SPOILT.items())
def test_what_is_not_complete_is_named(register: Register, statement: str, said: str) -> None:
    """Whoever changes rows behind the register's back changes one side only."""
    register.decline("told")
    register.attempt(DELIVERED)
    register.accept("other")
    tamper(register, statement)

    _, complete = counted(register)

    assert not complete.holds
    assert said in complete.sentence


def test_a_hidden_offer_is_missed(register: Register) -> None:
    """The ledger knows of an offer whose row is gone."""
    register.decline("told")
    register.accept("other")
    orphan(register, register.find("told").id)

    _, complete = counted(register)

    assert "2 first records in the ledger, 1 in the register" in complete.sentence


def test_a_snapshot_sees_no_offer_that_comes_meanwhile(register: Register) -> None:
    """Both sides of the comparison are of one moment."""
    register.decline("first")
    with register.database.snapshot() as connection:
        counts = funnel.total(connection, Wanted())
        register.decline("second")

        complete = funnel.completeness(connection, Wanted(), counts)

    assert (complete.offers, complete.acknowledged, complete.holds) == (1, 1, True)


# R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
# Medicine 17 (1998), 857-872, table I, method 3.
NEWCOMBE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0, 0.1611),
    (1, 29): (0.0061, 0.1718),
}


@pytest.mark.parametrize(("seen", "interval"), NEWCOMBE.items())
def test_the_interval_is_wilsons(seen: tuple[int, int], interval: tuple[float, float]) -> None:
    """The published examples, to their four places."""
    found = wilson(*seen)

    assert found is not None
    assert tuple(round(end, 4) for end in found) == interval


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_the_interval_holds_the_share(of: int, part: float) -> None:
    """It never leaves 0 to 1, and mirrors when accepted and declined change places."""
    hits = round(part * of)
    interval, mirrored = wilson(hits, of), wilson(of - hits, of)

    assert interval
    assert mirrored
    assert 0 <= interval[0] <= hits / of <= interval[1] <= 1
    assert interval[0] == pytest.approx(1 - mirrored[1], abs=1e-9)


def test_every_column_has_its_meaning() -> None:
    """A reader finds each heading among the definitions, and no other word."""
    headings = {"shown", "declined", "conversion", "95 % interval", *Counts._fields}

    assert set(funnel.MEANINGS) == headings
    assert Counter([*funnel.REPORTS, *funnel.MARKS, "undecided", "accepted"]) == Counter(
        Counts._fields
    )
