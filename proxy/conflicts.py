"""Conflicts: what waits for a person, and what a person has found out about it. Sends nothing."""

from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select

from proxy import store
from proxy.choices import Choice, Report, Source
from proxy.database import Database
from proxy.ledger import Fact, Ledger
from proxy.register import ACCEPTANCE, ORDER, PURCHASE, UPSTREAM, Offer
from proxy.schema import facts, offers

LONGEST_NOTE = 500  # characters
_HIGHEST_ID = 2**63 - 1

# How each kind came about, and what to do about it.
MEANINGS = {
    ACCEPTANCE: "accepted after a report had left, or may have left",
    ORDER: "two orders name this offer",
    PURCHASE: "declined after it was accepted and bought",
    UPSTREAM: "the insurer answered 409 to a report that it can not have had from us",
}
ADVICE = {
    ACCEPTANCE: (
        "Ask the insurer whether a decline stands for this offer. Have it taken back, or find"
        " none: --as withdrawn. If it is to stand: --as reported."
    ),
    ORDER: (
        "Find the order that the offer belongs to, and what its customer chose. If a report"
        " stands and is right: --as reported. If there is none: --as withdrawn."
    ),
    PURCHASE: (
        "Ask the insurer whether the customer is insured. If a decline stands there now:"
        " --as reported. If not, insured or cancelled: --as withdrawn."
    ),
    UPSTREAM: (
        "Ask the insurer what stands for this offer. A decline: --as reported. Nothing:"
        " --as withdrawn; the dead letter stays, and can be requeued."
    ),
}

_ON_ITS_WAY = frozenset({Report.HELD, Report.DUE, Report.SENDING})


class Resolution(StrEnum):
    """What a person has found out, or brought about, at the insurer."""

    REPORTED = "reported"  # the insurer's record says declined, and that may stand
    WITHDRAWN = "withdrawn"  # nothing stands there, or not any more


class _Asked(NamedTuple):
    row: int
    resolution: Resolution
    note: str
    by: str | None


