"""`optout-proxy purge`: what is past its retention goes."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from proxy.app import retentions_of
from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.cli.writing import ask_serve, service_of
from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.reload import Configuration
from proxy.retention import Purged, would

_STEP_S = 2.0  # between two looks at how far it is


@click.command("purge")
@config_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a partner.")
@in_plain_words
def command(config: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove the offers, and the facts, that are past their partner's retention.

    A running proxy does so by itself once an hour. The sealed blocks stay, and say what is gone.
    """
    configuration = configuration_of(config)
    try:
        gone = {one.partner: one for one in _would(configuration)}
        if gone and not dry_run:
            gone = _purge(configuration, sum(one.blocks for one in gone.values()))
    except StorageUnavailable:
        raise click.ClickException("The database can not be read, or not be written.") from None
    for one in gone.values():
        click.echo(json.dumps(_told(one)) if as_json else _sentence(one, dry_run=dry_run))
    if not gone and not as_json:
        click.echo("Nothing is past its retention.")


def _would(configuration: Configuration) -> list[Purged]:
    database = Database(configuration.current.database, wall)
    try:
        return list(would(database, retentions_of(configuration)))
    finally:
        database.dispose()


def _purge(configuration: Configuration, blocks: int) -> dict[str, Purged]:
    gone: dict[str, Purged] = {}
    with click.progressbar(length=blocks, label="blocks", file=sys.stderr) as bar:
        for one in _steps(configuration):
            gone[one.partner] = gone.get(one.partner, Purged(partner=one.partner)).plus(one)
            bar.update(one.blocks)
    return gone


def _steps(configuration: Configuration) -> Iterator[Purged]:
    """Ask the running `serve` step by step; without one take the lock and do it here."""
    while (answer := ask_serve(configuration, command="purge")) is not None:
        yield from (Purged(**one) for one in answer["gone"])
        if answer["done"]:
            return
    with service_of(configuration) as service:
        is_done = False
        while not is_done:
            gone, is_done = service.retention.purge(_STEP_S)
            yield from gone


def _told(one: Purged) -> dict[str, object]:
    return asdict(one) | {"until": time_of(one.until)}


def _sentence(one: Purged, *, dry_run: bool) -> str:
    goes = "would go" if dry_run else "are removed"
    offers = f"{one.facts:,} facts and {one.offers:,} offers"
    unsettled = (
        f" {one.unsettled:,} of the offers were dead letters or conflicts that nobody settled."
        if one.unsettled
        else ""
    )
    return f"{one.partner}: {offers} {goes}, sealed until {time_of(one.until)}.{unsettled}"
