"""The outbox: due rows are claimed under a lease, sent, and finished under the claim's fence."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, literal_column

from proxy import pace, store
from proxy.choices import Delivery, Kind, Outcome, Report, Source
from proxy.database import Database, Work
from proxy.leases import IS_TIMED, Round, Taken, Wanted, due_of, fact_of
from proxy.ledger import Fact, Ledger
from proxy.privacy import CustomerKeys, note_of
from proxy.register import Offer
from proxy.reporting import Dice, condemn, finish, lapse, release, tick
from proxy.schema import offers
from proxy.waiting import first_due

log = structlog.get_logger()

_TIMERS = 200  # rows whose time has come, per round


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finish:
    delivery: Delivery
    bucket: str
    outcome: Outcome


class Outbox:
    """The delivery side of the register; safe to use from many threads."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        dice: Dice = random.random,
        customers: CustomerKeys | None = None,
    ) -> None:
        self._customers = customers
        self._database = database
        self._ledger = ledger
        self._dice = dice

    def claim(self, wanted: Wanted) -> Taken:
        """Take due rows, never more than permits and free senders. Raises StorageUnavailable."""
        taken: Taken = self._database.write(self._claim_each, wanted, timeout=60.0)
        return taken

    def finish(self, delivery: Delivery, bucket: str, outcome: Outcome) -> bool:
        """Write down how an attempt ended; False if the lease was lost and nothing changed."""
        return bool(self.finish_soon(delivery, bucket, outcome).result())

    def finish_soon(self, delivery: Delivery, bucket: str, outcome: Outcome) -> Work:
        """Do the same, and wait for nothing."""
        ended = _Finish(delivery=delivery, bucket=bucket, outcome=outcome)
        return self._database.submit(self._finish_all, ended)

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Hand back rows that were claimed and not sent."""
        for delivery in deliveries:
            self._database.write(self._release_each, delivery, timeout=60.0)

    def tick(self) -> int:
        """Do what time has brought (lapsed, abandoned, implied); return how many rows changed."""
        changed: int = self._database.write(self._tick_each, None, timeout=60.0)
        return changed

    def take_back(self) -> int:
        """Take back every `sending` row at once: their worker is known to be gone."""
        changed: int = self._database.write(self._take_back_each, None, timeout=60.0)
        return changed

    # -- claim --------------------------------------------------------------------------------

    def _claim_each(self, connection: Connection, wishes: list[Wanted]) -> list[Taken]:
        return [self._claim(connection, wanted) for wanted in wishes]

    def _claim(self, connection: Connection, wanted: Wanted) -> Taken:
        first, now = first_due(connection), self._database.now(connection)
        lanes = [lane for lane in wanted.lanes if due_of(lane, first, now)]
        locked = pace.lock(connection, (lane.bucket for lane in lanes)) if lanes else {}
        lanes = [lane for lane in lanes if lane.bucket in locked]  # a new one: the next round
        now = self._database.now(connection)  # anew: another worker may have held the lock
        buckets = {key: pace.sane(bucket, now) for key, bucket in locked.items()}
        under_way = Round(
            connection=connection, wanted=wanted, now=now, customers=self._customers, first=first
        )
        moved = {lane.bucket: under_way.claim(lane, buckets[lane.bucket]) for lane in lanes}
        store.save(connection, self._ledger, under_way.changed, now)
        pace.save(connection, [one for key, one in moved.items() if one != buckets[key]])
        return under_way.taken(moved)

    # -- finish -------------------------------------------------------------------------------

    def _finish_all(self, connection: Connection, ends: list[_Finish]) -> list[bool]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [end.delivery.row for end in ends])
        telling = [end.bucket for end in ends if _tells(end)]
        buckets = pace.lock(connection, telling) if telling else {}
        changed: list[tuple[Offer, Fact]] = []
        kept: list[bool] = []
        for end in ends:
            offer = rows.get(end.delivery.row)
            fenced = offer is not None and _is_ours(offer, end.delivery)
            kept.append(fenced)
            if offer is None or not fenced:
                continue
            rows[offer.id] = offer = finish(offer, end.outcome, now, self._dice)
            changed.append((offer, _ended(offer, end, now)))
            if end.bucket in buckets:
                before = buckets[end.bucket]
                buckets[end.bucket], alone = pace.learn(before, offer.id, end.outcome, now)
                _tell(before, buckets[end.bucket])
                changed += self._condemn(connection, rows, alone, now)
        store.save(connection, self._ledger, changed, now)
        pace.save(connection, buckets.values())
        return kept

    def _condemn(
        self, connection: Connection, rows: dict[int, Offer], row: int | None, now: int
    ) -> list[tuple[Offer, Fact]]:
        """Another row went through with the same credential, so the 403 was this row's alone."""
        if row is None:
            return []
        offer = rows.get(row) or store.lock_ids(connection, [row]).get(row)
        if offer is None or offer.report is not Report.DUE:
            return []
        rows[row] = dead = condemn(offer, "forbidden")
        return [(dead, fact_of("delivery.dead", dead, now))]

    # -- release, time ------------------------------------------------------------------------

    def _release_each(self, connection: Connection, deliveries: list[Delivery]) -> list[None]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [delivery.row for delivery in deliveries])
        ours = [
            release(rows[one.row], now)
            for one in deliveries
            if one.row in rows and _is_ours(rows[one.row], one)
        ]
        self._save(connection, ours, "delivery.released", now)
        return [None] * len(deliveries)

    def _tick_each(self, connection: Connection, asked: list[None]) -> list[int]:
        now = self._database.now(connection)
        query = (
            store.OFFERS.where(IS_TIMED, offers.c.due_at <= now)
            .order_by(offers.c.due_at)
            .limit(_TIMERS)
            .with_for_update(skip_locked=True)
        )
        rows = [store.offer_of(row) for row in connection.execute(query)]
        changed = [
            (tick(row, now), Fact(kind=_TICKED[row.report], at=now, source=Source.TIMER))
            for row in rows
        ]
        store.save(connection, self._ledger, changed, now)
        return [len(rows)] * len(asked)

    def _take_back_each(self, connection: Connection, asked: list[None]) -> list[int]:
        now = self._database.now(connection)
        query = store.OFFERS.where(IS_TIMED, literal_column("report = 'sending'"))
        rows = [store.offer_of(row) for row in connection.execute(query)]
        self._save(connection, [lapse(row, now) for row in rows], "delivery.lapsed", now)
        return [len(rows)] * len(asked)

    def _save(self, connection: Connection, rows: list[Offer], kind: str, now: int) -> None:
        changed = [(offer, fact_of(kind, offer, now)) for offer in rows]
        store.save(connection, self._ledger, changed, now)


_TICKED = {
    Report.SENDING: "delivery.lapsed",
    Report.HELD: "report.abandoned",
    Report.NONE: "choice.implied",
}


def _tells(end: _Finish) -> bool:
    """True when the answer says something of the credential that its bucket must remember."""
    return end.delivery.probe or end.outcome.kind in (Kind.THROTTLED, Kind.SETUP, Kind.FORBIDDEN)


def _tell(before: pace.Bucket, after: pace.Bucket) -> None:
    if (before.paused_at is None) != (after.paused_at is None):
        event = "credential.works" if after.paused_at is None else "credential.paused"
        log.warning(event, bucket=after.bucket, reason=after.reason)


def _is_ours(offer: Offer, delivery: Delivery) -> bool:
    return offer.report is Report.SENDING and offer.claim == delivery.claim


def _ended(offer: Offer, end: _Finish, now: int) -> Fact:
    return Fact(
        kind="delivery.dead" if offer.report is Report.DEAD else "attempt.finished",
        at=now,
        source=Source.WORKER,
        attempt=end.delivery.attempt,
        outcome=end.outcome.reason,
        status=end.outcome.status,
        note=note_of(end.delivery, end.outcome),
    )
