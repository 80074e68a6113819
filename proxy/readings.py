"""The register's figures for a monitor: never older than they must be, never dear.

Counting a million offers takes a while. So they are counted beside the requests, in a thread of
its own, and after a count that took a second the next one begins twenty seconds later.
"""

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from proxy.errors import StorageUnavailable

log = structlog.get_logger()

SHARE = 20  # of the time, one part is spent on counting
LEAST_S = 1.0  # between two counts, however quick they are
WAIT_S = 0.5  # for a count under way, before older figures are shown
FIRST_S = 8.0  # the same where there are none; a monitor waits ten seconds

Read = Callable[[], Mapping[str, float]]


class Readings:
    """Figures as they were read last; safe to use from many threads."""

    def __init__(self, read: Read, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Event()  # nobody is reading
        self._idle.set()
        self._figures: Mapping[str, float] | None = None
        self._read_at = 0.0
        self._took = 0.0
        self._next_at = 0.0
        self._failed = False

    def __call__(self) -> dict[str, float]:
        """Return the figures with their age; StorageUnavailable if the last look failed."""
        self._begin()
        self._idle.wait(FIRST_S if self._figures is None else WAIT_S)
        with self._lock:
            if self._failed or self._figures is None:
                raise StorageUnavailable("the figures can not be read")
            age = max(0.0, self._clock() - self._read_at)
            return {**self._figures, "figures_age_seconds": age, "figures_took_seconds": self._took}

    def at_hand(self) -> Mapping[str, float] | None:
        """Return the figures as they were read last, for who can not wait; None if never."""
        self._begin()
        return self._figures

    def _begin(self) -> None:
        """Look again if it is time."""
        with self._lock:
            if self._idle.is_set() and self._clock() >= self._next_at:
                self._idle.clear()
                threading.Thread(target=self._look, name="figures", daemon=True).start()

    def _look(self) -> None:
        began, figures = self._clock(), None
        try:
            figures = self._read()
        except StorageUnavailable:
            log.warning("figures.unread")
        except Exception:
            log.exception("figures.crashed")  # the next look must come, whatever this one met
        with self._lock:
            now = self._clock()
            self._failed = figures is None
            if figures is not None:
                self._figures, self._read_at, self._took = figures, began, now - began
            self._next_at = now + max(LEAST_S, SHARE * (now - began))
            self._idle.set()
