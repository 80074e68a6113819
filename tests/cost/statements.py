"""Statements: what reaches the driver in one commit, as SQLAlchemy tells it and as SQLite does.

Run as a program: prints the counts of the engine whose URL is given.
"""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, event

from tests.cost.at_once import Meeting, a_meeting

SIZES = (1, 4, 16, 64)
BATCH = 16
_FRAME = ("--", "BEGIN", "COMMIT", "ROLLBACK")  # a trigger's own, and what holds the others


@dataclass
class Commit:
    """What one transaction gave to the driver."""

    texts: list[str] = field(default_factory=list)  # without BEGIN
    runs: int = 0  # an `executemany` runs its statement for each row

    @property
    def writes(self) -> bool:
        """True if it has changed something of an offer."""
        return any(text.startswith(("INSERT INTO facts", "UPDATE offers")) for text in self.texts)


@dataclass
class Told:
    """Every transaction that has ended, and every statement that SQLite has run."""

    commits: list[Commit] = field(default_factory=list)
    run: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was before."""
        self.commits.clear()
        self.run.clear()

    def writing(self) -> list[Commit]:
        """Return the transactions that have changed an offer."""
        return [commit for commit in self.commits if commit.writes]

    def unseen(self) -> int:
        """Return how many statements SQLite has run that SQLAlchemy was not asked for."""
        mine = [text for text in self.run if not text.startswith(_FRAME)]
        return abs(len(mine) - sum(commit.runs for commit in self.commits))


@contextmanager
def listening() -> Iterator[Told]:
    """Listen to every engine of this process."""
    told = Told()
    under_way: dict[Connection, Commit] = {}

    def execute(connection: Connection, _cursor: Any, text: str, given: Any, *more: Any) -> None:
        commit = under_way.setdefault(connection, Commit())
        if text.startswith(_FRAME):
            return
        commit.texts.append(text.lstrip())
        commit.runs += len(given) if more[-1] else 1  # whether it is an `executemany`

    def end(connection: Connection) -> None:
        told.commits.append(under_way.pop(connection, Commit()))

    def trace(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(told.run.append)

    heard: dict[str, Callable[..., Any]] = {
        "before_cursor_execute": execute,
        "commit": end,
        "rollback": end,
        "connect": trace,
    }
    for name, listener in heard.items():
        event.listen(Engine, name, listener)
    yield told
    for name, listener in heard.items():
        event.remove(Engine, name, listener)


class Counter:
    """Counts what one thing after the other costs."""

    def __init__(self, meeting: Meeting, told: Told) -> None:
        self._meeting = meeting
        self._told = told
        self._unseen = self._commits = self._runs = 0
        self.counts: dict[str, float] = {}

    def choices(self) -> None:
        """Count commits of new choices, few and many at once, and of other kinds."""
        for size in SIZES:
            self._count(_choices(size), self._meeting.record, size)
        self.counts[f"commits for {_choices(SIZES[-1])}"] = self._commits
        self.counts[f"runs of a statement per choice, {SIZES[-1]} at once"] = self._runs / SIZES[-1]
        open_tokens = partial(self._meeting.record, open_token=True)
        self._count("16 choices at once under open tokens", open_tokens, BATCH)
        names = self._meeting.record(BATCH)
        self._count("16 changes at once", self._meeting.say, names, "accepted")
        many = self.counts["statements for 16 choices at once"]
        self.counts["statements per choice, 16 at once"] = many / BATCH

    def deliveries(self) -> None:
        """Count claims and finishes."""
        for size in (1, BATCH):
            self._meeting.record(size)
            ends = (f"claiming {size}", f"finishing {size}")
            claimed = self._count(ends[0], self._meeting.claim, size)
            self._count(ends[1], self._meeting.finish, claimed)
            self.counts[f"commits for {ends[-1]}"] = self._commits
            both = sum(self.counts[f"statements for {end}"] for end in ends)
            self.counts[f"statements per delivery, {size} at once"] = both / size

    def unseen(self) -> None:
        """Say how much went past SQLAlchemy, and past these counts with it."""
        self.counts["statements that SQLAlchemy has not seen"] = self._unseen

    def _count(self, name: str, do: Callable[..., Any], *given: Any) -> Any:
        self._told.clear()
        result = do(*given)
        commits = self._told.writing()
        self._unseen += self._told.unseen()
        self.counts[f"statements for {name}"] = sum(len(commit.texts) for commit in commits)
        self._commits = len(commits)
        self._runs = sum(commit.runs for commit in commits)
        return result


def _choices(size: int) -> str:
    return f"{size} choices at once" if size > 1 else "1 choice"


def count(url: str) -> dict[str, float]:
    """Return the counts on the empty database at *url*."""
    with listening() as told, a_meeting(url) as meeting:
        counter = Counter(meeting, told)
        counter.choices()
        counter.deliveries()
        if url.startswith("sqlite"):
            counter.unseen()
    engine = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    return {f"{engine}: {name}": value for name, value in counter.counts.items()}


if __name__ == "__main__":
    json.dump(count(sys.argv[1]), sys.stdout)
