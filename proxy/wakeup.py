"""A bell for the worker: rung when something is due, so that nothing waits for a poll."""

import threading
import time


class Wakeup:
    """Rung by any thread, heard by one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._at: float | None = None  # ms; the earliest time asked for

    def ring(self, at_ms: int = 0) -> None:
        """Wake the listener at *at_ms* (Unix milliseconds), at once if that is past."""
        with self._condition:
            if self._at is None or at_ms < self._at:
                self._at = at_ms
                self._condition.notify()

    def wait(self, until_ms: float) -> None:
        """Sleep until *until_ms* or until rung for an earlier time."""
        with self._condition:
            while (left := self._wake_at(until_ms) - time.time() * 1000) > 0:
                self._condition.wait(left / 1000)
            if self._at is not None and self._at <= time.time() * 1000:
                self._at = None

    def _wake_at(self, until_ms: float) -> float:
        return until_ms if self._at is None else min(until_ms, self._at)
