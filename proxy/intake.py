"""Record what was said: one commit for offer, fact and delivery. 202 means: this returned."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from proxy import ledger as facts_of
from proxy import store, uses
from proxy.choices import Choice, Message, Recorded, Source
from proxy.database import CHOICES, Database
from proxy.errors import Problem
from proxy.ledger import Fact, Ledger
from proxy.metadata import as_text, described
from proxy.privacy import CustomerKeys
from proxy.register import Offer, Policy, say
from proxy.schema import facts

_PAIR = (facts.c.partner, facts.c.message)
_TOLD = select(
    *_PAIR,
    facts.c.offer_id,
    facts.c.said,
    facts.c.seq,
    facts.c.purchased,
    facts.c.at,
    facts.c.superseded,
    # Not as pairs: SQLite reads the whole table for them. What else is found is not asked for.
).where(*(part.in_(bindparam(part.name, expanding=True)) for part in _PAIR))

Policies = Callable[[str, str], Policy]
Wake = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """An offer that was shown, told by the partner's server."""

    partner: str
    upstream: str
    offer: str
    metadata: str | None
    customer: Mapping[str, str]


class Intake:
    """The door to the register; safe to use from many threads."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        policies: Policies,
        wake: Wake = lambda _after_ms: None,
        customers: CustomerKeys | None = None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._policies = policies
        self._customers = customers  # None: no partner may pass personal data
        self._wake = wake  # told when a row becomes due, so that the worker need not poll

    def record(self, message: Message) -> Recorded:
        """Store *message* durably and return the register after it; replays change nothing.

        Raises Problem (`idempotency_key_reused`, `token_offers_exhausted`) and StorageUnavailable.
        """
        recorded, due_in = self._database.write(self._record_each, message, lane=CHOICES)
        self._wake_in(due_in)
        return recorded  # type: ignore[no-any-return]  # what the handler below put there

    def record_all(self, messages: Sequence[Message]) -> list[Recorded | Problem]:
        """Store *messages* in one commit; a bad one spoils no other. Raises StorageUnavailable."""
        answers: list[_Answer] = self._database.write(
            self._record_batches, list(messages), timeout=30.0, lane=CHOICES
        )
        dues = [answer[1] for answer in answers if not isinstance(answer, Problem)]
        self._wake_in(min((due for due in dues if due is not None), default=None))
        return [answer if isinstance(answer, Problem) else answer[0] for answer in answers]

    def know(
        self,
        *,
        partner: str,
        upstream: str,
        offer: str,
        metadata: Mapping[str, Any] | None = None,
        customer: Mapping[str, str] | None = None,
    ) -> None:
        """Make an offer known as undecided: it was shown. Raises StorageUnavailable."""
        known = _Known(
            partner=partner,
            upstream=upstream,
            offer=offer,
            metadata=as_text(metadata),
            customer=customer or {},
        )
        self._database.write(self._know_all, known, lane=CHOICES)

    def find(self, partner: str, upstream: str, offer: str) -> Offer | None:
        """Return what the register holds of an offer. Raises StorageUnavailable."""
        with self._database.read() as connection:
            return store.find(connection, (partner, upstream, offer))

    def once(self, use: uses.Use) -> tuple[int, str]:
        """Return time and jti of the first call with this key; Problem if its content differs."""
        return self._database.write(uses.first_uses, use)  # type: ignore[no-any-return]  # its own

    # -- inside the writing transaction -------------------------------------------------------

    def _record_batches(
        self, connection: Connection, batches: list[list[Message]]
    ) -> list[list["_Answer"]]:
        return [self._record_each(connection, batch) for batch in batches]

    def _record_each(self, connection: Connection, messages: list[Message]) -> list["_Answer"]:
        now = self._database.now(connection)
        exhausted = uses.exhausted(connection, messages, now)
        taken = [message for message in messages if uses.opening(message) not in exhausted]
        keys = {(message.partner, message.upstream, message.offer) for message in taken}
        rows = store.lock(connection, keys, now) if keys else {}
        standing = {(row.partner, row.message) for row in rows.values() if row.message}
        wanted = standing | {(message.partner, message.id) for message in messages}
        earlier = _earlier(connection, wanted) if wanted else {}
        if met := _met(taken, rows, earlier):
            rows |= store.known(connection, met)
        batch = _Batch(rows, earlier, self._seal, now)
        answers: list[_Answer] = [
            Problem("token_offers_exhausted")
            if uses.opening(message) in exhausted
            else batch.take(message, self._policies(message.partner, message.upstream))
            for message in messages
        ]
        store.save(connection, self._ledger, batch.changed, now)
        return answers

    def _seal(self, offer: Offer, customer: Mapping[str, str], now: int) -> Offer:
        return self._customers.seal_for(offer, customer, now) if self._customers else offer

    def _wake_in(self, due_in: int | None) -> None:
        if due_in is not None:
            self._wake(due_in)

    def _know_all(self, connection: Connection, known: list[_Known]) -> list[None]:
        now = self._database.now(connection)
        rows = store.lock(connection, {(k.partner, k.upstream, k.offer) for k in known}, now)
        changed: list[tuple[Offer, Fact]] = []
        for one in known:
            key = (one.partner, one.upstream, one.offer)
            offer = self._seal(described(rows[key], one.metadata), one.customer, now)
            rows[key] = offer
            if offer.facts == 0 or one.metadata or one.customer:
                fact = Fact(kind="offer.shown", at=now, source=Source.SERVER, metadata=one.metadata)
                changed.append((offer, fact))
        store.save(connection, self._ledger, changed, now)
        return [None] * len(known)


class _Batch:
    """Messages applied one after the other to rows that are locked."""

    def __init__(
        self,
        rows: dict[store.Key, Offer],
        earlier: dict[tuple[str, str], "_Earlier"],
        seal: Callable[[Offer, Mapping[str, str], int], Offer],
        now: int,
    ) -> None:
        self._rows = rows
        self._seal = seal
        self._earlier = earlier
        self._now = now
        self.changed: list[tuple[Offer, Fact]] = []

    def take(self, message: Message, policy: Policy) -> "_Answer":
        """Apply *message* unless it is a replay; return its answer."""
        key = (message.partner, message.upstream, message.offer)
        offer = self._rows[key]
        earlier = self._earlier.get((message.partner, message.id))
        if earlier is not None:
            if not earlier.is_same(message, offer):
                return Problem("idempotency_key_reused")
            return _recorded(message, offer, earlier, replayed=True), None
        standing = self._earlier.get((message.partner, offer.message or ""))
        after = say(offer, message, policy, self._now, standing.seq if standing else 0)
        metadata = as_text(message.metadata)
        offer = described(after.offer, metadata, outdated=after.superseded)
        if not after.superseded:
            offer = self._seal(offer, message.customer, self._now)
        self._rows[key] = offer
        fact = facts_of.said(message, at=self._now, superseded=after.superseded, metadata=metadata)
        self.changed.append((offer, fact))
        first = _Earlier(
            offer_id=offer.id,
            said=message.choice,
            seq=message.seq,
            purchased=message.purchased,
            at=self._now,
            superseded=after.superseded,
        )
        self._earlier[message.partner, message.id] = first
        due_in = None if offer.due_at is None else offer.due_at - self._now
        return _recorded(message, offer, first, replayed=False), due_in


_Answer = tuple[Recorded, int | None] | Problem  # and in how many ms the worker must look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """A message that was recorded before under the same id."""

    offer_id: int
    said: Choice | None
    seq: int
    purchased: bool
    at: int
    superseded: bool

    def is_same(self, message: Message, offer: Offer) -> bool:
        """The same id must tell the same; token, `at` and `tries` may differ."""
        told = (offer.id, message.choice, message.seq, message.purchased)
        return told == (self.offer_id, self.said, self.seq, self.purchased)


def _recorded(message: Message, offer: Offer, first: _Earlier, *, replayed: bool) -> Recorded:
    return Recorded(
        id=message.id,
        partner=message.partner,
        upstream=message.upstream,
        offer=message.offer,
        said=message.choice,
        seq=message.seq,
        purchased=message.purchased,
        recorded_at=first.at,
        choice=offer.choice,
        report=offer.report,
        replayed=replayed,
        superseded=first.superseded or _is_outdated(message, offer, replayed=replayed),
        conflict=offer.conflict,
    )


def _is_outdated(message: Message, offer: Offer, *, replayed: bool) -> bool:
    """A replay of a choice that a newer one has replaced since."""
    return (
        replayed and message.choice not in (None, Choice.UNDECIDED) and offer.message != message.id
    )


def _met(
    messages: Collection[Message],
    rows: Mapping[store.Key, Offer],
    earlier: Collection[tuple[str, str]],
) -> set[store.Key]:
    """Return the offers that another writer may have added between our two queries."""
    told = (message for message in messages if (message.partner, message.id) in earlier)
    keys = ((message.partner, message.upstream, message.offer) for message in told)
    return {key for key in keys if rows[key].facts == 0}


def _earlier(
    connection: Connection, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], _Earlier]:
    given = map(list, map(set, zip(*wanted, strict=True)))
    told = connection.execute(_TOLD, dict(zip(("partner", "message"), given, strict=True)))
    return {
        (row.partner, row.message): _Earlier(
            offer_id=row.offer_id,
            said=Choice(row.said) if row.said else None,
            seq=row.seq,
            purchased=row.purchased,
            at=row.at,
            superseded=row.superseded,
        )
        for row in told
    }
