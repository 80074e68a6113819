"""Claim, send, finish: the delivery side of the register."""

import pytest

from proxy.choices import Choice, Outcome, Report
from proxy.register import ACCEPTANCE
from tests.core.conftest import (
    DAY,
    DELIVERED,
    FORBIDDEN,
    REFUSED,
    REPEATED,
    START,
    THROTTLED,
    TIMED_OUT,
    UNAUTHORISED,
    UNREACHED,
    Register,
    a_message,
)

HOUR = 3_600_000


def test_a_due_decline_is_claimed_once(register: Register) -> None:
    """Two claims never bring the same row."""
    register.decline()

    first, second = register.claim(), register.claim()

    assert [delivery.offer for delivery in first.deliveries] == ["offer-1"]
    assert second.deliveries == []


def test_the_attempt_is_counted_before_it_is_sent(register: Register) -> None:
    """A worker that dies while sending has used up an attempt."""
    register.decline()
    register.claim_one()

    assert (register.find().report, register.find().attempts) == (Report.SENDING, 1)


def test_nothing_is_claimed_before_it_has_settled(register: Register) -> None:
    """Toggling is not reporting."""
    register.decline(upstream="settling")
    early = register.claim()
    register.clock.pass_ms(5_000)

    assert early.deliveries == []
    assert early.next_at == START + 5_000
    assert len(register.claim().deliveries) == 1


def test_delivered_is_the_end(register: Register) -> None:
    """After the insurer has it, no further attempt is made."""
    register.decline()
    register.attempt(DELIVERED)
    register.clock.pass_ms(10 * DAY)

    assert register.find().report is Report.DELIVERED
    assert register.claim().deliveries == []


@pytest.mark.parametrize(
    ("outcome", "report"),
    [
        (DELIVERED, Report.DELIVERED),
        (TIMED_OUT, Report.DUE),
        (UNREACHED, Report.DUE),
        (THROTTLED, Report.DUE),
        (UNAUTHORISED, Report.DUE),
        (FORBIDDEN, Report.DUE),
        (REFUSED, Report.DEAD),
        (REPEATED, Report.DEAD),
    ],
    ids=lambda value: getattr(value, "reason", str(value)),
)
def test_each_outcome_has_its_end(register: Register, outcome: Outcome, report: Report) -> None:
    """The outcome classes of design section 10."""
    register.decline()
    register.attempt(outcome)

    assert register.find().report is report


def test_backoff_is_full_jitter_below_a_doubling_ceiling(register: Register) -> None:
    """With dice at one half: 1 s after the first attempt, 2 s after the second."""
    register.decline()
    register.attempt(UNREACHED)
    first = register.find().due_at
    register.clock.pass_ms(1_000)
    register.attempt(UNREACHED)

    assert first == START + 1_000
    assert register.find().due_at == START + 1_000 + 2_000


def test_a_429_uses_up_no_attempt_and_shuts_the_bucket(register: Register) -> None:
    """The whole credential waits for Retry-After, then the row goes with its first attempt."""
    register.decline()
    register.attempt(THROTTLED)
    shut = register.claim()
    register.clock.pass_ms(7_000)

    assert (shut.deliveries, shut.next_at) == ([], START + 7_000 - 200)
    assert register.claim_one().attempt == 1


