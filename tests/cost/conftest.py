"""The counts of the package as it is; each group of them is made once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.cost import count, served, serving
from tests.faults.postgres import a_server
from tests.faults.syscalls import can_trace

HOW_TO_TRACE = (
    "fsyncs are counted by strace, and strace is missing or may not trace here; install it "
    "(Debian: apt-get install strace) and allow ptrace"
)
Counted = Callable[[str], dict[str, float]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where what is traced may lie; the test is skipped where nothing can be traced."""
    if not can_trace():
        pytest.skip(HOW_TO_TRACE)
    return tmp_path


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """Return the counts of a group by its name."""

    @cache
    def counts(group: str) -> dict[str, float]:
        if group in ("writes", "served") and not can_trace():
            pytest.skip(HOW_TO_TRACE)
        folder = tmp_path_factory.mktemp(group)
        match group:
            case "SQLite":
                return count.of_statements(f"sqlite:///{folder / 'optout.db'}")
            case "PostgreSQL":
                with a_server() as server:
                    return count.of_statements(server.create_database("cost"))
            case "calls":
                return count.of_calls()
            case "serving":
                return serving.count(folder)
            case "writes":
                return count.of_writes(folder)
        return served.count(folder)

    return counts
