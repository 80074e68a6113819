"""A bell for the worker: rung when something is due, so that nothing waits for a poll."""

import threading
import time


class Wakeup:
    """Rung by any thread, heard by one. Counts spans, so that no clock that steps disturbs it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._at: float | None = None  # monotonic seconds; the earliest time asked for

    def ring(self, after_ms: int = 0) -> None:
        """Wake the listener *after_ms* milliseconds from now, at once if that is not positive."""
        at = time.monotonic() + after_ms / 1000
        with self._condition:
            if self._at is None or at < self._at:
                self._at = at
                self._condition.notify()

    def wait(self, span_s: float) -> None:
        """Sleep for *span_s* seconds or until rung for an earlier time."""
        until = time.monotonic() + span_s
        with self._condition:
            while (left := self._wake_at(until) - time.monotonic()) > 0:
                self._condition.wait(left)
            if self._at is not None and self._at <= time.monotonic():
                self._at = None

    def _wake_at(self, until: float) -> float:
        return until if self._at is None else min(until, self._at)