def test_a_409_after_an_unknown_answer_is_delivered(register: Register) -> None:
    """The key was used by our own earlier attempt."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(1_000)
    register.attempt(REPEATED)

    assert register.find().report is Report.DELIVERED
    assert not register.find().conflict


def test_a_409_out_of_nowhere_is_a_conflict(register: Register) -> None:
    """Nobody else should know our key."""
    register.decline()
    register.attempt(REPEATED)

    assert register.find().report is Report.DEAD
    assert register.find().conflict


def test_every_attempt_carries_the_same_body_and_epoch(register: Register) -> None:
    """The idempotency key hangs on the epoch; the body is frozen at the first claim."""
    register.intake.know(partner="ACME", upstream="now", offer="offer-1", metadata={"a": 1})
    register.decline()
    first = register.attempt(TIMED_OUT)
    register.intake.know(partner="ACME", upstream="now", offer="offer-1", metadata={"a": 2})
    register.clock.pass_ms(1_000)
    second = register.claim_one()

    assert first.body == second.body == '{"partner_metadata":{"a":1}}'
    assert (first.epoch, second.epoch) == (1, 1)


def test_a_late_worker_can_not_finish(register: Register) -> None:
    """A worker that lost its lease changes nothing."""
    register.decline()
    late = register.claim_one()
    register.clock.pass_ms(30_000)
    register.outbox.tick()
    register.claim_one()

    assert not register.outbox.finish(late, register.bucket, REFUSED)
    assert register.find().report is Report.SENDING


def test_a_lapsed_lease_counts_as_an_unknown_answer(register: Register) -> None:
    """The request may have left."""
    register.decline()
    register.claim_one()
    register.clock.pass_ms(30_000)
    register.outbox.tick()

    assert register.find().report is Report.DUE
    assert register.find().unknown_at == START


def test_a_new_process_takes_everything_back_at_once(register: Register) -> None:
    """On SQLite whoever was sending is known to be gone."""
    register.decline("offer-1")
    register.decline("offer-2")
    register.claim()

    assert register.outbox.take_back() == 2
    assert len(register.claim().deliveries) == 2


def test_a_released_row_has_used_up_nothing(register: Register) -> None:
    """A shutdown hands back what was not sent."""
    register.decline()
    register.outbox.release([register.claim_one()])

    assert (register.find().report, register.find().attempts) == (Report.DUE, 0)


def test_an_unknown_answer_may_wait_47_hours(register: Register) -> None:
    """The insurer forgets keys after 48 h: what we know nothing of goes to a person before."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(47 * HOUR)
    register.claim()

    assert (register.find().report, register.find().outcome) == (Report.DEAD, "ambiguous")


def test_rows_given_up_use_up_no_probe(register: Register) -> None:
    """A credential that is mended after two days must not wait for each of them in turn."""
    register.decline("old")
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(1_000)
    register.attempt(UNAUTHORISED)
    register.clock.pass_ms(47 * HOUR)
    register.decline("new")
    first, second = register.claim().deliveries, register.claim().deliveries

    assert register.find("old").outcome == "ambiguous"
    assert [delivery.offer for delivery in (*first, *second)] == ["new"]


def test_a_row_that_never_reached_upstream_does_not_die_of_age(register: Register) -> None:
    """A year of refused connections, and it is still due."""
    register.decline()
    register.attempt(UNREACHED)
    register.clock.pass_ms(365 * DAY)
    register.attempt(UNREACHED)

    assert register.find().report is Report.DUE


def test_fifty_claims_without_an_answer_end_a_row(register: Register) -> None:
    """A row that kills its worker must not do so for ever."""
    register.decline()
    for _ in range(50):
        register.claim_one()
        register.outbox.take_back()

    assert (register.find().report, register.find().outcome) == (Report.DEAD, "poison")


def test_an_acceptance_while_sending_is_never_sent_again(register: Register) -> None:
    """An unknown answer to a withdrawn decline: cancelled, and a person must look."""
    register.decline()
    delivery = register.claim_one()
    register.accept()
    register.outbox.finish(delivery, register.bucket, TIMED_OUT)
    register.clock.pass_ms(DAY)

    assert (register.find().report, register.find().conflict) == (Report.CANCELLED, True)
    assert register.claim().deliveries == []


def test_an_acceptance_while_sending_that_was_refused_is_no_conflict(register: Register) -> None:
    """The insurer never had it: nothing to look at."""
    register.decline()
    delivery = register.claim_one()
    register.accept()
    register.outbox.finish(delivery, register.bucket, UNREACHED)

    assert (register.find().report, register.find().conflict) == (Report.CANCELLED, False)


