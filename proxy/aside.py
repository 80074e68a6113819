"""Long reads: each on a connection of its own, so that no request waits for one of the pool."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from proxy.clocks import wall
from proxy.database import Database

# A reader that waits for whoever takes what it reads is not one that was forgotten.
_PATIENT = text("SET LOCAL idle_in_transaction_session_timeout = 0")


class Aside:
    """Reads what *database* holds, beside it; safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection that sees one moment. Raises StorageUnavailable."""
        alone = Database(self._database.url.render_as_string(hide_password=False), wall)
        try:
            with alone.snapshot() as connection:
                if not alone.is_sqlite:
                    connection.execute(_PATIENT)
                yield connection
        finally:
            alone.dispose()

    def now(self, connection: Connection) -> int:
        """Return the time as the database that this reads beside has it."""
        return self._database.now(connection)
