"""Conflicts: what waits for a person, and where a resolution leaves the offer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from proxy import audit, funnel
from proxy.choices import Report
from proxy.conflicts import Conflicts, Resolution, count, is_note, listed
from proxy.ledger import Ledger
from proxy.register import Offer
from tests.core.conftest import DELIVERED, REPEATED, TIMED_OUT, Register
from tests.evidence.filled import KEY

Make = Callable[[Register], None]
REPORTED, WITHDRAWN = Resolution.REPORTED, Resolution.WITHDRAWN
SETTLED = "It has no conflict, and no attempt whose answer is unknown."


@pytest.fixture
def conflicts(register: Register) -> Conflicts:
    """What resolves, on the register of the test."""
    return Conflicts(register.database, Ledger(KEY))


def accepted_after_delivery(register: Register) -> None:
    """Conflict `acceptance`, report delivered."""
    register.decline()
    register.attempt(DELIVERED)
    register.accept()


def accepted_after_silence(register: Register) -> None:
    """Conflict `acceptance`, report cancelled."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.accept()


def declined_after_purchase(register: Register) -> None:
    """Conflict `purchase`, report none."""
    register.accept(purchased=True, order="ORDER-1")
    register.clock.pass_ms(1)
    register.decline()


def answered_409(register: Register) -> None:
    """Conflict `upstream`, report dead."""
    register.decline()
    register.attempt(REPEATED)


def delivered_of_two_orders(register: Register) -> None:
    """Conflict `order`, report delivered."""
    register.decline(purchased=True, order="ORDER-1")
    register.attempt(DELIVERED)
    say_bought(register, "ORDER-2")


def accepted_of_two_orders(register: Register) -> None:
    """Conflict `order`, report none."""
    register.accept(purchased=True, order="ORDER-1")
    say_bought(register, "ORDER-2")


def shown_of_two_orders(register: Register) -> None:
    """Conflict `order`, nothing was answered; it may yet count as declined."""
    say_bought(register, "ORDER-1")
    say_bought(register, "ORDER-2")


def say_bought(register: Register, order: str) -> None:
    """Tell of a purchase without a choice."""
    register.clock.pass_ms(1)
    register.decline(choice=None, purchased=True, order=order)


def resolve(register: Register, conflicts: Conflicts, resolution: Resolution) -> Offer:
    """Resolve the only offer, a while later, and return it."""
    register.clock.pass_ms(60_000)
    assert (
        conflicts.resolve(register.find().id, resolution, "Asked the insurer, case 4711.") is None
    )
    return register.find()


LEFT = [
    pytest.param(accepted_after_delivery, REPORTED, Report.DELIVERED, id="accepted-reported"),
    pytest.param(accepted_after_delivery, WITHDRAWN, Report.CANCELLED, id="accepted-withdrawn"),
    pytest.param(accepted_after_silence, REPORTED, Report.DELIVERED, id="silence-reported"),
    pytest.param(accepted_after_silence, WITHDRAWN, Report.CANCELLED, id="silence-withdrawn"),
    pytest.param(declined_after_purchase, REPORTED, Report.DELIVERED, id="purchase-reported"),
    pytest.param(declined_after_purchase, WITHDRAWN, Report.ABANDONED, id="purchase-withdrawn"),
    pytest.param(answered_409, REPORTED, Report.DELIVERED, id="409-reported"),
    pytest.param(answered_409, WITHDRAWN, Report.DEAD, id="409-withdrawn"),
    pytest.param(delivered_of_two_orders, REPORTED, Report.DELIVERED, id="orders-reported"),
    pytest.param(delivered_of_two_orders, WITHDRAWN, Report.ABANDONED, id="orders-withdrawn"),
    pytest.param(accepted_of_two_orders, WITHDRAWN, Report.NONE, id="accepted-orders-withdrawn"),
    pytest.param(shown_of_two_orders, WITHDRAWN, Report.NONE, id="shown-orders-withdrawn"),
]


@pytest.mark.parametrize(("make", "resolution", "left"), LEFT)
def test_a_resolution_is_a_fact_and_sends_nothing(
    register: Register, conflicts: Conflicts, make: Make, resolution: Resolution, left: Report
) -> None:
    """The choice stays, nothing is due, the funnel stays complete and the ledger true."""
    make(register)
    before = register.find()
    assert before.conflicts

    after = resolve(register, conflicts, resolution)

    assert (after.conflict, after.report, after.choice) == (False, left, before.choice)
    assert register.claim().deliveries == []
    assert after.facts == before.facts + 1
    assert_complete(register)