def test_an_earlier_reports_conflict_outlives_a_later_attempt(register: Register) -> None:
    """The insurer may hold the first decline, whatever becomes of the second report of it."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.accept()
    register.clock.pass_ms(1)
    register.decline()
    delivery = register.claim_one()
    register.accept()
    register.outbox.finish(delivery, register.bucket, UNREACHED)

    offer = register.find()
    assert (offer.choice, offer.report) == (Choice.ACCEPTED, Report.CANCELLED)
    assert offer.conflicts == {ACCEPTANCE}


def test_an_acceptance_while_sending_that_was_delivered_is_a_conflict(register: Register) -> None:
    """The insurer holds a decline that the customer took back."""
    register.decline()
    delivery = register.claim_one()
    register.accept()
    register.outbox.finish(delivery, register.bucket, DELIVERED)

    assert (register.find().report, register.find().conflict) == (Report.DELIVERED, True)


def test_pace_spaces_claims(register: Register) -> None:
    """At 10 a second a claim brings what may leave within the next 200 ms."""
    register.rate = 10.0
    for number in range(5):
        register.decline(f"offer-{number}")
    first = register.claim().deliveries
    register.clock.pass_ms(200)
    second = register.claim().deliveries

    sent = [delivery.send_at - START for delivery in (*first, *second)]
    assert sent == [0, 100, 200, 300, 400]


def test_the_lease_starts_when_the_permit_is_usable(register: Register) -> None:
    """Waiting for the permit takes nothing off the lease."""
    register.rate = 10.0
    register.decline("offer-1")
    register.decline("offer-2")

    leases = [one.lease_until - one.send_at for one in register.claim().deliveries]
    assert leases == [30_000, 30_000]


def test_a_bad_credential_pauses_and_probes(register: Register) -> None:
    """After a 401 rows wait; one probe after 30 s, the next a minute later."""
    for number in range(3):
        register.decline(f"offer-{number}")
    register.outbox.finish(register.claim(1).deliveries[0], register.bucket, UNAUTHORISED)
    paused = register.claim()
    register.clock.pass_ms(30_000)
    probe = register.claim()

    assert (paused.deliveries, paused.next_at) == ([], START + 30_000)
    assert len(probe.deliveries) == 1
    assert register.claim().deliveries == []
    register.outbox.finish(probe.deliveries[0], register.bucket, DELIVERED)
    assert len(register.claim().deliveries) == 2


def test_a_403_that_only_one_row_gets_is_that_rows_end(register: Register) -> None:
    """A probe on another row goes through: the credential is good, the row is not."""
    register.decline("bad")
    register.attempt(FORBIDDEN)
    register.decline("good")
    register.clock.pass_ms(30_000)
    probe = register.attempt(DELIVERED)

    assert probe.offer == "good"
    assert (register.find("bad").report, register.find("bad").outcome) == (
        Report.DEAD,
        "forbidden",
    )


def test_a_403_that_a_probe_gets_too_is_the_credentials(register: Register) -> None:
    """Nothing dies: every row waits until the credential works again."""
    register.decline("one")
    register.attempt(FORBIDDEN)
    register.decline("two")
    register.clock.pass_ms(30_000)
    register.attempt(FORBIDDEN)
    register.clock.pass_ms(60_000)
    register.attempt(DELIVERED)

    assert {register.find("one").report, register.find("two").report} == {
        Report.DUE,
        Report.DELIVERED,
    }


def test_a_hold_that_runs_out_is_abandoned(register: Register) -> None:
    """The purchase never came."""
    register.decline(upstream="purchase")
    register.clock.pass_ms(DAY)
    register.outbox.tick()

    assert register.find(upstream="purchase").report is Report.ABANDONED


def test_no_answer_is_a_decline_only_where_the_partner_says_so(register: Register) -> None:
    """Shown, bought, not answered: implied a day later, and marked so."""
    bought = a_message(choice=None, upstream="implying", purchased=True, order="R-1")
    register.intake.know(partner="ACME", upstream="implying", offer="offer-1")
    register.intake.record(bought)
    register.clock.pass_ms(DAY)
    register.outbox.tick()
    offer = register.find(upstream="implying")

    assert (offer.choice, offer.implicit, offer.report) == (Choice.DECLINED, True, Report.DUE)


def test_partners_take_turns(register: Register) -> None:
    """A long queue of one upstream does not go before another's first row."""
    for number in range(5):
        register.decline(f"many-{number}")
    register.clock.pass_ms(1)
    register.decline("few", upstream="settling")
    register.clock.pass_ms(5_000)

    offers = {delivery.offer for delivery in register.claim(most=2).deliveries}
    assert offers == {"many-0", "few"}


def test_partners_take_turns_one_permit_at_a_time(register: Register) -> None:
    """Where a claim has one permit, the oldest row of all is not always the one."""
    for number in range(200):
        register.decline(f"many-{number}")
    register.clock.pass_ms(1)
    register.decline("few", upstream="settling")
    register.clock.pass_ms(5_000)
    claimed = [register.claim(most=1).deliveries[0].offer for _ in range(100)]

    assert "few" in claimed  # by chance not once in 2 to the power of 100
