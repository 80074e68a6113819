"""Windows: how many requests of one upstream may be under way, by how its insurer has answered.

Each attempt that fails halves the window, each answer widens it by one. So an insurer that hangs
keeps few senders waiting, enough of them to see when it is back, and what works is never in its
way. This is how TCP shares a line that it knows nothing of (RFC 5681, section 3.1).
"""

import threading
from collections.abc import Mapping

from proxy.choices import Kind
from proxy.waiting import Pair

LEAST = 2  # one offer that hangs may not be all that is asked


class Windows:
    """The windows of one worker; safe to use from many threads."""

    def __init__(self, senders: int) -> None:
        self._senders = senders
        self._lock = threading.Lock()
        self._sizes: dict[Pair, int] = {}  # the one that was asked longest ago first

    def learn(self, pair: Pair, kind: Kind) -> None:
        """Narrow or widen the window of *pair* after an attempt."""
        with self._lock:
            size = self._sizes.pop(pair, self._senders)
            failed = kind is Kind.TRANSIENT
            self._sizes[pair] = max(LEAST, size // 2) if failed else min(self._senders, size + 1)

    def sizes(self, flying: Mapping[Pair, int]) -> Mapping[Pair, int]:
        """Return the windows in force, where *flying* are under way.

        The upstreams that fail have half of the senders among them, however many they are; those
        that are left out this time have a window of 0.
        """
        with self._lock:
            sizes = dict(self._sizes)
        failing = [pair for pair, size in sizes.items() if size == LEAST]
        room = max(1, self._senders // 2) - sum(flying.get(pair, 0) for pair in failing)
        for pair in failing:
            sizes[pair] = min(LEAST, flying.get(pair, 0) + max(0, room))
            room -= sizes[pair] - flying.get(pair, 0)
        return sizes
