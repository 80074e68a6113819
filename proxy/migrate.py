"""Bring the schema up to this version, or say that it is not.

Revisions are numbered. A release works with its own schema and with the next one, so that old and
new processes run side by side while a deployment is rolled: a migration only adds, what it takes
away goes in the release after.
"""

import sys
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from proxy import engines
from proxy.database import Database
from proxy.errors import ConfigurationError

_MIGRATIONS = Path(__file__).parent / "migrations"
_FOUND = text("SELECT version_num FROM alembic_version")
_POSTGRES = (
    "SET LOCAL lock_timeout = '60s'",
    "SELECT pg_advisory_xact_lock(7302110817)",  # one migrates, others wait; any number of ours
    "SET LOCAL lock_timeout = '2s'",  # who waits for a table holds up all who come after
    "SET LOCAL statement_timeout = 0",
)


def upgrade(database: Database) -> None:
    """Run what migrations are missing, all in one transaction. Before `database.start`.

    Raises ConfigurationError when the schema is too new.
    """
    try:
        _upgrade(database)
    except DBAPIError as error:
        raise engines.unfit(error) from error


def _upgrade(database: Database) -> None:
    with database.begin() as connection:
        for statement in () if database.is_sqlite else _POSTGRES:
            connection.execute(text(statement))
        if _ahead(connection) >= 0:
            _judge(connection)
            return
        _run(connection)


def _run(connection: Connection) -> None:
    """Let alembic run them; a process that needs none never has its 8 MB."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise ConfigurationError unless the schema is one that this version works with."""
    with database.read() as connection:
        _judge(connection)


def _judge(connection: Connection) -> None:
    ahead = _ahead(connection)
    if ahead < 0:
        raise ConfigurationError("The database has an older schema; run `optout-proxy migrate`.")
    if ahead > 1:
        raise ConfigurationError(
            "The database was migrated by a newer version of optout-proxy; install that version."
        )


def _ahead(connection: Connection) -> int:
    """Return how many steps the schema is ahead of this version."""
    found = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.execute(_FOUND).scalar()
    head = max(int(path.name[1:5]) for path in (_MIGRATIONS / "versions").glob("v*.py"))
    return _number(found) - head


def _number(revision: str | None) -> int:
    if revision is None:
        return 0
    return int(revision) if revision.isdigit() else sys.maxsize  # of a version with other names
