"""Retention: what is past it goes, whole blocks at a time, and the record still verifies."""

from random import Random
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.event import listen, remove

from proxy import audit, funnel, removals, seals
from proxy.retention import Purged, would
from proxy.schema import idempotency_keys, open_tokens
from tests.core.conftest import DAY, DELIVERED, REFUSED, Clock, Register, a_message
from tests.evidence.sealed import KEPT, Record


def test_what_is_past_its_retention_goes(record: Record, clock: Clock) -> None:
    """The offers, their facts, and nothing else; the blocks stay and say so."""
    record.decline("old-1", "old-2")
    sealed_at = clock.now
    clock.pass_ms(29 * DAY)
    record.decline("young")
    assert record.purge() == []
    clock.pass_ms(DAY + 1)

    with record.register.database.read() as connection:
        kept = [seals.newest(connection, "ACME"), seals.find(connection, "ACME", 1)]
    went = Purged(partner="ACME", blocks=1, facts=6, offers=2, until=sealed_at)
    assert list(would(record.register.database, KEPT)) == [went]
    assert record.purge() == [went]
    assert record.purge() == []
    assert (record.names(), record.count()) == (["young"], 3)
    assert record.wrong() == []
    with record.register.database.snapshot() as connection:
        assert list(audit.verify_kept(connection, [one for one in kept if one])) == []
        counted = audit.Tally()
        list(audit.verify_blocks(connection, record.signer.public_keys(), counted))
    assert counted == audit.Tally(blocks=2, sealed=3, removed=6, newer=0)


def test_an_offer_that_was_touched_later_stays(
    record: Record, register: Register, clock: Clock
) -> None:
    """Its first facts go with their block; it has what it had, and goes with its last fact."""
    register.decline("first", purchased=True, order="ORDER-1")
    register.attempt(DELIVERED)
    record.sealer.seal()
    clock.pass_ms(20 * DAY)
    register.accept("first")
    record.sealer.seal()
    clock.pass_ms(11 * DAY)
    record.decline("second")

    assert [(one.facts, one.offers) for one in record.purge()] == [(3, 0)]
    assert (register.find("first").order_reference, register.find("first").facts) == ("ORDER-1", 4)
    assert record.wrong() == []

    clock.pass_ms(30 * DAY + 1)
    record.decline("third")
    assert [(one.facts, one.offers) for one in record.purge()] == [(4, 2)]
    assert record.names() == ["third"]
    assert record.wrong() == []


def test_what_an_old_offer_told_of_a_person_goes_first(
    record: Record, register: Register, clock: Clock
) -> None:
    """Where its block is held by another offer, the row stays without its personal data."""
    register.decline("old", purchased=True, order="ORDER-1", metadata={"seat": "12A"})
    record.sealer.seal()
    register.attempt(DELIVERED)
    register.decline("waiting", upstream="settling")
    record.sealer.seal()
    clock.pass_ms(31 * DAY)
    record.decline("newest", ends=False)

    assert [(one.facts, one.offers) for one in record.purge()] == [(1, 0)]
    assert record.names() == ["old", "waiting", "newest"]
    old = register.find("old")
    assert (old.order_reference, old.metadata, old.facts) == (None, "{}", 3)
    assert record.wrong() == []


def test_a_row_with_nothing_personal_is_left_alone(
    record: Record, register: Register, clock: Clock
) -> None:
    """Each block of its offer that goes would write it anew otherwise."""
    register.accept("old")
    record.sealer.seal()
    register.accept("old")
    register.decline("waiting", upstream="settling")
    record.sealer.seal()
    clock.pass_ms(31 * DAY)
    record.decline("newest", ends=False)
    written: list[int] = []

    def note(*event: Any) -> None:
        if event[2].startswith("UPDATE offers"):
            written.append(event[1].rowcount)

    listen(Engine, "after_cursor_execute", note)
    try:
        assert [(one.facts, one.offers) for one in record.purge()] == [(1, 0)]
    finally:
        remove(Engine, "after_cursor_execute", note)
    assert written == [0]


@pytest.mark.parametrize("upstream", ["settling", "purchase", "implying"])
def test_what_is_on_its_way_stays(record: Record, clock: Clock, upstream: str) -> None:
    """A report that is due or held, and an offer that may yet count as declined."""
    choice = "undecided" if upstream == "implying" else "declined"
    said = a_message("waiting", choice, upstream=upstream, purchased=upstream == "implying")
    record.register.intake.record(said)
    record.sealer.seal()
    clock.pass_ms(40 * DAY)
    record.decline("newest", ends=False)

    assert record.purge() == []
    assert "waiting" in record.names()


def test_what_nobody_settled_goes_and_is_counted(
    record: Record, register: Register, clock: Clock
) -> None:
    """A dead letter and a conflict are told to a person for as long as the retention is."""
    register.decline("dead")
    register.attempt(REFUSED)
    register.decline("conflict")
    register.attempt(DELIVERED)
    register.accept("conflict")
    record.sealer.seal()
    clock.pass_ms(8 * DAY)
    register.outbox.tick()
    clock.pass_ms(31 * DAY)
    record.decline("newest")

    assert [one.unsettled for one in record.purge()] == [2]


