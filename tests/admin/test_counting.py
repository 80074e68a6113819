"""Counting beside the requests: one at a time, a small share of the time, only when asked."""

import threading
from collections.abc import Callable, Iterator

import pytest

from proxy.counting import LEAST_S, SHARE, Counting
from proxy.errors import StorageUnavailable

_S = 30.0  # patience of a test


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Count:
    """A count that ends when the test says so, and may take its time or fail."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.takes = 0.0
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = 0

    def __call__(self) -> int:
        """Return how often it was asked."""
        self.begun += 1
        assert self.may_end.wait(_S)
        self._clock.now += self.takes
        if self.error:
            raise self.error
        return self.begun


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def count(clock: Clock) -> Iterator[Count]:
    """A count that ends at once."""
    count = Count(clock)
    yield count
    count.may_end.set()


def test_nobody_waits_for_a_count(clock: Clock, count: Count) -> None:
    """The first to ask gets nothing, and one count begins however many ask."""
    count.may_end.clear()
    counting = Counting(count, clock=clock)

    assert [counting.latest() for _ in range(5)] == [None] * 5

    count.may_end.set()
    assert counting.wait(_S)
    found = counting.latest()
    assert found is not None
    assert (found.value, count.begun) == (1, 1)


def test_the_next_count_begins_when_somebody_looks_and_not_too_soon(
    clock: Clock, count: Count
) -> None:
    """One that took two seconds is followed forty seconds later at the earliest."""
    count.takes = 2.0
    counting = Counting(count, clock=clock)
    looked = look(counting)

    clock.now += SHARE * 2.0 - 0.1
    assert looked() == 1
    assert count.begun == 1
    clock.now += 0.2
    looked()
    assert count.begun == 2
    assert looked() == 2


def test_quick_counts_have_a_pause_too(clock: Clock, count: Count) -> None:
    """An empty register is not counted all the time."""
    counting = Counting(count, clock=clock)
    looked = look(counting)

    clock.now += LEAST_S - 0.1
    looked()

    assert count.begun == 1


@pytest.mark.parametrize("error", [StorageUnavailable(), ZeroDivisionError()])
def test_after_a_failure_the_older_result_stays(
    clock: Clock, count: Count, error: Exception
) -> None:
    """It is said that it failed; the next count may do."""
    counting = Counting(count, clock=clock)
    looked = look(counting)

    count.error = error
    clock.now += 1_000
    looked()
    assert counting.failed
    assert looked() == 1

    count.error = None
    clock.now += 1_000
    looked()
    assert looked() == 3
    assert not counting.failed


def look(counting: Counting[int]) -> Callable[[], int | None]:
    """Look once, and return what looks again: each time until no count is under way."""

    def again() -> int | None:
        found = counting.latest()
        assert counting.wait(_S)
        return found.value if found else None

    again()
    return again
