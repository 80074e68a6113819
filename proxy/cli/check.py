"""`optout-proxy check`: what is wrong with the configuration, and how to mend it."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from proxy.app import Service
from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.reload import Configuration

_SAFE_SQLITE = (3, 51, 3)  # https://www.sqlite.org/wal.html#walresetbug


@click.command("check")
@config_option
@click.pass_context
@in_plain_words
def command(ctx: click.Context, config: Path | None) -> None:
    """Read configuration and secrets, try the database; say what is wrong."""
    configuration = configuration_of(config)
    faults = 0
    for name, check in (
        ("settings", lambda: None),
        ("database", lambda: _database(configuration)),
        ("secrets", lambda: _secrets(configuration)),
    ):
        faults += _say(name, check)
    for warning in _warnings(configuration):
        click.echo(f"note      {warning}")
    ctx.exit(1 if faults else 0)


def _say(name: str, check: Callable[[], None]) -> int:
    try:
        check()
    except ConfigurationError as error:
        click.echo(f"{name:<10}{error}")
        return 1
    click.echo(f"{name:<10}ok")
    return 0


def _database(configuration: Configuration) -> None:
    database = Database(configuration.current.database, wall)
    try:
        if database.is_sqlite:
            _file(database)
        else:
            database.check()
    finally:
        database.dispose()


def _file(database: Database) -> None:
    """Judge an embedded database; a running `serve` and what a crash has left are not touched."""
    path = Path(database.url.database or "")
    if not path.exists() and not path.with_name(f"{path.name}-wal").exists():
        return  # `serve` makes it
    damages = database.damages()
    if damages:
        more = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
        raise ConfigurationError(
            f"{path.name} is damaged: {damages[0]}{more}. Stop `serve`, keep the file and its "
            "-wal, restore a backup; `optout-proxy audit verify` names the rows."
        )
    _disk(path.parent)


def _disk(folder: Path) -> None:
    """See with a file of our own whether the folder's file system keeps what SQLite commits."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".check-") as own:
            trial = Database(f"sqlite:///{Path(own) / 'trial.db'}", wall)
            try:
                trial.check()
            finally:
                trial.dispose()
    except OSError as error:
        raise ConfigurationError(f"{folder} can not be written ({error.strerror}).") from error


def _secrets(configuration: Configuration) -> None:
    service = Service(configuration)
    service.database.dispose()


def _warnings(configuration: Configuration) -> Iterator[str]:
    settings = configuration.current
    if settings.redis_url is None:
        yield "Without `redis_url` the inbound limits count per process."
    if settings.database.startswith("sqlite") and sqlite3.sqlite_version_info < _SAFE_SQLITE:
        yield (
            f"SQLite {sqlite3.sqlite_version} has a bug with two writers (mended in 3.51.3); "
            "this program writes from one, so leave the file to it alone."
        )
