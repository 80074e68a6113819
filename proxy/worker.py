"""The delivery worker: claim, send, finish. Stops cleanly and hands back what it did not send."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

import structlog

from proxy.choices import Delivery, Kind, Outcome
from proxy.errors import StorageUnavailable
from proxy.leases import Lane, Wanted
from proxy.outbox import Outbox
from proxy.wakeup import Wakeup

log = structlog.get_logger()

POLL_MS = 1_000  # the backstop behind the bell
STORAGE_PAUSE_S = 1.0
GRACE_S = 8.0  # for sends in flight when asked to stop

Send = Callable[[Delivery], Outcome]
Routes = Callable[[], "Routing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The lanes in force, and which one serves a partner's upstream."""

    lanes: tuple[Lane, ...]
    bucket_of: Mapping[tuple[str, str], str]


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
        self._queue: SimpleQueue[tuple[Delivery, str] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._flying: dict[str, int] = {}  # deliveries under way, by bucket
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._tick_at = 0.0  # ms; when to see next what time has brought
        self._round = 0
        self.claimed_at = time.monotonic()  # for the watchdog: when the loop last came round

    def start(self) -> None:
        """Begin to claim and send."""
        names = ["claimer", *(f"sender-{number}" for number in range(self._limits.senders))]
        for name in names:
            target = self._claim_loop if name == "claimer" else self._send_loop
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Claim no more, hand back what was not sent, wait *grace_s* for what is in flight."""
        self._stopping.set()
        self._wakeup.ring()
        end = time.monotonic() + grace_s
        claimer, *senders = self._threads or [threading.current_thread()]
        if senders:
            claimer.join(grace_s)  # nothing is queued behind the signal to end
        for _ in senders:
            self._queue.put(None)
        for thread in senders:
            thread.join(max(0.0, end - time.monotonic()))

    # -- claim --------------------------------------------------------------------------------

    def _claim_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                next_at = self._claim()
            except StorageUnavailable:
                log.warning("claim.failed")
                self._stopping.wait(STORAGE_PAUSE_S)
                continue
            except Exception:
                log.exception("claim.crashed")  # the loop must outlive whatever one round meets
                self._stopping.wait(STORAGE_PAUSE_S)
                continue
            self._wakeup.wait(next_at)

    def _claim(self) -> float:
        """Claim what can be sent now; return when to look again (ms)."""
        self.claimed_at = time.monotonic()
        now = time.time() * 1000
        if now >= self._tick_at:
            self._outbox.tick()
            self._tick_at = now + POLL_MS
        routing = self._routes()
        lanes = self._rotated(routing.lanes)
        free, in_all = self._free(lanes)
        taken = self._outbox.claim(
            Wanted(lanes=lanes, free=free, free_in_all=in_all, lease_ms=self._limits.lease_ms)
        )
        for delivery in taken.deliveries:
            bucket = routing.bucket_of[delivery.partner, delivery.upstream]
            self._count(bucket, 1)
            self._queue.put((delivery, bucket))
        return min(now + POLL_MS, taken.next_at or now + POLL_MS)

    def _rotated(self, lanes: tuple[Lane, ...]) -> tuple[Lane, ...]:
        """Let another lane be first each time."""
        self._round += 1
        first = self._round % len(lanes) if lanes else 0
        return lanes[first:] + lanes[:first]

    def _free(self, lanes: tuple[Lane, ...]) -> tuple[dict[str, int], int]:
        """Return how many deliveries each lane may have more, and all together.

        With several lanes each gets at most half of what the others leave, so that one whose
        upstream hangs can not take every sender.
        """
        with self._lock:
            flying = dict(self._flying)
        left = max(0, self._limits.senders - sum(flying.values()))
        if len(lanes) == 1:
            return {lanes[0].bucket: left}, left
        halves = {lane.bucket: (left - flying.get(lane.bucket, 0) + 1) // 2 for lane in lanes}
        return {bucket: max(0, half) for bucket, half in halves.items()}, left

    def _count(self, bucket: str, change: int) -> int:
        """Return how many deliveries are under way in all."""
        with self._lock:
            self._flying[bucket] = self._flying.get(bucket, 0) + change
            return sum(self._flying.values())

    # -- send ---------------------------------------------------------------------------------

    def _send_loop(self) -> None:
        while (taken := self._queue.get()) is not None:
            delivery, bucket = taken
            try:
                self._deliver(delivery, bucket)
            except StorageUnavailable:
                log.warning("finish.failed", delivery=delivery.row)  # the lease will run out
            except Exception:
                log.exception("send.crashed", delivery=delivery.row)
            finally:
                if self._count(bucket, -1) <= self._limits.senders * 3 // 4:
                    self._wakeup.ring()  # not for every sender: one claim serves several

    def _deliver(self, delivery: Delivery, bucket: str) -> None:
        self._stopping.wait(max(0.0, delivery.send_at / 1000 - time.time()))
        left = delivery.lease_until - time.time() * 1000
        if self._stopping.is_set() or left < self._limits.deadline_ms:
            self._outbox.release([delivery])
            return
        outcome = self._send(delivery)
        kept = self._outbox.finish(delivery, bucket, outcome)
        log.log(
            20 if outcome.kind is Kind.DELIVERED else 30,
            "attempt.finished" if kept else "lease.lost",
            delivery=delivery.row,
            partner=delivery.partner,
            upstream=delivery.upstream,
            offer=delivery.offer,
            attempt=delivery.attempt,
            outcome=outcome.reason,
            status=outcome.status,
        )
