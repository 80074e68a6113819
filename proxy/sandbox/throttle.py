"""The insurer's rate limit: so many calls in any window of one second."""

from collections import defaultdict, deque
from collections.abc import Callable
from threading import Lock


class Throttle:
    """Counts calls per credential in a sliding window; safe for many threads."""

    def __init__(self, rate_per_second: float, clock: Callable[[], int]) -> None:
        self._rate = rate_per_second
        self._clock = clock
        self._lock = Lock()
        self._calls: defaultdict[str, deque[int]] = defaultdict(deque)

    def wait(self, credential: str) -> float:
        """Count one call and return 0, or return the seconds until one is allowed."""
        if self._rate <= 0:
            return 0.0
        allowed = max(1, int(self._rate))
        window_ms = 1000 * allowed / self._rate
        with self._lock:
            now, calls = self._clock(), self._calls[credential]
            while calls and calls[0] <= now - window_ms:
                calls.popleft()
            if len(calls) >= allowed:
                return (calls[0] + window_ms - now) / 1000
            calls.append(now)
        return 0.0
