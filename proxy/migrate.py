"""Bring the schema up to this version, or say that it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from proxy.database import Database
from proxy.errors import ConfigurationError


def upgrade(database: Database) -> None:
    """Run what migrations are missing, all in one transaction. Before `database.start`."""
    config = _config()
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise ConfigurationError unless the schema is the one this version works with."""
    with database.read() as connection:
        found = _version(connection)
    known = ScriptDirectory.from_config(_config())
    if found == known.get_current_head():
        return
    if found is not None and found not in {script.revision for script in known.walk_revisions()}:
        raise ConfigurationError(
            "The database was migrated by a newer version of optout-proxy; install that version."
        )
    raise ConfigurationError("The database has an older schema; run `optout-proxy migrate`.")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
