"""A story in plain sentences: where a delivery stands, and what led there."""

from typing import Any

import pytest

from proxy.admin.reasons import reason
from proxy.admin.story import attempts, stands, steps
from proxy.admin.words import ago, number, span, utc
from proxy.choices import Choice, Report
from proxy.clocks import wall
from proxy.register import Offer

HOUR = 3_600_000
NOW = 1_800_000_000_000
AT = "2027-01-15 08:00:00 UTC"  # that is when


def an_offer(report: str, choice: str = "declined", **only: Any) -> Offer:
    """Return an offer; name only what the test is about."""
    return Offer(
        id=1,
        partner="ACME",
        upstream="tickets",
        offer="offer-1",
        report=Report(report),
        choice=Choice(choice),
        **only,
    )


def a_fact(kind: str, **only: Any) -> dict[str, Any]:
    """Return a fact's row; name only what the test is about."""
    names = ("message", "said", "seq", "said_at", "writer", "tries", "attempt", "outcome", "status")
    return {
        **dict.fromkeys((*names, "note")),
        "ordinal": 1,
        "kind": kind,
        "at": NOW,
        "source": "worker",
        "purchased": False,
        "choice": "declined",
        "report": "due",
        "epoch": 1,
        "conflicts": "",
        "superseded": False,
        **only,
    }


STANDS: list[tuple[Offer, list[dict[str, Any]], str]] = [
    (an_offer("none", "undecided"), [], "The offer was shown and nothing was answered"),
    (an_offer("none", "undecided", due_at=NOW), [], f"counts as declined from {AT}"),
    (an_offer("none", "accepted"), [], "The customer accepted, so there is nothing to report."),
    (an_offer("none"), [], "nothing is sent until a person has decided"),
    (an_offer("held", due_at=NOW), [], f"If none comes it is abandoned at {AT}"),
    (an_offer("due", due_at=NOW - 1), [], "is sent as soon as the pace and the credential let it."),
    (an_offer("due", due_at=NOW + HOUR), [], "so that a customer can still change their mind"),
    (
        an_offer("due", due_at=NOW + HOUR, attempts=2, outcome="timed_out"),
        [],
        "It will be tried again at 2027-01-15 09:00:00 UTC",
    ),
    (
        an_offer("due", due_at=NOW + HOUR, attempts=2, outcome="timed_out"),
        [],
        "because no answer came in time.",
    ),
    (
        an_offer("due", due_at=NOW - 1, attempts=1, outcome="unauthorized"),
        [],
        "The last attempt failed: the insurer does not accept the credential.",
    ),
    (an_offer("sending", attempts=3, attempt_at=NOW, due_at=NOW), [], "Attempt 3 may be on its"),
    (
        an_offer("delivered"),
        [
            a_fact("attempt.finished", report="delivered"),
            a_fact("choice.recorded", report="delivered", at=NOW + HOUR),
        ],
        f"The insurer confirmed this decline at {AT}",
    ),
    (
        an_offer("delivered"),
        [a_fact("conflict.resolved", report="delivered")],
        "A person found it at the insurer",
    ),
    (
        an_offer("dead", outcome="ambiguous"),
        [a_fact("delivery.dead", report="dead")],
        f"It was given up at {AT}",
    ),
    (an_offer("dead", outcome="refused"), [], "because the insurer refuses its content."),
    (
        an_offer("cancelled", "accepted"),
        [a_fact("choice.recorded", report="cancelled")],
        f"the customer accepted at {AT}",
    ),
    (
        an_offer("abandoned"),
        [a_fact("report.abandoned", report="abandoned")],
        f"The purchase never came. It was abandoned at {AT}",
    ),
    (
        an_offer("abandoned"),
        [a_fact("conflict.resolved", report="abandoned")],
        "Nothing stands at the insurer",
    ),
]


@pytest.mark.parametrize(("offer", "facts", "said"), STANDS)
def test_each_state_has_its_sentence(offer: Offer, facts: list[Any], said: str) -> None:
    """With the time and the reason that it is about."""
    assert said in stands(offer, facts, NOW)


def test_every_state_is_told_of() -> None:
    """The list above leaves none out."""
    assert {offer.report for offer, _, _ in STANDS} == set(Report)


