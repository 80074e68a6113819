"""How full a second was."""

from bisect import bisect_left
from collections.abc import Iterable


def fullest_second(arrivals: Iterable[int]) -> int:
    """Return how many of *arrivals*, in ms, the fullest half-open second holds."""
    times = sorted(arrivals)
    return max(bisect_left(times, at + 1_000) - index for index, at in enumerate(times))
