"""Growing delays after failures, counted in this process: of networks, and of names."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from proxy.clocks import Steady
from proxy.errors import Problem
from proxy.logins import FORGOTTEN_MS, FREE, LONGEST_WAIT_S, wait_ms

_MOST = 10_000  # keys; the one that failed longest ago is forgotten


class Waits:
    """How long each key has to wait; safe to use from many threads."""

    def __init__(
        self,
        *,
        free: int = FREE,
        longest_s: int = LONGEST_WAIT_S,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._spared = free - FREE
        self._longest_s = longest_s
        self._clock = clock or Steady()
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def require(self, key: str) -> None:
        """Raise Problem(login_throttled) while *key* has to wait."""
        with self._lock:
            count, at = self._failures.get(key, (0, 0))
        wait = wait_ms(count - self._spared, at, self._clock(), self._longest_s)
        if wait:
            raise Problem("login_throttled", retry_after=-(-wait // 1000))

    def fail(self, key: str) -> None:
        """Count a failure of *key*."""
        now = self._clock()
        with self._lock:
            count, at = self._failures.pop(key, (0, now))
            self._failures[key] = (1 if now - at > FORGOTTEN_MS else count + 1, now)
            if len(self._failures) > _MOST:
                self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        """Begin anew with *key*."""
        with self._lock:
            self._failures.pop(key, None)
