"""Counts what the package costs: `python -m tests.cost.count` prints the table of budgets anew.

What can be counted inside a process is counted in one of its own, so that nothing else is.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from math import ceil
from pathlib import Path

from tests.cost import served, serving, writes
from tests.cost.budgets import shown
from tests.faults.planted import environment
from tests.faults.postgres import a_server
from tests.faults.syscalls import can_trace

_BUDGETS = Path(__file__).with_name("budgets.py")
_ROOT = _BUDGETS.parents[2]

Counts = dict[str, float]


def of_statements(url: str, code: Path | None = None) -> Counts:
    """Return the statements on the empty database at *url*."""
    return _counted("statements", url, code=code)


def of_calls(code: Path | None = None) -> Counts:
    """Return the calls of Python."""
    return _counted("calls", code=code)


def of_writes(folder: Path, code: Path | None = None) -> Counts:
    """Return what reaches the disk."""
    return writes.count(folder, _environment(code))


def _counted(module: str, *arguments: str, code: Path | None) -> Counts:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.cost.{module}", *arguments],
        env=_environment(code),
        capture_output=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    counts: Counts = json.loads(done.stdout)
    return counts


def _environment(code: Path | None) -> dict[str, str]:
    """Return the environment in which the package in *code* is found first, and these tests."""
    given = environment(code or _ROOT)
    return {**os.environ, **given, "PYTHONPATH": f"{given['PYTHONPATH']}{os.pathsep}{_ROOT}"}


# -- the table --------------------------------------------------------------------------------

# The first that a name contains: how its limits follow from today's count.
_LIMITS: dict[str, Callable[[float], tuple[float, float]]] = {
    "has not seen": lambda _: (0, 0),
    "commits for": lambda _: (1, 1),
    "statements per": lambda today: (today / 4, today),
    "statements for": lambda today: (1, today),
    "runs of a statement": lambda today: (1, today),
    "calls": lambda today: (today / 4, today * 1.05),
    "per page request": lambda _: (1, 1),
    # One for each commit; some more for what moves from the log to the file.
    f"fsyncs for {writes.BATCHES} commits": lambda today: (writes.BATCHES, today + 8),
    f"fsyncs for {writes.BATCHES} claims": lambda today: (2 * writes.BATCHES, today + 8),
    "choices at once": lambda today: (1, today + 2),
    "bytes": lambda today: (today / 4, today * 1.1),
    # Not fewer than let each connection, and each sender, wait for its commit. Not nearly as many
    # as there are choices, whatever today's count may be: then nobody would share a commit.
    "fsyncs of serve, choices": lambda today: (
        ceil(served.CHOICES / served.CONNECTIONS),
        min(today * 3, served.CHOICES / 2),
    ),
    "fsyncs of serve, deliveries": lambda today: (
        ceil(served.DELIVERIES / served.SENDERS),
        min(today * 3, served.DELIVERIES / 2),
    ),
    "wakings": lambda today: (0.1, today * 1.5 + 10),
}


def everything() -> Iterator[tuple[str, float]]:
    """Yield each count as it is now."""
    assert can_trace(), "the table can not be made without strace"
    with tempfile.TemporaryDirectory() as name, a_server() as server:
        folder = Path(name)
        yield from of_statements(f"sqlite:///{folder / 'optout.db'}").items()
        yield from of_statements(server.create_database("cost")).items()
        yield from of_calls().items()
        for part in (serving.count, of_writes, served.count):
            place = folder / part.__module__
            place.mkdir()
            yield from part(place).items()


def table(counts: Iterable[tuple[str, float]]) -> str:
    """Return the table of budgets that follows from *counts*."""
    lines = [f"{'what':64}{'least':>8}{'today':>8}{'most':>8}"]
    for name, today in counts:
        limits = next(limits for part, limits in _LIMITS.items() if part in name)
        least, most = limits(today)
        lines.append(f"{name:64}{shown(least):>8}{shown(today):>8}{shown(most):>8}")
    return "\n".join(lines)


def main() -> None:
    """Print the table; with `--write`, put it into budgets.py."""
    text = table(everything())
    sys.stdout.write(f"{text}\n")
    if "--write" in sys.argv:
        head, tail = re.split(r'(?<=TABLE = """\n)[^"]*(?=""")', _BUDGETS.read_text("utf-8"))
        _BUDGETS.write_text(f"{head}{text}\n{tail}", "utf-8")


if __name__ == "__main__":
    main()
