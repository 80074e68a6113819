"""How long each page of the dashboard takes at the server, with a million offers on record."""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.admin.dashboard import Visitor
from tests.admin.filled import MILLION
from tests.admin.full import a_full_dashboard
from tests.admin.pages import pages
from tests.faults.postgres import a_server

ROUNDS = 5
REACH_MS = 300
PATIENCE_S = 300.0
EXPORTS = ("report.html", "report.csv", "export.csv", "export.zip")


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows of the table, on both engines."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        url = f"sqlite:///{Path(folder) / 'optout.db'}"
        yield from _measured("SQLite", Path(folder), url)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder, _postgres() as url:
        yield from _measured("PostgreSQL", Path(folder), url)


@contextmanager
def _postgres() -> Iterator[str]:
    with a_server() as server:
        yield server.create_database("dashboard")


def _measured(engine: str, folder: Path, url: str) -> Iterator[tuple[str, str, str]]:
    with a_full_dashboard(folder, url, MILLION) as dashboard:
        visitor = dashboard.signed_in("operator")
        counting = dashboard.admin.extensions["counting"]
        yield f"{engine}: first look", _spread([_once(visitor, "/admin/")]), _reach()
        began = time.perf_counter()
        assert counting.wait(PATIENCE_S)
        yield f"{engine}: every offer counted", f"{time.perf_counter() - began:.1f} s", "beside"
        slow = []
        for path in sorted(set(pages(dashboard))):
            times = [_once(visitor, path) for _ in range(ROUNDS)]
            if statistics.median(times) > REACH_MS:
                slow.append(path)
            yield f"{engine}: {path}", _spread(times), _reach()
        yield f"{engine}: over {REACH_MS} ms", ", ".join(slow) or "none", "none"
        yield from _exports(engine, visitor)


def _exports(engine: str, visitor: Visitor) -> Iterator[tuple[str, str, str]]:
    """Yield when the first bytes of each export come, and how many offers follow a second."""
    for name in EXPORTS:
        began = time.perf_counter()
        answer = visitor.ask("GET", f"/admin/{name}", buffered=False)
        first = time.perf_counter() - began
        size = sum(map(len, answer.iter_encoded()))
        answer.close()
        whole = time.perf_counter() - began
        figure = f"{first:.2f} s, all in {whole:.0f} s, {size / 1e6:.0f} MB"
        yield f"{engine}: first bytes of {name}", figure, ""


def _once(visitor: Visitor, path: str) -> float:
    """Return the milliseconds that one answer takes, whole."""
    began = time.perf_counter()
    answer = visitor.get(path)
    taken = time.perf_counter() - began
    assert answer.status_code in (200, 302, 303), (path, answer.status_code)
    return 1000 * taken


def _spread(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ms  ({min(times):.0f} to {max(times):.0f})"


def _reach() -> str:
    return f"<= {REACH_MS} ms"
