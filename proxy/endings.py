"""How attempts ended: written down as they come, and told by one thread for all senders.

What is committed together ends at the same moment. If each sender waited for its own part, all of
them would be woken at once, to stand in line for the log; so they go on, and nobody waits but one.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import structlog

from proxy.choices import Delivery, Kind, Outcome
from proxy.database import Work
from proxy.errors import StorageUnavailable
from proxy.outbox import Outbox

log = structlog.get_logger()

STORAGE_PAUSE_S = 1.0


@dataclass(slots=True, kw_only=True)
class _Ending:
    delivery: Delivery
    bucket: str
    outcome: Outcome
    until: float  # of the monotonic clock: the end of the lease
    tried_at: float
    kept: Work


class Endings:
    """The outcomes of one worker's attempts; safe to use from many threads."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._queue: SimpleQueue[_Ending | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="finisher", daemon=True)

    def start(self) -> None:
        """Begin to tell what was written."""
        self._thread.start()

    def stop(self, end: float) -> None:
        """Write down what is left, if that can be done by *end* of the monotonic clock."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(max(0.0, end - time.monotonic()))

    def waiting(self) -> int:
        """Return how many outcomes are not known to be on disk."""
        return self._queue.qsize()

    def add(self, delivery: Delivery, bucket: str, outcome: Outcome, until: float) -> Work:
        """Write *outcome* down, as often as the lease allows: it must not be asked for twice.

        Return what ends when it has been tried for the first time.
        """
        kept = self._outbox.finish_soon(delivery, bucket, outcome)
        self._queue.put(
            _Ending(
                delivery=delivery,
                bucket=bucket,
                outcome=outcome,
                until=until,
                tried_at=time.monotonic(),
                kept=kept,
            )
        )
        return kept

    def _loop(self) -> None:
        stopping = False
        while not (stopping and self._queue.empty()):
            taken = [self._queue.get(), *self._queued()]
            stopping = stopping or None in taken
            ones = [one for one in taken if one is not None]
            for one in ones[-1:]:
                one.kept.wait()  # what came before it is done by then, as a rule: one wait
            for one in ones:
                try:
                    self._settle(one)
                except Exception:
                    log.exception("finish.crashed", **ids_of(one.delivery))

    def _queued(self) -> Iterator[_Ending | None]:
        with suppress(Empty):
            while True:
                yield self._queue.get_nowait()

    def _settle(self, one: _Ending) -> None:
        try:
            _tell(one, kept=one.kept.result())
        except StorageUnavailable:
            again_at = one.tried_at + STORAGE_PAUSE_S
            if again_at >= one.until:
                log.warning("finish.failed", **ids_of(one.delivery))  # the lease runs out
                return
            time.sleep(max(0.0, again_at - time.monotonic()))
            self.add(one.delivery, one.bucket, one.outcome, one.until)


def ids_of(delivery: Delivery) -> dict[str, object]:
    """Return what every line about *delivery* says of it."""
    names = ("partner", "upstream", "offer", "epoch", "attempt")
    return {"delivery": delivery.row} | {name: getattr(delivery, name) for name in names}


def _tell(one: _Ending, *, kept: bool) -> None:
    outcome = one.outcome
    level = logging.INFO if outcome.kind is Kind.DELIVERED and kept else logging.WARNING
    event = "attempt.finished" if kept else "lease.lost"
    ids = ids_of(one.delivery)
    log.log(level, event, outcome=outcome.reason, status=outcome.status, **ids)