@pytest.mark.parametrize(
    ("fact", "title", "who"),
    [
        (
            a_fact("choice.recorded", source="page", said="declined", purchased=True),
            "The customer declined, and the order was placed",
            "the shop's page",
        ),
        (
            a_fact("choice.recorded", source="server", said="accepted", superseded=True),
            "The customer accepted: a newer answer stands already",
            "the partner's server",
        ),
        (
            a_fact("choice.recorded", source="reconciled", said="declined"),
            "The customer declined",
            "the shop's list of orders",
        ),
        (a_fact("choice.implied", source="timer"), "No answer had come", "a timer"),
        (a_fact("delivery.claimed", attempt=2), "Attempt 2 begins", "the worker"),
        (
            a_fact("attempt.finished", attempt=2, outcome="upstream_error"),
            "Attempt 2: the insurer's server failed",
            "the worker",
        ),
        (a_fact("delivery.lapsed", source="timer"), "No answer was written down", "a timer"),
        (a_fact("delivery.lapsed", attempt=4), "Attempt 4: no answer was written", "the worker"),
        (
            a_fact("delivery.requeued", source="operator", writer="user:nora"),
            "Made due again",
            "nora",
        ),
        (
            a_fact("conflict.resolved", source="operator", outcome="reported"),
            "Conflict resolved: reported",
            "the command line",
        ),
        (a_fact("something.new"), "something.new", "the worker"),
    ],
)
def test_each_fact_has_its_title_and_its_author(fact: dict[str, Any], title: str, who: str) -> None:
    """What happened, and who did it."""
    (step,) = steps([fact])

    assert step.title.startswith(title)
    assert step.who == who


def test_a_conflict_is_told_where_it_came_up() -> None:
    """Not again with each fact that it outlives."""
    told = steps(
        [
            a_fact("attempt.finished", report="delivered"),
            a_fact("choice.recorded", conflicts="acceptance"),
            a_fact("purchase.recorded", conflicts="acceptance order"),
            a_fact("conflict.resolved", outcome="reported"),
        ]
    )

    assert [step.conflict for step in told] == ["", "acceptance", "order", ""]


def test_attempts_are_paired_with_their_answers() -> None:
    """Those that were handed back unsent are none; a throttled one keeps its number."""
    told = attempts(
        [
            a_fact("choice.recorded"),
            a_fact("delivery.claimed", attempt=1),
            a_fact("attempt.finished", attempt=1, outcome="throttled", status=429),
            a_fact("delivery.claimed", attempt=1),
            a_fact("delivery.released", attempt=0),
            a_fact("delivery.claimed", attempt=1),
            a_fact("delivery.lapsed", at=NOW + 30_000),
            a_fact("delivery.claimed", attempt=2),
            a_fact("delivery.dead", attempt=2, outcome="refused", status=422, note="no"),
            a_fact("delivery.requeued"),
            a_fact("delivery.claimed", attempt=1, epoch=2),
        ]
    )

    assert [(one.epoch, one.number, one.status, one.outcome, one.words) for one in told] == [
        (1, 1, 429, "throttled", None),
        (1, 1, None, None, None),
        (1, 2, 422, "refused", "no"),
        (2, 1, None, None, None),
    ]
    assert [one.is_lapsed for one in told] == [False, True, False, False]
    assert [one.ended is None for one in told] == [False, False, False, True]


def test_times_and_counts_are_written_alike_everywhere() -> None:
    """Times in UTC, spans in the unit that says most, thousands apart."""
    assert utc(NOW) == AT.removesuffix(" UTC")
    assert utc(2**63) == str(2**63)
    assert [span(ms) for ms in (999, 89_000, 90_000, 5_400_000, 129_600_000, 86_400_000 * 400)] == [
        "0 s",
        "89 s",
        "1 min",
        "1 h",
        "1 day",
        "400 days",
    ]
    assert ago(wall() - 2 * HOUR) == "2 h ago"
    assert ago(wall() + 2 * HOUR + 5_000) == "in 2 h"
    assert number(1_234_567) == "1,234,567"
    assert reason(None) == "the reason is not on record"
    assert reason("some_new_word") == "some new word"
