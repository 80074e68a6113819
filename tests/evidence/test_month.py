"""A simulated month: `report` and `reconcile` say what the simulation has counted by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.evidence.month import Month, placed, simulate
from tests.evidence.month_count import COLUMNS, KINDS

HAPPENS = {*COLUMNS, *KINDS} - {"declined_cancelled"}  # where no declined offer stands


def happened(month: Month) -> set[str]:
    """Return every column and kind that was above zero at some time."""
    sums = (told for names in (COLUMNS, KINDS) for _, told in month.twice.sums[names].values())
    return {name for told in sums for name, number in told.items() if number}


def test_the_report_is_what_happened(tmp_path: Path, url: str) -> None:
    """Line by line, on each engine: when the month ends, after `reconcile --apply`, and later."""
    with placed(tmp_path, url) as place:
        month = simulate(place, seed=7, offers=2_000, days=3)

    assert month.twice.wrong == []
    assert happened(month) == HAPPENS  # or the month would prove little


@pytest.mark.thorough
@pytest.mark.timeout(1_800)
def test_the_report_is_what_happened_in_a_large_month(tmp_path: Path) -> None:
    """Two hundred thousand offers in thirty days, on SQLite."""
    with placed(tmp_path) as place:
        month = simulate(place, seed=11, offers=200_000, days=30)

    assert month.twice.wrong == []
    assert happened(month) == HAPPENS


# -- the comparison has teeth -----------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """One day, and nothing wrong with it."""
    with placed(tmp_path_factory.mktemp("month")) as place:
        month = simulate(place, seed=7, offers=300, days=1)
        assert month.twice.wrong == []
        yield month


CHANGES = {
    "late": ("late = NOT late", "late = NOT late", "'late': 1"),
    "dead": ("report = 'dead'", "report = 'delivered'", "'declined_dead': 1"),
    "day": ("created_at = created_at + 864e5", "created_at = created_at - 864e5", "'shown': 1"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_row_that_tells_otherwise_is_seen(month: Month, changed: str) -> None:
    """One of three hundred is enough."""
    change, back, seen = CHANGES[changed]
    with month.place.database.begin() as connection:
        query = "SELECT min(id) FROM offers WHERE choice = 'declined' AND report = 'delivered'"
        row = connection.execute(text(query)).scalar_one()
        connection.execute(text(f"UPDATE offers SET {change} WHERE id = {row}"))

    month.compare(changed)
    with month.place.database.begin() as connection:
        connection.execute(text(f"UPDATE offers SET {back} WHERE id = {row}"))

    assert any(one.startswith(f"{changed}, (") and seen in one for one in month.twice.wrong)


def test_an_order_that_tells_otherwise_is_seen(month: Month) -> None:
    """The list must be the one that the simulation has counted."""
    pair, orders = next(iter(month.mail.orders.items()))
    alike = next(one for one in orders if month.count.differences([one], pair)["alike"])
    month.count.offers[alike.key].order = "another order"

    month.reconcile("other")

    assert any(one.startswith("other, (") and "contradictory" in one for one in month.twice.wrong)
