"""A copy of a sealed register, in the hands of whoever changes it without the program."""

import sqlite3
from collections import Counter
from contextlib import closing
from functools import cached_property
from pathlib import Path
from random import Random

from proxy.audit import Wrong
from tests.evidence.test_seals_tampering import Row, rows


class Copy:
    """A copy of a sealed register, the dice of this one change, and other registers to take from.

    *stranger* has another audit key. *sister* has the same one, and was told the same at another
    time: a backup that went on elsewhere.
    """

    def __init__(self, path: Path, dice: Random, *, stranger: Path, sister: Path) -> None:
        self.path = path
        self.dice = dice
        self.stranger = stranger
        self.sister = sister

    @cached_property
    def connection(self) -> sqlite3.Connection:
        """A connection that may write everything: the triggers are dropped, constraints off."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        return connection

    def close(self) -> None:
        """Have all of it in the file."""
        if "connection" in self.__dict__:
            self.connection.close()

    @cached_property
    def facts(self) -> list[Row]:
        """The facts before the change, by id."""
        return read(self.path, "facts")

    @cached_property
    def offers(self) -> list[Row]:
        """The offers before the change, by id."""
        return read(self.path, "offers")

    @cached_property
    def blocks(self) -> list[Row]:
        """The blocks before the change, by the last of their facts."""
        return sorted(read(self.path, "blocks"), key=lambda block: int(block["last_fact"]))

    @property
    def sealed(self) -> list[Row]:
        """The facts that lie in blocks."""
        return [fact for fact in self.facts if fact["id"] <= self.blocks[-1]["last_fact"]]

    @property
    def newer(self) -> list[Row]:
        """The facts that no block holds yet."""
        return self.facts[len(self.sealed) :]

    def around(self, fact: Row) -> Wrong:
        """Return the block that holds *fact*."""
        number = next(
            block["number"]
            for block in self.blocks
            if block["partner"] == fact["partner"] and block["last_fact"] >= fact["id"]
        )
        return Wrong(partner=fact["partner"], block=number, why="")

    def of_one(self, many: list[Row], name: str) -> list[Row]:
        """Return those of *many* that are alike in *name*, drawn by one of them; at least two."""
        several = Counter(row[name] for row in many)
        drawn = self.dice.choice([row for row in many if several[row[name]] > 1])
        return [row for row in many if row[name] == drawn[name]]


def read(path: Path, table: str) -> list[Row]:
    """Return the rows of a table of the file *path*, which stays as it is."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return rows(connection, table)


def add(copy: Copy, table: str, row: Row) -> None:
    """Insert *row*."""
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
    copy.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)


def told(fact: Row) -> Wrong:
    """Return the name of a fact."""
    return Wrong(offer_id=fact["offer_id"], ordinal=fact["ordinal"], why="")