class Conflicts:
    """What a person resolves; safe to use from many threads."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def resolve(
        self, row: int, resolution: Resolution, note: str, *, by: str | None = None
    ) -> str | None:
        """Clear the conflicts of *row* and write down why; return why not if that may not be.

        *by* names the user who found out. Raises ValueError for a note or row that can not be one.
        """
        if not is_note(note) or not 0 < row <= _HIGHEST_ID:
            raise ValueError(f"a note has 1 to {LONGEST_NOTE} printable characters")
        asked = _Asked(row, resolution, note, by)
        answer: str | None = self._database.write(self._resolve_each, asked, timeout=60.0)
        return answer

    def _resolve_each(self, connection: Connection, asked: list[_Asked]) -> list[str | None]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [one.row for one in asked])
        answers: list[str | None] = []
        for row, resolution, note, by in asked:
            offer = rows.get(row)
            answers.append(refusal(offer, resolution))
            if offer is None or answers[-1]:
                continue
            fact = Fact(
                kind="conflict.resolved",
                at=now,
                source=Source.OPERATOR,
                writer=by,
                outcome=str(resolution),
                note=note,
            )
            changed = [(resolve(offer, resolution), fact)]
            (rows[row],) = store.save(connection, self._ledger, changed, now)
        return answers


def is_note(text: str) -> bool:
    """True for what may be kept as the reason: printable, on one line, and not too long."""
    return 0 < len(text) <= LONGEST_NOTE and text.isprintable() and not text.isspace()


def is_open(offer: Offer) -> bool:
    """True for a conflict, and for a dead letter that may have arrived: only a person can tell."""
    return offer.conflict or (offer.report is Report.DEAD and offer.unknown_at is not None)


def refusal(offer: Offer | None, resolution: Resolution) -> str | None:
    """Say why *offer* can not be resolved so; None if it can."""
    if offer is None:
        return "There is no such offer."
    if not is_open(offer):
        return "It has no conflict, and no attempt whose answer is unknown."
    if offer.report in _ON_ITS_WAY:
        # How that ends decides what the insurer will hold; an answer given now would be a guess.
        return f"Its report is {offer.report}: wait until that has ended."
    may_be_there = offer.choice is Choice.DECLINED or offer.attempts > 0 or offer.epoch > 1
    if resolution is Resolution.REPORTED and not may_be_there:
        return "Nothing was declined and nothing was sent, so it can not be reported."
    return None


def resolve(offer: Offer, resolution: Resolution) -> Offer:
    """Return *offer* without conflicts, its report where a later message does the right thing.

    Reported is `delivered`, whatever it was: the insurer has it, so a further decline sends
    nothing, and a further acceptance is a conflict anew.

    Withdrawn, an accepted offer is `cancelled` (if it was delivered) and a declined one
    `abandoned`: nothing stands there and nothing is to be sent, but a decline made later is
    reported anew. `none` would not do for a declined one, as without a conflict it would be in no
    column of the funnel, and `cancelled` is for accepted ones. A dead letter stays dead: whether
    it is to be requeued is another decision; as nothing stands there, it can be, under a new key.
    """
    offer = offer._replace(conflicts=frozenset())
    if resolution is Resolution.WITHDRAWN and offer.report is Report.DEAD:
        return offer._replace(unknown_at=None)
    if resolution is Resolution.REPORTED:
        return offer._replace(report=Report.DELIVERED, due_at=None)
    if offer.choice is Choice.DECLINED and offer.report is not Report.DEAD:
        return offer._replace(report=Report.ABANDONED, due_at=None)
    if offer.report is Report.DELIVERED:
        return offer._replace(report=Report.CANCELLED)
    return offer  # with its due_at: an unanswered offer may yet count as declined


_EARLIER = facts.alias()
_CALM = (  # the last fact after which nothing was in conflict
    select(func.coalesce(func.max(_EARLIER.c.ordinal), 0))
    .where(_EARLIER.c.offer_id == offers.c.id, _EARLIER.c.conflicts == "")
    .correlate(offers)
    .scalar_subquery()
)
_SINCE = (
    select(func.min(facts.c.at))
    .where(facts.c.offer_id == offers.c.id, facts.c.ordinal > _CALM)
    .correlate(offers)
    .scalar_subquery()
)
_ACCEPTED_AT = (
    select(func.max(facts.c.at))
    .where(facts.c.offer_id == offers.c.id, facts.c.said == str(Choice.ACCEPTED))
    .correlate(offers)
    .scalar_subquery()
)
# Literal, not bound: a partial index serves a query only if its condition is in the text.
_WAITS: ColumnElement[bool] = literal_column("offers.conflicts <> ''")
_LISTED = select(
    offers.c.id,
    offers.c.partner,
    offers.c.upstream,
    offers.c.offer,
    offers.c.conflicts,
    func.coalesce(_SINCE, offers.c.updated_at).label("since"),
    offers.c.choice,
    offers.c.chosen_at,
    _ACCEPTED_AT.label("accepted_at"),
    offers.c.purchased,
    offers.c.order_reference.label("order"),
    offers.c.report,
    offers.c.epoch,
    offers.c.attempts,
    offers.c.unknown_at,
    offers.c.outcome,
    offers.c.status,
).where(_WAITS)


def count(connection: Connection, partner: str | None = None) -> int:
    """Return how many offers wait for a person."""
    query = select(func.count()).select_from(offers).where(_WAITS)
    if partner is not None:
        query = query.where(offers.c.partner == partner)
    return int(connection.execute(query).scalar_one())


def listed(
    connection: Connection,
    partner: str | None,
    limit: int,
    *,
    first: int = 0,
    among: int | None = None,
) -> list[dict[str, Any]]:
    """Return what waits for a person, longest first, with what is known and what to do.

    *first* is how many to leave out; *among* lets only so many of the oldest offers be put in
    order, as the time since when one waits is on record in its facts.
    """
    query = _LISTED.order_by("since", offers.c.id).limit(limit).offset(first)
    if partner is not None:
        query = query.where(offers.c.partner == partner)
    if among is not None:
        query = query.where(offers.c.id.in_(_oldest(partner, among)))
    return [_told(dict(row)) for row in connection.execute(query).mappings()]


def _oldest(partner: str | None, most: int) -> Select[tuple[int]]:
    query = select(offers.c.id).where(_WAITS)
    if partner is not None:
        query = query.where(offers.c.partner == partner)
    return query.order_by(offers.c.id + 0).limit(most)  # by the partial index, not by all ids


def _told(row: dict[str, Any]) -> dict[str, Any]:
    kinds = row["conflicts"].split()
    return row | {
        "conflicts": kinds,
        "what": [MEANINGS[kind] for kind in kinds],
        "sent": _sent(row),
        "advice": [ADVICE[kind] for kind in kinds],
    }


def _sent(row: dict[str, Any]) -> str:
    """Say whether a report left, as far as we know."""
    if row["report"] == Report.DELIVERED:
        return "yes: the insurer has it"
    if row["report"] == Report.SENDING:
        return "a request is under way"
    if row["unknown_at"] is not None:
        return "perhaps: an attempt got no answer"
    if row["attempts"]:
        return "yes, and it was refused"
    return "before the choice changed; not since" if row["epoch"] > 1 else "no"
