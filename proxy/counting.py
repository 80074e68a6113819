"""Counting beside the requests: what takes seconds is counted in a thread, while somebody looks.

After a count that took a second the next one begins twenty seconds later at the earliest, so that
all of them together take a twentieth of one core.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from proxy.clocks import wall
from proxy.errors import StorageUnavailable

log = structlog.get_logger()

SHARE = 20  # of the time, one part is spent on counting
LEAST_S = 5.0  # between two counts, however quick they are

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counted(Generic[T]):
    """What a count has found, and when it began."""

    value: T
    at: int  # Unix ms


class Counting(Generic[T]):
    """One count at a time, and the latest result; safe to use from many threads."""

    def __init__(
        self, count: Callable[[], T], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._latest: Counted[T] | None = None
        self._next_at = 0.0
        self.failed = False  # the last count; an older result stays

    def latest(self) -> Counted[T] | None:
        """Return what was counted last, None before the first time; it never waits.

        Whoever asks is somebody who looks: if it is time, the next count begins.
        """
        with self._lock:
            if self._idle.is_set() and self._clock() >= self._next_at:
                self._idle.clear()
                threading.Thread(target=self._look, name="counting", daemon=True).start()
            return self._latest

    def wait(self, seconds: float) -> bool:
        """Wait until no count is under way; False if that took longer."""
        return self._idle.wait(seconds)

    def _look(self) -> None:
        began, at, found = self._clock(), wall(), None
        try:
            found = Counted(self._count(), at)
        except StorageUnavailable:
            log.warning("counting.unread")
        except Exception:
            log.exception("counting.crashed")  # the next count must come
        with self._lock:
            now = self._clock()
            self.failed = found is None
            self._latest = found or self._latest
            self._next_at = now + max(LEAST_S, SHARE * (now - began))
            self._idle.set()
