"""`optout-proxy migrate`: bring the database's schema up to this version."""

from pathlib import Path

import click

from proxy import migrate
from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.clocks import wall
from proxy.database import Database
from proxy.lock import FileLock


@click.command("migrate")
@config_option
@in_plain_words
def command(config: Path | None) -> None:
    """Bring the schema up to date. `serve` does this by itself for an embedded database."""
    settings = configuration_of(config).current
    database = Database(settings.database, wall)
    lock = FileLock(Path(database.url.database or "")) if database.is_sqlite else None
    if lock:
        lock.take()
    migrate.upgrade(database)
    click.echo("The schema is up to date.")
