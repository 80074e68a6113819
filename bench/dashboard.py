"""How long each page of the dashboard takes at the server, with a million offers on record."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.deployed import folder
from bench.progress import say
from bench.row import Row, measured
from tests.admin.dashboard import Visitor
from tests.admin.filled import MILLION
from tests.admin.full import a_full_dashboard
from tests.admin.pages import pages
from tests.faults.postgres import a_server

ROUNDS = 5
REACH_MS = 300
PATIENCE_S = 300.0
EXPORTS = ("report.html", "report.csv", "export.csv", "export.zip")


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table, on both engines."""
    count = MILLION // 100 if quick else MILLION
    with folder() as place:
        yield from _measured("SQLite", place, f"sqlite:///{place / 'optout.db'}", count)
    with folder() as place, _postgres() as url:
        yield from _measured("PostgreSQL", place, url, count)


@contextmanager
def _postgres() -> Iterator[str]:
    with a_server() as server:
        yield server.create_database("dashboard")


def _measured(engine: str, place: Path, url: str, count: int) -> Iterator[Row]:
    say(f"dashboard, {engine}: {count} offers")
    with a_full_dashboard(place, url, count) as dashboard:
        visitor = dashboard.signed_in("operator")
        counting = dashboard.admin.extensions["counting"]
        yield _page(f"{engine}: first look", [_once(visitor, "/admin/")])
        began = time.perf_counter()
        assert counting.wait(PATIENCE_S)
        beside = [time.perf_counter() - began]
        yield measured(f"{engine}: every offer counted, beside", beside, "s", digits=1)
        slow = []
        for path in sorted(set(pages(dashboard))):
            times = [_once(visitor, path) for _ in range(ROUNDS)]
            if statistics.median(times) > REACH_MS:
                slow.append(path)
            yield _page(f"{engine}: {path}", times)
        named = ", ".join(slow) or "none"
        yield Row(what=f"{engine}: over {REACH_MS} ms", figure=named, reach="none", met=not slow)
        yield from _exports(engine, visitor)


def _page(what: str, times: list[float]) -> Row:
    return measured(what, times, "ms", digits=0, at_most=REACH_MS)


def _exports(engine: str, visitor: Visitor) -> Iterator[Row]:
    """Yield when the first bytes of each export come, and how many offers follow a second."""
    for name in EXPORTS:
        began = time.perf_counter()
        answer = visitor.ask("GET", f"/admin/{name}", buffered=False)
        first = time.perf_counter() - began
        size = sum(map(len, answer.iter_encoded()))
        answer.close()
        whole = time.perf_counter() - began
        figure = f"{first:.2f} s, all in {whole:.0f} s, {size / 1e6:.0f} MB"
        yield Row(what=f"{engine}: first bytes of {name}", figure=figure)


def _once(visitor: Visitor, path: str) -> float:
    """Return the milliseconds that one answer takes, whole."""
    began = time.perf_counter()
    answer = visitor.get(path)
    taken = time.perf_counter() - began
    assert answer.status_code in (200, 302, 303), (path, answer.status_code)
    return 1000 * taken
