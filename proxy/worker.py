"""The delivery worker: claim, send, finish. Stops cleanly and hands back what it did not send."""

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

import structlog
from structlog.contextvars import bound_contextvars

from proxy.choices import Delivery, Kind, Outcome
from proxy.endings import STORAGE_PAUSE_S, Endings, ids_of
from proxy.errors import StorageUnavailable
from proxy.leases import Lane, Taken, Wanted
from proxy.outbox import Outbox
from proxy.pace import LONGEST_LEAD_MS
from proxy.waiting import Pair
from proxy.wakeup import Wakeup
from proxy.windows import Windows

log = structlog.get_logger()

POLL_S = 1.0  # the backstop behind the bell
BREATH_S = 0.01
GATHER_MS = 2  # while half of the senders are busy, one claim serves what becomes free meanwhile
BEHIND = 4  # outcomes for each sender that may wait to be on disk before more is claimed
LATE_S = 0.05  # what a permit may be late, or a spacing of the pace if that is more
GRACE_S = 8.0  # for sends in flight when asked to stop


@dataclass(frozen=True, slots=True)
class _Flight:
    """A delivery with its times by this process' monotonic clock, in seconds."""

    delivery: Delivery
    bucket: str
    send_at: float
    patience: float  # how late it may leave, in seconds
    until: float  # the end of the lease


