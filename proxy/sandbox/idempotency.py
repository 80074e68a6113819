"""Idempotency keys, remembered for 48 hours with a digest of what they were used for."""

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from threading import Lock

HOURS_48_MS = 48 * 3600 * 1000


class Verdict(Enum):
    """What a key means for the request that carries it."""

    FRESH = "fresh"  # go on; the key is locked until it is finished or dropped
    REPLAY = "replay"  # the same request was answered before: 409
    LOCKED = "locked"  # the same key is being worked on: 423
    REUSED = "reused"  # the key belongs to another request: 422


class IdempotencyKeys:
    """The keys seen, safe for many threads; a request without a key is always fresh."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._done: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._busy: set[str] = set()

    def begin(self, key: str | None, digest: str) -> Verdict:
        """Lock *key* for the request with *digest*, or say why it can not be."""
        if key is None:
            return Verdict.FRESH
        with self._lock:
            self._forget_old()
            if key in self._busy:
                return Verdict.LOCKED
            if key in self._done:
                return Verdict.REPLAY if self._done[key][0] == digest else Verdict.REUSED
            self._busy.add(key)
        return Verdict.FRESH

    def finish(self, key: str | None, digest: str) -> None:
        """Unlock *key* and remember what it was used for."""
        if key is not None:
            with self._lock:
                self._busy.discard(key)
                self._done[key] = (digest, self._clock())

    def clear(self) -> None:
        """Forget every key that is not being worked on."""
        with self._lock:
            self._done.clear()

    def _forget_old(self) -> None:
        limit = self._clock() - HOURS_48_MS
        while self._done and next(iter(self._done.values()))[1] <= limit:
            self._done.popitem(last=False)
