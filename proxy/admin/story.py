"""One delivery's story in plain sentences: where it stands, and each fact that led there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proxy.admin.reasons import reason
from proxy.admin.words import ago, utc
from proxy.choices import Choice, Report
from proxy.register import Offer

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fact, told."""

    fact: Row
    title: str
    who: str
    tone: str = ""  # a class of the style sheet
    conflict: str = ""  # that came with it


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request to the insurer, and what came of it."""

    epoch: int
    number: int
    began: int
    ended: int | None = None
    outcome: str | None = None
    status: int | None = None
    words: str | None = None
    is_lapsed: bool = False


def stands(offer: Offer, facts: list[Row], now: int) -> str:
    """Say where *offer* stands now, why, and what comes next."""
    last = next((fact for fact in reversed(facts) if fact["report"] == offer.report), None)
    since = _first_of_run(facts, str(offer.report))
    told = {
        Report.NONE: _none,
        Report.HELD: _held,
        Report.DUE: _due,
        Report.SENDING: _sending,
        Report.DELIVERED: _delivered,
        Report.DEAD: _dead,
        Report.CANCELLED: _cancelled,
        Report.ABANDONED: _abandoned,
    }[offer.report]
    return told(offer, since or last or {"at": offer.updated_at, "kind": ""}, now)


def _first_of_run(facts: list[Row], report: str) -> Row | None:
    """Return the fact since which the report stands as it does."""
    found = None
    for fact in reversed(facts):
        if fact["report"] != report:
            break
        found = fact
    return found


def _at(at: int) -> str:
    return f"{utc(at)} UTC ({ago(at)})"


def _none(offer: Offer, _since: Row, _now: int) -> str:
    if offer.choice is Choice.ACCEPTED:
        return "The customer accepted, so there is nothing to report."
    if offer.choice is Choice.DECLINED:
        return "The customer declined, and nothing is sent until a person has decided."
    if offer.due_at is not None:
        return (
            "The customer bought without an answer. That counts as declined from"
            f" {_at(offer.due_at)}, unless an answer comes before."
        )
    return "The offer was shown and nothing was answered, so there is nothing to report."


def _held(offer: Offer, _since: Row, now: int) -> str:
    ends = f" If none comes it is abandoned at {_at(offer.due_at or now)}."
    return "The decline waits for the purchase and is reported then." + ends


def _due(offer: Offer, _since: Row, now: int) -> str:
    due = offer.due_at or now
    if due > now and offer.attempts:
        return f"It will be tried again at {_at(due)}, because {reason(offer.outcome)}."
    if due > now:
        return f"It will be sent at {_at(due)}, so that a customer can still change their mind."
    why = f" The last attempt failed: {reason(offer.outcome)}." if offer.attempts else ""
    return (
        f"It is due since {_at(due)} and is sent as soon as the pace and the credential let"
        f" it.{why}"
    )


def _sending(offer: Offer, _since: Row, now: int) -> str:
    began, ends = offer.attempt_at or now, offer.due_at or now
    return (
        f"Attempt {offer.attempts} may be on its way since {_at(began)}. If no answer is written"
        f" down by {utc(ends)} UTC, it is tried again under the same key."
    )


def _delivered(_offer: Offer, since: Row, _now: int) -> str:
    if since["kind"] == "conflict.resolved":
        return f"A person found it at the insurer, and wrote that down at {_at(since['at'])}."
    return f"The insurer confirmed this decline at {_at(since['at'])}."


def _dead(offer: Offer, since: Row, _now: int) -> str:
    return (
        f"It was given up at {_at(since['at'])}, because {reason(offer.outcome)}."
        " It is not sent again unless a person says so."
    )


def _cancelled(_offer: Offer, since: Row, _now: int) -> str:
    return f"It is not sent: the customer accepted at {_at(since['at'])}."


def _abandoned(_offer: Offer, since: Row, _now: int) -> str:
    if since["kind"] == "conflict.resolved":
        return f"Nothing stands at the insurer: a person wrote that down at {_at(since['at'])}."
    return f"The purchase never came. It was abandoned at {_at(since['at'])}; nothing was sent."


# -- the facts -----------------------------------------------------------------------------------

_TITLES = {
    "offer.shown": "The partner's server told of the offer",
    "purchase.recorded": "The offer's order was placed",
    "choice.implied": "No answer had come, so it counts as declined",
    "delivery.claimed": "Attempt {attempt} begins",
    "delivery.released": "Handed back before it was sent",
    "delivery.lapsed": "Attempt {attempt}: no answer was written down in time",
    "delivery.requeued": "Made due again",
    "delivery.gated": "Given up when a backup was restored: it may have been sent since",
    "delivery.restored": "Taken over from a backup: it may have been sent since",
    "report.abandoned": "The purchase never came: abandoned",
    "conflict.resolved": "Conflict resolved: {outcome}",
    "offer.erased": "Personal data erased",
}
_SAID = {
    "declined": "The customer declined",
    "accepted": "The customer accepted",
    "undecided": "The offer was shown; nothing was answered",
}
_WHO = {
    "page": "the shop's page",
    "server": "the partner's server",
    "timer": "a timer",
    "worker": "the worker",
    "operator": "the command line",
    "reconciled": "the shop's list of orders",
}
_TONES = {"delivered": "good", "dead": "bad"}


def steps(facts: Iterable[Row]) -> list[Step]:
    """Tell each of *facts*, which are in their order."""
    told, conflicts = [], set[str]()
    for fact in facts:
        now = set(fact["conflicts"].split())
        new = " ".join(sorted(now - conflicts))
        told.append(
            Step(fact=fact, title=_title(fact), who=_who(fact), tone=_tone(fact), conflict=new)
        )
        conflicts = now
    return told


def _title(fact: Row) -> str:
    kind: str = fact["kind"]
    if kind == "choice.recorded":
        return _choice(fact)
    if kind == "attempt.finished":
        return f"Attempt {fact['attempt']}: {reason(fact['outcome'])}"
    if kind == "delivery.dead":
        return f"Given up after attempt {fact['attempt']}: {reason(fact['outcome'])}"
    if kind == "delivery.lapsed" and fact["attempt"] is None:
        return "No answer was written down in time"
    title: str = _TITLES.get(kind, kind)
    return title.format_map(fact)


def _choice(fact: Row) -> str:
    title = _SAID.get(fact["said"] or "", "A choice was recorded")
    if fact["purchased"]:
        title += ", and the order was placed"
    return f"{title}: a newer answer stands already" if fact["superseded"] else title


def _who(fact: Row) -> str:
    name: str = fact["writer"] or ""
    if fact["source"] == "operator" and name.startswith("user:"):
        return name.removeprefix("user:")
    source: str = fact["source"]
    return _WHO.get(source, source)


def _tone(fact: Row) -> str:
    ends = fact["kind"] in ("attempt.finished", "delivery.dead", "delivery.gated")
    return _TONES.get(fact["report"], "warn") if ends else ""


def attempts(facts: Iterable[Row]) -> list[Attempt]:
    """Return the requests to the insurer that *facts* tell of."""
    found: list[Attempt] = []
    for fact in facts:
        if fact["kind"] == "delivery.claimed":
            began = Attempt(epoch=fact["epoch"], number=fact["attempt"], began=fact["at"])
            found.append(began)
        elif found and found[-1].ended is None:
            if fact["kind"] == "delivery.released":
                found.pop()
            elif fact["kind"] in _ENDS:
                _end(found[-1], fact)
    return found


_ENDS = frozenset({"attempt.finished", "delivery.dead", "delivery.lapsed"})


def _end(attempt: Attempt, fact: Row) -> None:
    attempt.ended = fact["at"]
    attempt.is_lapsed = fact["kind"] == "delivery.lapsed"
    if not attempt.is_lapsed:
        attempt.outcome, attempt.status = fact["outcome"], fact["status"]
        attempt.words = fact["note"]
