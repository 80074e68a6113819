"""The table of design section 4, cell by cell, and the rules of seq around it."""

from typing import Any

import pytest

from proxy.choices import Choice, Report
from proxy.register import Offer, Policy, Said, say
from tests.core.conftest import (
    AT_ONCE,
    AT_PURCHASE,
    DAY,
    HOUR,
    IMPLYING,
    SETTLING,
    START,
    a_message,
)

BLANK = Offer(id=1, partner="ACME", upstream="now", offer="offer-1")


def standing(report: str, **only: Any) -> Offer:
    """Return an offer whose report stands there, after a decline with seq START."""
    choice = Choice.ACCEPTED if report == "cancelled" else Choice.DECLINED
    due_at = START + 5_000 if report in ("due", "held", "sending") else None
    values: dict[str, Any] = {
        "choice": choice,
        "seq": START,
        "message": "earlier",
        "writer": "jti-1",
        "report": Report(report),
        "due_at": due_at,
    }
    return BLANK._replace(**(values | only))


def after(offer: Offer, choice: str | None, policy: Policy = SETTLING, **only: Any) -> Said:
    """Return what a message a second later makes of *offer*."""
    message = a_message(choice=choice, **({"seq": START + 1_000} | only))
    return say(offer, message, policy, START + 1_000)


def shown(offer: Offer) -> tuple[str, bool, int]:
    """Return what the table speaks of: report, conflict, epoch."""
    return str(offer.report), offer.conflict, offer.epoch


UNKNOWN = {"unknown_at": START}
ACCEPTED_SINCE = {"conflicts": frozenset({"acceptance"})}

DECLINES = [
    (BLANK, SETTLING, ("due", False, 1)),
    (BLANK, AT_PURCHASE, ("held", False, 1)),
    (standing("held"), AT_PURCHASE, ("held", False, 1)),
    (standing("due"), SETTLING, ("due", False, 1)),
    (standing("sending"), SETTLING, ("sending", False, 1)),
    (standing("sending", **ACCEPTED_SINCE), SETTLING, ("sending", False, 1)),
    (standing("delivered"), SETTLING, ("delivered", False, 1)),
    (standing("delivered", **ACCEPTED_SINCE), SETTLING, ("delivered", False, 1)),
    (standing("dead"), SETTLING, ("dead", False, 1)),
    (standing("cancelled"), SETTLING, ("due", False, 2)),
    (standing("cancelled"), AT_PURCHASE, ("held", False, 2)),
    (standing("abandoned"), AT_PURCHASE, ("held", False, 2)),
]


@pytest.mark.parametrize(("offer", "policy", "expected"), DECLINES)
def test_newer_decline(offer: Offer, policy: Policy, expected: tuple[str, bool, int]) -> None:
    """The first column of the table."""
    assert shown(after(offer, "declined", policy).offer) == expected


ACCEPTANCES = [
    (BLANK, ("none", False, 1)),
    (standing("held"), ("cancelled", False, 1)),
    (standing("due"), ("cancelled", False, 1)),
    (standing("due", **UNKNOWN), ("cancelled", True, 1)),
    (standing("sending"), ("sending", True, 1)),
    (standing("delivered"), ("delivered", True, 1)),
    (standing("dead"), ("cancelled", False, 1)),
    (standing("dead", **UNKNOWN), ("cancelled", True, 1)),
    (standing("cancelled"), ("cancelled", False, 1)),
    (standing("abandoned"), ("cancelled", False, 1)),
]


@pytest.mark.parametrize(("offer", "expected"), ACCEPTANCES)
def test_newer_acceptance(offer: Offer, expected: tuple[str, bool, int]) -> None:
    """The second column of the table."""
    assert shown(after(offer, "accepted").offer) == expected


