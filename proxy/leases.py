"""Leases: due rows are claimed with permits of the pace, in turn from each partner."""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, bindparam, literal_column

from proxy import pace, store
from proxy.choices import Choice, Delivery, Source
from proxy.ledger import Fact
from proxy.privacy import CustomerKeys, is_other, opened
from proxy.register import Offer
from proxy.reporting import Claimed, claim, condemn, is_ambiguous
from proxy.schema import offers
from proxy.upstreams import Api, body_for
from proxy.waiting import Pair, first_due

# Literal, not bound: a partial index serves a query only if its condition is in the text.
IS_DUE: ColumnElement[bool] = literal_column("report = 'due'")
IS_TIMED = and_(literal_column("due_at IS NOT NULL"), literal_column("report <> 'due'"))

# One object for all rounds: what is built anew is compiled, or at least looked up, anew.
_DUE = (
    store.OFFERS.where(
        offers.c.choice == str(Choice.DECLINED),
        IS_DUE,
        offers.c.partner == bindparam("of"),
        offers.c.upstream == bindparam("to"),
        offers.c.due_at <= bindparam("now"),
    )
    .order_by(offers.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What shares one bucket: a credential at a host, and the upstreams that use it."""

    bucket: str
    rate: float  # permits a second; 0: no pace
    apis: dict[Pair, Api]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker can take: so many rows in all, under such leases."""

    lanes: Sequence[Lane]
    free: int  # senders with nothing to do
    flying: Mapping[Pair, int] = field(default_factory=dict)  # what is under way
    windows: Mapping[Pair, int] = field(default_factory=dict)  # what may be; absent: any number
    lease_ms: int
    lead_ms: int = 0  # how far ahead permits are booked, so that the commit does not make them late

    def share(self, lane: Lane, taken: int) -> int:
        """Return how many rows *lane* may have more, after *taken* of this round.

        With several lanes each gets at most half of what is left, so that one whose upstream
        hangs can not take every sender.
        """
        left = self.free - taken
        if len(self.lanes) > 1:
            left = (left - sum(self.flying.get(pair, 0) for pair in lane.apis) + 1) // 2
        return max(0, left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a claim brought, and when there may be more; all times by the clock of the claim."""

    now: int
    seen_at: float  # when that was by this process' monotonic clock, in seconds
    deliveries: list[Delivery]
    next_at: int | None


@dataclass(slots=True, kw_only=True)
class Round:
    """One round of claims, under way in one transaction."""

    connection: Connection
    wanted: Wanted
    now: int
    customers: CustomerKeys | None
    first: Mapping[Pair, int]  # when the first row of each pair is due
    seen_at: float = field(default_factory=time.monotonic)
    fence: str = field(default_factory=lambda: uuid4().hex)  # of what is claimed in this round
    deliveries: list[Delivery] = field(default_factory=list)
    emptied: list[Lane] = field(default_factory=list)  # lanes with senders left over
    changed: list[tuple[Offer, Fact]] = field(default_factory=list)

    def claim(self, lane: Lane, bucket: pace.Bucket) -> pace.Bucket:
        """Claim what the lane may send; return its bucket with the permits taken."""
        free = self.wanted.share(lane, len(self.deliveries))
        booked_at = self.now + (self.wanted.lead_ms if lane.rate > 0 else 0)
        slots = pace.permits(bucket, rate=lane.rate, now=booked_at, most=free)
        if not slots:
            if free > 0:
                self.emptied.append(lane)
            return bucket
        rows = self._due(lane, bucket.suspect, len(slots))
        probe = bucket.paused_at is not None
        fresh = [row for row in rows if not self._condemned(row)]
        for offer, send_at in zip(fresh, slots, strict=False):  # fewer rows than permits is usual
            self._take(offer, lane, send_at, probe=probe)
        if len(fresh) < len(slots):
            self.emptied.append(lane)
        return pace.take(bucket, rate=lane.rate, now=booked_at, count=len(fresh))

    def _condemned(self, offer: Offer) -> bool:
        """Give up a row that has become ambiguous while it waited; it uses up no permit."""
        if not is_ambiguous(offer, self.now) and not is_other(self.customers, offer):
            return False
        dead = condemn(offer, "ambiguous")
        self.changed.append((dead, fact_of("delivery.dead", dead, self.now)))
        return True

    def _take(self, offer: Offer, lane: Lane, send_at: int, *, probe: bool) -> None:
        api = lane.apis[offer.partner, offer.upstream]
        offer, customer = opened(self.customers, offer)
        metadata = json.loads(offer.metadata)
        claimed = Claimed(
            claim=self.fence,
            body=body_for(api, metadata=metadata, customer={}),
            send_at=send_at,
            lease_until=send_at + self.wanted.lease_ms,
        )
        due_at, offer = offer.due_at, claim(offer, claimed)
        self.changed.append((offer, fact_of("delivery.claimed", offer, self.now)))
        # What the row keeps frozen holds no personal data; that is frozen in its own column.
        body = body_for(api, metadata=metadata, customer=customer) if customer else offer.body
        self.deliveries.append(
            Delivery(
                row=offer.id,
                claim=claimed.claim,
                partner=offer.partner,
                upstream=offer.upstream,
                offer=offer.offer,
                epoch=offer.epoch,
                attempt=offer.attempts,
                body=body or claimed.body,
                send_at=claimed.send_at,
                lease_until=claimed.lease_until,
                probe=probe,
                due_at=due_at,
            )
        )

    def _due(self, lane: Lane, suspect: int | None, most: int) -> list[Offer]:
        """Return at most *most* due rows of the lane, in turn from each partner and upstream.

        Who is first is drawn anew each time: a paced claim often has one permit only. The
        *suspect* of a paused credential comes last: any other row makes a better probe.
        """
        turns: list[tuple[bool, int, float, Offer]] = []
        for of, to in due_of(lane, self.first, self.now):
            room = max(0, min(most, self._room((of, to))) + (suspect is not None))
            asked = {"of": of, "to": to, "now": self.now, "most": room}
            rows, first = map(store.offer_of, self.connection.execute(_DUE, asked)), random.random()
            turns += [(row.id == suspect, turn, first, row) for turn, row in enumerate(rows)]
        turns.sort(key=lambda one: one[:3])
        return [offer for *_, offer in turns[:most]]

    def _room(self, pair: Pair) -> int:
        """Return how many more of *pair* may be under way."""
        taken = sum((one.partner, one.upstream) == pair for one in self.deliveries)
        flying = self.wanted.flying.get(pair, 0) + taken
        return self.wanted.windows.get(pair, flying + self.wanted.free) - flying

    def taken(self, buckets: dict[str, pace.Bucket]) -> Taken:
        """Return what was claimed, and the earliest time at which there may be more.

        A lane that has filled its senders is not asked: a sender that becomes free rings.
        """
        first = first_due(self.connection) if self.deliveries and self.emptied else self.first
        asked = [(lane, 0) for lane in self.wanted.lanes if lane.bucket not in buckets]
        asked += [(lane, buckets[lane.bucket].claimable_at()) for lane in self.emptied]
        pairs = [(pair, at) for lane, at in asked for pair in lane.apis if pair in first]
        # Where there is no room, a sender that becomes free rings.
        dues = [max(at, first[pair]) for pair, at in pairs if self._room(pair) > 0]
        at = min(dues, default=None)
        return Taken(now=self.now, seen_at=self.seen_at, deliveries=self.deliveries, next_at=at)


def fact_of(kind: str, offer: Offer, now: int) -> Fact:
    """Return the fact that a worker did *kind* to *offer*."""
    return Fact(
        kind=kind, at=now, source=Source.WORKER, attempt=offer.attempts, outcome=offer.outcome
    )


def due_of(lane: Lane, first: Mapping[Pair, int], now: int) -> list[Pair]:
    """Return those of the *lane* that have something due."""
    return [pair for pair in lane.apis if first.get(pair, now + 1) <= now]
