"""`optout-proxy conflicts`: what waits for a person, and how a person resolves it."""

import json
from pathlib import Path
from typing import Any

import click

from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.writing import ask_serve, service_of
from proxy.clocks import time_of, wall
from proxy.conflicts import LONGEST_NOTE, Resolution, count, is_note, listed
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.reload import Configuration

_TIMES = ("since", "chosen_at", "accepted_at", "unknown_at")
_HIGHEST_ID = 2**63 - 1


@click.group("conflicts")
def command() -> None:
    """Look at what contradicts itself; write down what a person found out."""


@command.command("list")
@config_option
@click.option("--partner", help="Only this partner's.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@in_plain_words
def list_conflicts(config: Path | None, partner: str | None, limit: int, as_json: bool) -> None:
    """List what waits for a person, longest first."""
    database = _database(configuration_of(config))
    try:
        with database.snapshot() as connection:
            rows = listed(connection, partner, limit)
            total = count(connection, partner)
    except StorageUnavailable:
        raise click.ClickException("The database can not be read.") from None
    finally:
        database.dispose()
    for row in map(_readable, rows):
        click.echo(json.dumps(row) if as_json else _text(row))
    if len(rows) < total:
        click.echo(f"{len(rows)} of {total} shown; --limit shows more.", err=True)
    elif not as_json and not rows:
        click.echo("Nothing waits for a person.")


@command.command("resolve")
@config_option
@click.argument("row", metavar="ID", type=click.IntRange(1, _HIGHEST_ID))
@click.option(
    "--as",
    "word",
    type=click.Choice([str(each) for each in Resolution]),
    required=True,
    help="The insurer's record says declined, and may; or nothing stands there.",
)
@click.option("--note", required=True, help="What was found out and from whom; kept for good.")
@click.pass_context
@in_plain_words
def resolve(ctx: click.Context, config: Path | None, row: int, word: str, note: str) -> None:
    """Clear the conflicts of one offer; nothing is sent."""
    if not is_note(note):
        raise Refusal(f"A note has 1 to {LONGEST_NOTE} printable characters, on one line.")
    try:
        refused = _resolve(configuration_of(config), row, Resolution(word), note)
    except StorageUnavailable:
        raise click.ClickException("The database can not be written.") from None
    if refused is not None:
        click.echo(f"{row}: {refused}", err=True)
        ctx.exit(1)
    click.echo(f"{row}: resolved as {word}.")


def _resolve(
    configuration: Configuration, row: int, resolution: Resolution, note: str
) -> str | None:
    """Ask the running `serve`; without one take the lock and do it here."""
    answer = ask_serve(
        configuration, command="resolve", row=row, note=note, **{"as": str(resolution)}
    )
    if answer is not None:
        refused: str | None = answer["refused"]
        return refused
    with service_of(configuration) as service:
        return service.conflicts.resolve(row, resolution, note)


def _database(configuration: Configuration) -> Database:
    return Database(configuration.current.database, wall)


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: time_of(value) if name in _TIMES else value for name, value in row.items()}


def _text(row: dict[str, Any]) -> str:
    """Tell one conflict in a paragraph."""
    lines = [
        f"{row['id']}  {row['partner']}/{row['upstream']}  {row['offer']}  since {row['since']}",
        *(f"  {'what':<9} {what}" for what in row["what"]),
        f"  {'choice':<9} {_choice(row)}",
        f"  {'report':<9} {row['report']}",
        f"  {'sent':<9} {row['sent']}",
        f"  {'answer':<9} {_answer(row)}",
        f"  {'order':<9} {row['order'] or ('bought' if row['purchased'] else '-')}",
        *(f"  {'do':<9} {advice}" for advice in row["advice"]),
    ]
    return "\n".join([*lines, ""])


def _choice(row: dict[str, Any]) -> str:
    accepted = row["accepted_at"]
    if row["choice"] == "accepted" or accepted is None:
        return f"{row['choice']}, at {accepted or row['chosen_at'] or '-'}"
    return f"{row['choice']}, at {row['chosen_at']}; was accepted at {accepted}"


def _answer(row: dict[str, Any]) -> str:
    told = [str(value) for value in (row["status"], row["outcome"]) if value is not None]
    return " ".join(told) or "-"