def assert_complete(register: Register) -> None:
    """Every offer is in one column, and every row is as its last fact left it."""
    with register.database.snapshot() as connection:
        wanted = funnel.Wanted()
        counts = funnel.total(connection, wanted)
        assert funnel.completeness(connection, wanted, counts).faults == ()
        assert counts.conflict == 0
        assert list(audit.verify(connection, Ledger(KEY))) == []


AGAIN = [
    pytest.param(accepted_after_delivery, WITHDRAWN, 1, id="withdrawn-is-told-anew"),
    pytest.param(accepted_after_delivery, REPORTED, 0, id="reported-stands"),
    pytest.param(declined_after_purchase, WITHDRAWN, 1, id="settled-is-told-anew"),
    pytest.param(declined_after_purchase, REPORTED, 0, id="told-by-hand-stands"),
]


@pytest.mark.parametrize(("make", "resolution", "sent"), AGAIN)
def test_a_decline_after_it_is_told_if_the_insurer_has_none(
    register: Register, conflicts: Conflicts, make: Make, resolution: Resolution, sent: int
) -> None:
    """The resolution says what stands there, and the table does the rest."""
    make(register)
    resolve(register, conflicts, resolution)

    register.decline()

    assert len(register.claim().deliveries) == sent


def test_an_acceptance_after_it_is_a_conflict_anew(
    register: Register, conflicts: Conflicts
) -> None:
    """What stands at the insurer is wrong again."""
    answered_409(register)
    resolve(register, conflicts, REPORTED)

    register.accept()

    assert register.find().conflicts == {"acceptance"}


def test_a_dead_letter_outlives_its_conflict(register: Register, conflicts: Conflicts) -> None:
    """Nothing stands at the insurer; sending it again is a decision of its own."""
    answered_409(register)
    row = resolve(register, conflicts, WITHDRAWN)

    assert register.dead_letters.requeue(row.id)
    assert register.claim_one().epoch == 2


def test_an_unanswered_offer_may_still_count_as_declined(
    register: Register, conflicts: Conflicts
) -> None:
    """Its timer goes on."""
    for order in ("ORDER-1", "ORDER-2"):
        register.decline(upstream="implying", choice=None, purchased=True, order=order)
    row = register.find(upstream="implying")

    assert conflicts.resolve(row.id, WITHDRAWN, "Both are one order.") is None
    register.clock.pass_ms(86_400_000)
    register.outbox.tick()

    assert register.find(upstream="implying").implicit


def wait_for_conflict_under_way(register: Register) -> None:
    """Accepted while a request is under way."""
    register.decline()
    register.claim_one()
    register.accept()


REFUSED_AS = [
    pytest.param(wait_for_conflict_under_way, WITHDRAWN, "is sending: wait", id="sending"),
    pytest.param(accepted_of_two_orders, REPORTED, "nothing was sent", id="never-sent"),
    pytest.param(shown_of_two_orders, REPORTED, "nothing was sent", id="never-answered"),
    pytest.param(Register.decline, WITHDRAWN, "has no conflict", id="no-conflict"),
]


@pytest.mark.parametrize(("make", "resolution", "why"), REFUSED_AS)
def test_what_can_not_be_resolved_is_left_alone(
    register: Register, conflicts: Conflicts, make: Make, resolution: Resolution, why: str
) -> None:
    """The reason is said, and nothing is written."""
    make(register)
    before = register.find()

    assert why in str(conflicts.resolve(before.id, resolution, "Asked."))
    assert register.find() == before


