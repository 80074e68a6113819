"""Clocks: what time it is for the web and for what is due, and how a time is written."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

_LAST_MS = 253_402_300_799_999  # of the year 9999, the last that RFC 3339 can write


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


def time_of(value: int | None) -> str | None:
    """Return Unix milliseconds as RFC 3339 in UTC; as they are where a clock is far beyond it."""
    if value is None:
        return None
    if value > _LAST_MS:
        return str(value)
    moment = datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"