PURCHASES = [
    (BLANK, ("none", False, 1)),
    (standing("held"), ("due", False, 1)),
    (standing("due"), ("due", False, 1)),
    (standing("sending"), ("sending", False, 1)),
    (standing("delivered"), ("delivered", False, 1)),
    (standing("dead"), ("dead", False, 1)),
    (standing("cancelled"), ("cancelled", False, 1)),
    (standing("abandoned"), ("due", False, 2)),
]


@pytest.mark.parametrize(("offer", "expected"), PURCHASES)
def test_purchase(offer: Offer, expected: tuple[str, bool, int]) -> None:
    """The third column of the table; the purchase itself always sticks."""
    bought = after(offer, None, AT_PURCHASE, purchased=True, order="R-1").offer

    assert shown(bought) == expected
    assert (bought.purchased, bought.order) == (True, "R-1")


def test_declined_after_it_was_accepted_and_bought() -> None:
    """A decline made after the purchase of an accepted offer is for a person."""
    bought = standing("none", choice=Choice.ACCEPTED, purchased=True, purchased_seq=START + 500)

    assert shown(after(bought, "declined").offer) == ("none", True, 1)


def test_declined_before_it_was_bought_but_told_later() -> None:
    """A decline that was under way while the purchase arrived is an ordinary one."""
    bought = standing("none", choice=Choice.ACCEPTED, purchased=True, purchased_seq=START + 2_000)

    assert shown(after(bought, "declined").offer) == ("due", False, 1)


def test_a_decline_of_what_is_bought_needs_no_hold() -> None:
    """The purchase that a hold waits for has happened."""
    bought = BLANK._replace(purchased=True, purchased_seq=START)

    assert after(bought, "declined", AT_PURCHASE).offer.report is Report.DUE


def test_a_purchase_in_the_same_message_comes_second() -> None:
    """Declined and bought at once is due at once."""
    both = after(BLANK, "declined", AT_PURCHASE, purchased=True).offer

    assert (both.report, both.due_at) == (Report.DUE, START + 1_000)


def test_settle_is_not_restarted() -> None:
    """A second decline does not put off the report of the first."""
    assert after(standing("due"), "declined").offer.due_at == START + 5_000


@pytest.mark.parametrize("choice", ["declined", "accepted"])
def test_an_older_message_is_superseded(choice: str) -> None:
    """The highest seq wins, in whatever order messages arrive."""
    later = after(standing("due"), choice, seq=START - 1)

    assert later.superseded
    assert later.offer == standing("due")


def test_acceptance_wins_a_tie() -> None:
    """Equal seq, other id."""
    assert after(standing("due"), "accepted", seq=START).offer.choice is Choice.ACCEPTED
    cancelled = standing("cancelled")
    assert after(cancelled, "declined", seq=START) == Said(offer=cancelled, superseded=True)


@pytest.mark.parametrize(
    ("report", "expected"),
    [("due", "cancelled"), ("held", "cancelled"), ("sending", "sending"), ("dead", "cancelled")],
)
def test_no_other_writers_acceptance_is_dropped(report: str, expected: str) -> None:
    """Clocks of two writers can not be compared: an older acceptance cancels or is a conflict."""
    offer = after(standing(report), "accepted", seq=START - 60_000, writer="server").offer

    assert (offer.choice, offer.report) == (Choice.ACCEPTED, expected)
    assert offer.conflict is (report == "sending")


def test_undecided_replaces_no_answer() -> None:
    """It only makes an offer known."""
    said = after(standing("due"), "undecided")

    assert (said.offer, said.superseded) == (standing("due"), True)


def test_any_answer_replaces_undecided() -> None:
    """Undecided is not an answer, so its seq counts for nothing."""
    known = after(BLANK, "undecided", seq=START + DAY).offer

    assert after(known, "declined", seq=1).offer.choice is Choice.DECLINED


def test_a_seq_from_the_future_counts_as_now() -> None:
    """More than five minutes ahead of our clock is a wrong clock."""
    ahead = after(BLANK, "declined", seq=START + DAY).offer
    near = after(BLANK, "declined", seq=START + 60_000).offer

    assert (ahead.seq, near.seq) == (START + 1_000, START + 60_000)