def left_ambiguous(register: Register) -> None:
    """Dead, as an attempt may have arrived that the insurer has forgotten by now."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(47 * 3_600_000)
    register.claim()
    assert register.find().outcome == "ambiguous"


def test_an_ambiguous_dead_letter_that_arrived_is_delivered(
    register: Register, conflicts: Conflicts
) -> None:
    """The insurer has been asked, and has it."""
    left_ambiguous(register)

    assert resolve(register, conflicts, REPORTED).report is Report.DELIVERED


def test_an_ambiguous_dead_letter_that_did_not_arrive_can_be_sent(
    register: Register, conflicts: Conflicts
) -> None:
    """Under a new key: the insurer has been asked, and knows nothing of it."""
    left_ambiguous(register)
    row = register.find()
    assert not register.dead_letters.requeue(row.id)

    assert resolve(register, conflicts, WITHDRAWN).report is Report.DEAD
    assert register.dead_letters.requeue(row.id)
    assert (register.find().report, register.find().epoch) == (Report.DUE, row.epoch + 1)


def test_an_unknown_offer_is_said_to_be_none(register: Register, conflicts: Conflicts) -> None:
    """The id was mistyped."""
    assert register.intake.find("ACME", "now", "offer-1") is None
    assert conflicts.resolve(4711, REPORTED, "Asked.") == "There is no such offer."


@pytest.mark.parametrize("note", ["", "  ", "a\nb", "\x1b[2J", "a" * 501])
def test_a_note_must_be_one(register: Register, conflicts: Conflicts, note: str) -> None:
    """It is kept for good, and shown in a terminal."""
    answered_409(register)

    with pytest.raises(ValueError, match="1 to 500"):
        conflicts.resolve(register.find().id, REPORTED, note)
    assert register.find().conflict
    assert is_note("é" * 500)


def test_two_who_resolve_at_once_write_one_fact(register: Register, conflicts: Conflicts) -> None:
    """The second one is told that there is no conflict any more."""
    answered_409(register)
    row = register.find()

    with ThreadPoolExecutor(2) as people:
        asked = [people.submit(conflicts.resolve, row.id, REPORTED, "Asked.") for _ in range(2)]
        answers = [each.result() for each in asked]

    assert sorted(map(str, answers)) == [SETTLED, "None"]
    assert register.find().facts == row.facts + 1


def seen(register: Register, partner: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """Return what is listed."""
    with register.database.read() as connection:
        return listed(connection, partner, limit)


def test_what_waits_is_listed_longest_first(register: Register) -> None:
    """By when the conflict came about, whatever happened to the offer since."""
    for offer in ("first", "second", "third"):
        register.clock.pass_ms(1_000)
        register.decline(offer)
    began = {}
    for offer in ("second", "first"):
        register.clock.pass_ms(1_000)
        for order in ("ORDER-1", "ORDER-2"):
            register.decline(offer, choice=None, purchased=True, order=order)
        began[offer] = register.clock.now
    register.clock.pass_ms(1_000)
    register.decline("second")

    assert [(row["offer"], row["since"]) for row in seen(register)] == list(began.items())
    assert [row["offer"] for row in seen(register, limit=1)] == ["second"]
    assert seen(register, "OTHER") == []
    with register.database.read() as connection:
        assert (count(connection), count(connection, "OTHER")) == (2, 0)


def test_a_conflict_is_told_with_what_is_known(register: Register) -> None:
    """What the customer said and when, what left, what was answered, and what to do."""
    register.decline(purchased=True, order="ORDER-1")
    register.attempt(DELIVERED)
    register.accept()

    (row,) = seen(register)

    assert (row["choice"], row["accepted_at"]) == ("accepted", register.clock.now)
    assert (row["report"], row["sent"]) == ("delivered", "yes: the insurer has it")
    assert (row["status"], row["order"], row["conflicts"]) == (204, "ORDER-1", ["acceptance"])
    assert row["what"] == ["accepted after a report had left, or may have left"]
    assert "--as withdrawn" in row["advice"][0]


def changed_mind_after_silence(register: Register) -> None:
    """Declined anew, so that the conflict stands beside a report that is due."""
    accepted_after_silence(register)
    register.clock.pass_ms(1)
    register.decline()


SENT = [
    pytest.param(accepted_after_silence, "perhaps: an attempt got no answer", id="silence"),
    pytest.param(wait_for_conflict_under_way, "a request is under way", id="sending"),
    pytest.param(answered_409, "yes, and it was refused", id="refused"),
    pytest.param(changed_mind_after_silence, "before the choice changed; not since", id="before"),
    pytest.param(declined_after_purchase, "no", id="no"),
]


@pytest.mark.parametrize(("make", "sent"), SENT)
def test_it_is_said_whether_a_report_left(register: Register, make: Make, sent: str) -> None:
    """As far as anybody but the insurer can know."""
    make(register)

    assert [row["sent"] for row in seen(register)] == [sent]
