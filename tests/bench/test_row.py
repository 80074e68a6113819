"""How a figure is judged and written."""

import pytest

from bench.row import measured, percentile, spread


@pytest.mark.parametrize(
    ("percent", "rank"), [(0, 1), (1, 1), (50, 50), (95, 95), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, rank: int) -> None:
    """The nearest rank, whatever the order."""
    assert percentile(list(range(100, 0, -1)), percent) == rank


def test_a_percentile_of_one_value_is_that_value() -> None:
    """However high it is asked for."""
    assert percentile([7.0], 99) == 7.0


def test_a_spread_is_the_median_with_least_and_most() -> None:
    """One value has no spread."""
    assert spread([3, 1, 2]) == "2.00 (1.00 to 3.00)"
    assert spread([1_234.5], 0) == "1,234"


@pytest.mark.parametrize(
    ("values", "met"), [([0.7, 0.8, 0.9], "yes"), ([0.7, 0.79, 0.99], "no"), ([0.8], "yes")]
)
def test_the_median_must_reach_what_is_least(values: list[float], met: str) -> None:
    """One good round does not make up for the others."""
    assert measured("ratio", values, at_least=0.8).verdict == met


@pytest.mark.parametrize(
    ("values", "met"), [([1, 50, 99], "yes"), ([1, 51, 52], "no"), ([50], "yes")]
)
def test_the_median_must_not_exceed_what_is_most(values: list[float], met: str) -> None:
    """One bad round does not spoil it; the bound itself is within."""
    row = measured("late", values, "ms", digits=0, at_most=50)

    assert (row.reach, row.verdict) == ("<= 50 ms", met)


def test_what_has_nothing_to_reach_is_not_judged() -> None:
    """Neither yes nor no."""
    row = measured("rate", [1.0, 2.0], "/s")

    assert (row.reach, row.met, row.verdict) == ("", None, "")