def test_a_clock_six_minutes_ahead_may_still_change_its_mind() -> None:
    """A decline that arrived late is taken as it is; the acceptance made after it counts less."""
    late = say(BLANK, a_message(choice="declined", seq=START + 360_000), SETTLING, START + 61_000)
    message = a_message(choice="accepted", seq=START + 480_000)
    said = say(late.offer, message, SETTLING, START + 120_000, sent=START + 360_000)

    assert late.offer.seq == START + 360_000
    assert (said.offer.choice, said.offer.report) == (Choice.ACCEPTED, Report.CANCELLED)


def test_a_clock_an_hour_ahead_keeps_its_own_order() -> None:
    """Whose decline is overtaken by the acceptance after it has accepted."""
    accepted = say(
        BLANK, a_message(choice="accepted", seq=START + HOUR + 2_000), SETTLING, START + 2_000
    )
    message = a_message(choice="declined", seq=START + HOUR)
    said = say(accepted.offer, message, SETTLING, START + 3_000, sent=START + HOUR + 2_000)

    assert (said.offer.choice, said.superseded) == (Choice.ACCEPTED, True)


def test_a_clock_that_was_put_right_is_believed() -> None:
    """What it said before counted as the time of receipt."""
    ahead = say(BLANK, a_message(choice="accepted", seq=START + DAY), SETTLING, START)
    message = a_message(choice="declined", seq=START + 1_000)
    said = say(ahead.offer, message, SETTLING, START + 1_000, sent=START + DAY)

    assert said.offer.choice is Choice.DECLINED


def test_a_decline_after_an_insured_purchase_stays_a_conflict() -> None:
    """However often it is said: a person looks, and nothing is sent."""
    bought = after(after(BLANK, "accepted").offer, None, purchased=True, order="R-1").offer
    declined = after(bought, "declined", seq=START + 2_000).offer
    again = after(declined, "declined", seq=START + 3_000, writer="jti-2").offer

    assert shown(declined) == shown(again) == ("none", True, 1)


def test_another_order_is_a_conflict() -> None:
    """The first order sticks."""
    bought = after(BLANK, None, purchased=True, order="R-1").offer
    again = after(bought, None, purchased=True, order="R-2").offer

    assert (again.order, again.conflict) == ("R-1", True)


def test_a_purchase_without_its_order_learns_it_later() -> None:
    """No conflict: the first message knew less."""
    bought = after(BLANK, None, purchased=True).offer
    again = after(bought, None, purchased=True, order="R-1").offer

    assert (again.order, again.conflict) == ("R-1", False)


def test_a_late_message_can_not_set_purchased() -> None:
    """Its choice counts, marked late; its purchase does not."""
    offer = after(BLANK, "declined", late=True, purchased=True).offer

    assert (offer.choice, offer.late, offer.purchased) == (Choice.DECLINED, True, False)


def test_an_unanswered_purchase_waits_before_it_is_a_decline() -> None:
    """Any real answer before that replaces it."""
    bought = after(BLANK, None, IMPLYING, purchased=True).offer
    accepted = after(bought, "accepted", IMPLYING).offer

    assert (bought.report, bought.due_at) == (Report.NONE, START + 1_000 + DAY)
    assert (accepted.report, accepted.due_at) == (Report.NONE, None)


def test_an_unanswered_purchase_is_ignored_by_default() -> None:
    """No choice is not a decline."""
    assert after(BLANK, None, AT_ONCE, purchased=True).offer.due_at is None


def test_a_real_decline_replaces_an_implied_one() -> None:
    """Whatever its seq: an implied decline has none."""
    implied = standing("due", seq=0, implicit=True, message=None, writer=None)

    assert after(implied, "declined", seq=5).offer.implicit is False