def test_the_newest_block_stays(record: Record, clock: Clock) -> None:
    """The ids of facts go on from there: a block would never hold what came before it."""
    record.decline("only")
    clock.pass_ms(400 * DAY)

    assert record.purge() == []
    record.decline("next")
    assert [one.facts for one in record.purge()] == [3]
    assert record.wrong() == []


def test_an_offer_may_come_back(record: Record, clock: Clock) -> None:
    """What is said of it after the removal begins a new line."""
    record.decline("offer-1")
    clock.pass_ms(31 * DAY)
    record.decline("newest")
    record.purge()
    record.register.decline("offer-1")
    record.sealer.seal()

    assert record.register.find("offer-1").facts == 1
    assert record.wrong() == []


def test_partners_keep_what_they_say(record: Record, register: Register, clock: Clock) -> None:
    """One with another retention keeps its own, also between the facts of the first."""
    register.decline("ours")
    register.attempt(DELIVERED)
    register.decline("theirs", partner="OTHER")
    register.decline("also-ours")
    register.attempt(DELIVERED)
    record.sealer.seal()
    clock.pass_ms(31 * DAY)
    record.decline("newest")

    assert [one.partner for one in record.purge()] == ["ACME"]
    assert record.names() == ["theirs", "newest"]
    assert record.wrong() == []


# -- all of it together -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_record_holds(record: Record, clock: Clock, seed: int) -> None:
    """Random weeks of choices, deliveries, seals and purges: nothing young goes, all verifies."""
    dice = Random(seed)
    touched: dict[str, int] = {}
    for step in range(90):
        name = f"offer-{dice.randrange(step + 1)}"
        if name not in touched or name in record.names():
            touched[name] = clock.now
            (record.register.decline if dice.random() < 0.7 else record.register.accept)(name)
        if dice.random() < 0.7:
            for delivery in record.register.claim().deliveries:
                outcome = REFUSED if dice.random() < 0.1 else DELIVERED
                record.register.outbox.finish(delivery, record.register.bucket, outcome)
                touched[delivery.offer] = clock.now
        if dice.random() < 0.5:
            record.sealer.seal()
        if dice.random() < 0.1:
            record.purge()
        clock.pass_ms(dice.randrange(2 * DAY))
        record.register.outbox.tick()
    record.purge()

    young = {name for name, at in touched.items() if at >= clock.now - KEPT["ACME"]}
    assert young <= set(record.names())
    with record.register.database.read() as connection:
        assert removals.newest(connection, "ACME") > 0
    assert record.wrong() == []


def test_the_report_counts_whole_days_only(record: Record, clock: Clock) -> None:
    """A day of which something is gone is not in it, and its statement says so."""
    record.decline("old")
    clock.pass_ms(40 * DAY)
    record.decline("young")
    record.purge()
    with record.register.database.snapshot() as connection:
        wanted = funnel.kept(connection, funnel.Wanted())
        complete = funnel.completeness(connection, wanted, funnel.total(connection, wanted))

    assert complete.holds
    assert complete.offers == 1
    assert "Of ACME only offers from 2027-01-16 on are counted" in complete.sentence


# -- upkeep -----------------------------------------------------------------------------------


def test_upkeep_forgets_uses(record: Record, register: Register, clock: Clock) -> None:
    """What a token has named, and the key of a session, are kept while they can matter."""
    tables = (open_tokens, idempotency_keys)
    named = {"partner": "ACME", "jti": "jti-1", "offer": "offer-1", "created_at": clock.now}
    used = {"partner": "ACME", "key": "k", "digest": "d", "jti": "j", "created_at": clock.now}
    with register.database.begin() as connection:
        for table, row in zip(tables, (named, used), strict=True):
            connection.execute(insert(table), [row])
    upkeep = record.upkeep()

    def left() -> list[int]:
        with register.database.read() as connection:
            counts = (select(func.count()).select_from(table) for table in tables)
            return [int(connection.execute(count).scalar_one()) for count in counts]

    clock.pass_ms(31 * DAY)
    upkeep.run()
    assert left() == [1, 1]
    clock.pass_ms(2 * DAY)
    upkeep.run()
    assert left() == [0, 0]


def test_upkeep_removes_and_destroys_by_itself(record: Record, clock: Clock) -> None:
    """Its loop begins soon after the start."""
    record.decline("old")
    clock.pass_ms(31 * DAY)
    record.decline("young")
    upkeep = record.upkeep(first_s=0.01)
    upkeep.start()
    try:
        for _ in range(500):
            if record.names() == ["young"]:
                break
            sleep(0.02)
    finally:
        upkeep.stop()
    assert record.names() == ["young"]
