"""Writes down how every row went in every engine: `pytest -p tests.browser.matrix`.

`make browser` does, and docs/reference/browsers.md is what it wrote last.
"""

import datetime as dt
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.browser.engines import ENGINES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "browsers.md"
HEAD = """# The snippet in three engines

Each row is a test that drives a real browser and is judged by what the proxy received. It runs
twice: on a page as it is, and on one where everything that the snippet does not need throws when
the snippet reads it (`tests/browser/traps.py` holds the list of what it needs). In every row the
proxy must have received no preflight, and nothing but forms.

`make browser` runs them all and writes this page. It was written on {date}, with {versions}.
{passed} of {all} cells passed; {skipped} could not be tried, with the reason below.

WebKitGTK has the engine of Safari, but not its network process, its tracking prevention or the life
of a tab on a phone.

| row | {names} |
|---|{lines}
"""


class Matrix:
    """What has happened so far."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}  # the name of a test to what its docstring says
        self.cells: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.reasons: list[str] = []
        self.versions: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Write down how a row went; a tear-down that fails fails the row."""
        report = yield
        engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")  # type: ignore[attr-defined]
        if engine:
            self._note(item, engine.name, report)
            if window := item.funcargs.get("browser"):  # type: ignore[attr-defined]
                self.versions[engine.name] = window.version
        return report

    def _note(self, item: pytest.Item, engine: str, report: pytest.TestReport) -> None:
        name = re.sub(r"\[.*", "", item.name)
        self.rows[name] = _first_sentence(item.function.__doc__ or "")  # type: ignore[attr-defined]
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = f"{engine}: {report.longrepr[2].removeprefix('Skipped: ')}"
            self.reasons += [] if reason in self.reasons else [reason]
            self.cells[name, engine].add(f"[{self.reasons.index(reason) + 1}]")
        elif report.failed:
            self.cells[name, engine].add("FAILED")
        elif report.when == "call":
            self.cells[name, engine].add("yes")

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        names = [engine.name for engine in ENGINES]
        marks = [_mark(cell) for cell in self.cells.values()]
        head = HEAD.format(
            date=dt.datetime.now(dt.UTC).date(),
            versions=", ".join(f"{name} {self.versions.get(name, '?')}" for name in names),
            passed=marks.count("yes"),
            all=len(marks),
            skipped=sum(mark.startswith("[") for mark in marks),
            names=" | ".join(names),
            lines="---|" * len(names),
        )
        lines = [
            f"| {_title(name)}. {says} | {' | '.join(_mark(self.cells[name, e]) for e in names)} |"
            for name, says in self.rows.items()
        ]
        notes = [f"{number}. {reason}" for number, reason in enumerate(self.reasons, start=1)]
        PAGE.write_text(head + "\n".join([*lines, "", *notes]).rstrip() + "\n")


def _mark(cell: set[str]) -> str:
    """Return the worst that any variant of a row came to."""
    return "FAILED" if "FAILED" in cell else next(iter(sorted(cell)), "not run")


def _title(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").capitalize()


def _first_sentence(docstring: str) -> str:
    return " ".join(docstring.split("\n\n", maxsplit=1)[0].split())


def pytest_configure(config: pytest.Config) -> None:
    """Take part."""
    config.pluginmanager.register(Matrix())
