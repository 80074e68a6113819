"""`optout-proxy backup` and `restore`: a copy of an SQLite database, and the way back."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from proxy.backup import Contents, Progress, Restored, UnfitError, back_up, require_embedded
from proxy.backup import restore as put_back
from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.ledger import Ledger
from proxy.lock import FileLock
from proxy.receipts import load_audit_key
from proxy.settings import Settings

_file = click.Path(path_type=Path, dir_okay=False)
_existing = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("backup")
@config_option
@click.argument("file", type=_file)
@click.option("--force", is_flag=True, help="Write over FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@in_plain_words
def command(config: Path | None, file: Path, *, force: bool, as_json: bool) -> None:
    """Copy the SQLite database to FILE, also while `serve` runs, and check the copy."""
    database = Database(configuration_of(config).current.database, wall)
    with _said(), _bar("pages") as progress:
        contents = back_up(database, file, progress, force=force)
    if as_json:
        click.echo(json.dumps({"file": str(file)} | _told(contents), indent=2))
        return
    click.echo(f"{file}: {_sentence(contents)}")


@click.command("restore")
@config_option
@click.argument("file", type=_existing)
@click.option("--force", is_flag=True, help="Also where a database is; it is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@in_plain_words
def restore(config: Path | None, file: Path, *, force: bool, as_json: bool) -> None:
    """Put the backup FILE in the place of the SQLite database, while no `serve` runs.

    What may have been sent since the backup is sent again with the same key, or is a dead letter
    where the insurer may have forgotten that key.
    """
    settings = configuration_of(config).current
    database = Database(settings.database, wall)
    target = require_embedded(database, "use `pg_restore`, before any `serve` or `work` starts")
    if target.exists() and not force:
        raise ConfigurationError(
            f"{target} is there already; --force puts the backup in its place and keeps it."
        )
    ledger = _ledger(settings)
    lock = FileLock(target)
    lock.take()
    try:
        with _said(), _bar("pages") as progress:
            restored = put_back(database, file, ledger, wall, progress)
    finally:
        lock.release()
    _say(restored, as_json=as_json)


@contextmanager
def _said() -> Iterator[None]:
    """What went wrong with a file is one sentence, and exit status 1."""
    try:
        yield
    except StorageUnavailable as error:
        raise click.ClickException(f"The database can not be read ({error.__cause__}).") from None
    except (UnfitError, OSError, sqlite3.Error) as error:
        raise click.ClickException(f"Nothing was put in place: {error}") from None


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    """Yield what moves a progress bar; how long it is is known with the first step."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def move(done: int, of: int) -> None:
            bar.length = of
            bar.update(done - bar.pos)

        yield move


def _ledger(settings: Settings) -> Ledger:
    """A key made anew would not be the one that the backup was written under."""
    if not settings.audit_key_file.exists():
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    return Ledger(load_audit_key(settings.audit_key_file)[0])


def _say(restored: Restored, *, as_json: bool) -> None:
    if as_json:
        kept = str(restored.kept) if restored.kept else None
        counts = {"gated": restored.gated, "again": restored.again, "kept": kept}
        click.echo(json.dumps(_told(restored.contents) | counts, indent=2))
        return
    click.echo(f"Restored: {_sentence(restored.contents)}")
    click.echo(f"{restored.again} reports still wait and keep their key.")
    if restored.gated:
        click.echo(
            f"{restored.gated} may have been sent too long ago: `deliveries list --report dead`."
        )
    if restored.kept:
        click.echo(f"The database that was there is kept: {restored.kept}")


def _told(contents: Contents) -> dict[str, Any]:
    return asdict(contents) | {"newest": time_of(contents.newest)}


def _sentence(contents: Contents) -> str:
    newest = time_of(contents.newest) or "never"
    counts = f"{contents.offers} offers, {contents.facts} facts"
    return f"{counts}, the newest of {newest}; schema {contents.schema}."
