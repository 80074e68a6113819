"""Pages of a large register: the work for each is bounded, whatever has been recorded.

How long they take at a million offers is in `make bench`, part `dashboard`.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen, remove

from tests.admin.dashboard import Dashboard
from tests.admin.full import a_full_dashboard
from tests.admin.pages import pages

_STEPS = 100  # of SQLite's machine, between two looks
_MORE = 1.5  # the same work, give or take a level of an index and what the day brings


class Work:
    """How many steps SQLite's machine has made for one thread."""

    def __init__(self) -> None:
        self.steps = 0
        self._thread = threading.get_ident()

    def before(self, connection: Any, *_others: object) -> None:
        """Count what the next statement on *connection* does, unless it is another thread's."""
        ours = threading.get_ident() == self._thread
        connection.connection.driver_connection.set_progress_handler(
            self._step if ours else None, _STEPS
        )

    def _step(self) -> int:
        self.steps += _STEPS
        return 0


@contextmanager
def counted() -> Iterator[Work]:
    """Count what this thread asks of SQLite meanwhile."""
    work = Work()
    listen(Engine, "before_cursor_execute", work.before)
    try:
        yield work
    finally:
        remove(Engine, "before_cursor_execute", work.before)


def work_of(dashboard: Dashboard) -> dict[str, int]:
    """Return what each page costs, seen for the second time, with counts at hand."""
    visitor = dashboard.signed_in("operator")
    found: dict[str, int] = {}
    for path in pages(dashboard):
        visitor.get(path)
        assert dashboard.admin.extensions["counting"].wait(60)
        with counted() as work:
            answer = visitor.get(path)
        assert answer.status_code in (200, 302, 303), path
        found[re.sub("[0-9]+", "N", path)] = work.steps
    return found


@pytest.mark.parametrize(
    ("few", "many"),
    [(12_000, 36_000), pytest.param(50_000, 1_000_000, marks=pytest.mark.thorough)],
)
def test_no_page_reads_more_of_a_larger_register(tmp_path: Path, few: int, many: int) -> None:
    """Steps of SQLite's machine, counted: what grows with the register is counted beside."""
    costs = []
    for count in (few, many):
        folder = tmp_path / str(count)
        folder.mkdir()
        with a_full_dashboard(folder, f"sqlite:///{folder / 'o.db'}", count) as dashboard:
            costs.append(work_of(dashboard))
    small, large = costs
    assert len(large) > 10
    assert small.keys() == large.keys()
    grown = {path: (small[path], large[path]) for path in large if grows(small[path], large[path])}
    assert grown == {}


def grows(small: int, large: int) -> bool:
    """True when the larger register costs more than the same work."""
    return large > _MORE * small + 10_000


def test_the_count_itself_would_be_seen(tmp_path: Path) -> None:
    """The measure tells a page that counts every offer from one that does not."""
    costs = []
    for count in (2_000, 12_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        with (
            a_full_dashboard(folder, f"sqlite:///{folder / 'o.db'}", count) as dashboard,
            counted() as work,
        ):
            dashboard.rows("SELECT count(*) AS n FROM offers WHERE choice = 'declined'")
        costs.append(work.steps)

    assert grows(*costs)
