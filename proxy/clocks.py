"""Clocks: what time it is for the web, and what time it is for what is due."""

import time
from collections.abc import Callable


def wall() -> int:
    """Return Unix milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000


class Steady:
    """Unix milliseconds that never go back while the process lives.

    A clock that is set back an hour would make everything due an hour late. One that is set
    forward is followed.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = clock() - monotonic()

    def __call__(self) -> int:
        """Return the time; never less than before."""
        self._ahead = max(self._ahead, self._clock() - self._monotonic())
        return int((self._monotonic() + self._ahead) * 1000)
