"""A statement that is compiled once, and run for many rows by the driver itself.

For each row SQLAlchemy works out its parameters anew, which takes longer than SQLite needs to
write it. Values must be such as both drivers take as they are: no enums, no dates.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Update


class Prepared:
    """One statement; safe to use from many threads."""

    def __init__(self, statement: Insert | Update) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...]]] = {}

    def run(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Run it for each of *rows*, by the names of its parameters; for none, do nothing."""
        if not rows:
            return
        text, names = self._compiled.get(connection.dialect.name) or self._compile(connection)
        given = [tuple([row[name] for name in names]) for row in rows] if names else list(rows)
        connection.exec_driver_sql(text, given)

    def _compile(self, connection: Connection) -> tuple[str, tuple[str, ...]]:
        """Return its text and, where they go by position, the names of its parameters."""
        done = self._statement.compile(dialect=connection.dialect)
        found = (str(done), tuple(done.positiontup or ()))
        self._compiled[connection.dialect.name] = found
        return found
