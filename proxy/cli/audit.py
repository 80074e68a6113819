"""`optout-proxy audit`: whether what is on record is what was written."""

import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

from proxy import audit
from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.ledger import Ledger
from proxy.receipts import load_audit_key
from proxy.settings import Settings

_SHOWN = 20


@click.group("audit")
def command() -> None:
    """Verify what is on record."""


@command.command("verify")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a wrong row.")
@click.pass_context
@in_plain_words
def verify(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Recompute every fact and offer with the audit key; name the rows that are wrong.

    Needs no running service, and sees one moment of one that runs. Facts cut off at the end of an
    offer together with its own count can not be seen from the database alone.
    """
    settings = configuration_of(config).current
    database = Database(settings.database, wall)
    ledger = _ledger(settings)
    try:
        with database.snapshot() as connection, _bar(audit.count(connection)) as bar:
            found = list(islice(audit.verify(connection, ledger, bar.update), _SHOWN))
            offers = bar.pos
    except StorageUnavailable as error:
        cause = error.__cause__
        raise ConfigurationError(
            f"The database can not be read ({cause}); `optout-proxy check` names the damage."
        ) from error
    _say(found, as_json=as_json, offers=offers)
    ctx.exit(1 if found else 0)


def _bar(length: int) -> Any:
    return click.progressbar(length=length, label="offers", file=sys.stderr)


def _ledger(settings: Settings) -> Ledger:
    if not settings.audit_key_file.exists():
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    key, _ = load_audit_key(settings.audit_key_file)
    return Ledger(key)


def _say(found: list[audit.Wrong], *, as_json: bool, offers: int) -> None:
    for wrong in found:
        if as_json:
            click.echo(json.dumps(asdict(wrong)))
            continue
        where = "" if wrong.ordinal is None else f", fact {wrong.ordinal}"
        click.echo(f"offer {wrong.offer_id}{where}: {wrong.why}")
    if len(found) == _SHOWN:
        click.echo(f"The first {_SHOWN} are shown.", err=True)
    if not as_json and not found:
        click.echo(f"{offers} offers and all their facts are as they were written.")