Send = Callable[[Delivery], Outcome]
Routes = Callable[[], "Routing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The lanes in force, and which one serves a partner's upstream."""

    lanes: tuple[Lane, ...]
    lane_of: Mapping[Pair, Lane]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a worker does at once, and for how long a row is its own."""

    senders: int
    lease_ms: int
    deadline_ms: int  # the sender's total deadline


class Worker:
    """One loop that claims and as many threads as there are senders."""

    def __init__(
        self, outbox: Outbox, wakeup: Wakeup, routes: Routes, send: Send, limits: Limits
    ) -> None:
        self._outbox = outbox
        self._wakeup = wakeup
        self._routes = routes
        self._send = send
        self._limits = limits
        self._windows = Windows(limits.senders)
        self._endings = Endings(outbox)
        self._lead_ms = 0  # twice what the latest claim took to be committed
        self._queue: SimpleQueue[_Flight | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._flying: dict[Pair, int] = {}  # deliveries under way
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stop_by: float | None = None
        self._next_at: dict[str, float] = {}  # when the next request of a bucket may leave
        self._tick_at = 0.0  # when to see next what time has brought
        self.claimed_at = time.monotonic()  # when the loop last came round

    def start(self) -> None:
        """Begin to claim and send."""
        self._endings.start()
        names = ["claimer", *(f"sender-{number}" for number in range(self._limits.senders))]
        for name in names:
            target = self._claim_loop if name == "claimer" else self._send_loop
            self._threads.append(threading.Thread(target=target, name=name, daemon=True))
            self._threads[-1].start()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Claim no more, hand back what was not sent, wait *grace_s* for what is in flight.

        Asked again it waits for the end of the first call's grace, not for another one.
        """
        with self._lock:
            first = self._stop_by is None
            self._stop_by = end = self._stop_by or time.monotonic() + grace_s
        self._stopping.set()
        self._wakeup.ring()
        claimer, *senders = self._threads or [threading.current_thread()]
        if senders:
            claimer.join(max(0.0, end - time.monotonic()))  # so that nothing is queued behind
        for _ in senders if first else ():
            self._queue.put(None)
        for thread in senders:
            thread.join(max(0.0, end - time.monotonic()))
        self._endings.stop(end)

    # -- claim --------------------------------------------------------------------------------

    def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._claim()
            except StorageUnavailable:
                log.warning("claim.failed")
                self._stopping.wait(STORAGE_PAUSE_S)
                continue
            except Exception:
                log.exception("claim.crashed")  # the loop must outlive whatever one round meets
                self._stopping.wait(STORAGE_PAUSE_S)
                continue
            self._wakeup.wait(pause)

    def _claim(self) -> float:
        """Claim what can be sent now; return for how many seconds nothing more is known."""
        began = self.claimed_at = time.monotonic()
        if began >= self._tick_at:
            self._outbox.tick()
            self._tick_at = began + 2 * POLL_S
        if self._endings.waiting() > BEHIND * self._limits.senders:
            return BREATH_S
        routing = self._routes()
        wanted = self._wanted(routing)
        began = time.monotonic()
        taken = self._outbox.claim(wanted)
        self._lead_ms = min(round(2_000 * (time.monotonic() - began)), LONGEST_LEAD_MS)
        late = []
        for delivery in taken.deliveries:
            lane = routing.lane_of[_pair(delivery)]
            if wanted.lead_ms < LONGEST_LEAD_MS and _is_late(delivery, lane, taken):
                late.append(delivery)  # others may have the permits that follow
            else:
                self._fly(delivery, lane, taken, began)
        self._outbox.release(late)
        next_at = taken.now if late else taken.next_at
        least = 0.0 if taken.deliveries else BREATH_S  # what is due may be in another's hands
        return POLL_S if next_at is None else min(POLL_S, max(least, (next_at - taken.now) / 1000))

    def _wanted(self, routing: Routing) -> Wanted:
        with self._lock:
            flying = dict(self._flying)
        return Wanted(
            lanes=random.sample(routing.lanes, len(routing.lanes)),  # none is always first
            free=max(0, self._limits.senders - sum(flying.values())),
            flying=flying,
            windows=self._windows.sizes(flying),
            lease_ms=self._limits.lease_ms,
            lead_ms=self._lead_ms,
        )

    def _fly(self, delivery: Delivery, lane: Lane, taken: Taken, began: float) -> None:
        """Queue *delivery* with its times by our own clock: the lease as if from before the claim.

        Permits that the commit has made late keep their distance, or they would leave at once.
        """
        send_at = max(_permit(delivery, taken), time.monotonic(), self._next_at.get(lane.bucket, 0))
        self._next_at[lane.bucket] = send_at + _spacing(lane)
        until = began + (delivery.lease_until - taken.now) / 1000
        self._count(_pair(delivery), 1)
        self._queue.put(_Flight(delivery, lane.bucket, send_at, _patience(lane), until))

    def _count(self, pair: Pair, change: int) -> int:
        """Return how many deliveries are under way in all."""
        with self._lock:
            self._flying[pair] = self._flying.get(pair, 0) + change
            return sum(self._flying.values())

    # -- send ---------------------------------------------------------------------------------

    def _send_loop(self) -> None:
        while (flight := self._queue.get()) is not None:
            try:
                with bound_contextvars(**ids_of(flight.delivery)):
                    self._deliver(flight)
            except StorageUnavailable:
                log.warning("release.failed", **ids_of(flight.delivery))  # the lease runs out
            except Exception:
                log.exception("send.crashed", **ids_of(flight.delivery))
            finally:
                crowded = self._count(_pair(flight.delivery), -1) > self._limits.senders // 2
                self._wakeup.ring(GATHER_MS if crowded else 0)

    def _deliver(self, flight: _Flight) -> None:
        if (early := flight.send_at - time.monotonic()) > 0:
            self._stopping.wait(early)
        left_ms = (flight.until - time.monotonic()) * 1000
        late = time.monotonic() - flight.send_at > flight.patience
        if late or self._stopping.is_set() or left_ms < self._limits.deadline_ms:
            self._outbox.release([flight.delivery])
            return
        outcome = self._send(flight.delivery)
        self._windows.learn(_pair(flight.delivery), outcome.kind)
        kept = self._endings.add(flight.delivery, flight.bucket, outcome, flight.until)
        if outcome.kind is not Kind.DELIVERED or flight.delivery.probe:
            kept.wait()  # the next claim must know what that says of the credential


def _pair(delivery: Delivery) -> Pair:
    return delivery.partner, delivery.upstream


def _permit(delivery: Delivery, taken: Taken) -> float:
    """Return when the permit of *delivery* is usable, by the monotonic clock."""
    return taken.seen_at + (delivery.send_at - taken.now) / 1000


def _spacing(lane: Lane) -> float:
    return 1 / lane.rate if lane.rate > 0 else 0.0


def _patience(lane: Lane) -> float:
    """Return how late a permit may be used, in seconds: by its distance from the next one."""
    return max(LATE_S, _spacing(lane)) if lane.rate > 0 else math.inf


def _is_late(delivery: Delivery, lane: Lane, taken: Taken) -> bool:
    return time.monotonic() - _permit(delivery, taken) > _patience(lane)
