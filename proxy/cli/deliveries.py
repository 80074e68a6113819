"""`optout-proxy deliveries`: the outbox, to look at and to requeue dead letters."""

import json
from pathlib import Path
from typing import Any

import click

from proxy.cli.options import config_option, configuration_of, in_plain_words
from proxy.cli.writing import ask_serve, service_of
from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.deliveries import Filter, dead_rows, listed, story
from proxy.reload import Configuration

_REPORTS = ("held", "due", "sending", "delivered", "dead", "cancelled", "abandoned", "none")
_TIMES = ("at", "said_at", "due_at", "created_at", "updated_at")


@click.group("deliveries")
def command() -> None:
    """Look at deliveries; make dead letters due again."""


@command.command("list")
@config_option
@click.option("--report", type=click.Choice(_REPORTS), help="Only those that stand there.")
@click.option("--partner", help="Only this partner's.")
@click.option("--upstream", help="Only this upstream's.")
@click.option("--offer", help="Only this offer's.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@in_plain_words
def list_deliveries(config: Path | None, as_json: bool, **wanted: Any) -> None:
    """List deliveries, newest first."""
    with _database(configuration_of(config)).read() as connection:
        rows = listed(connection, Filter(**wanted))
    if as_json:
        for row in rows:
            click.echo(json.dumps(_readable(row)))
        return
    _table(rows)


@command.command("show")
@config_option
@click.argument("row", metavar="ID", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
@in_plain_words
def show(ctx: click.Context, config: Path | None, row: int, as_json: bool) -> None:
    """Tell the whole story of one delivery."""
    with _database(configuration_of(config)).read() as connection:
        found = story(connection, row)
    if found is None:
        click.echo(f"There is no delivery {row}.", err=True)
        ctx.exit(1)
    delivery, facts = found
    if as_json:
        whole = _readable(delivery) | {"facts": [_readable(fact) for fact in facts]}
        click.echo(json.dumps(whole, indent=2))
        return
    for name, value in _readable(delivery).items():
        click.echo(f"{name:<12} {value if value not in (None, '') else '-'}")
    click.echo()
    for fact in facts:
        click.echo(_line(fact))


@command.command("requeue")
@config_option
@click.argument("rows", metavar="[ID]...", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter.")
@click.option("--partner", help="With --all: only this partner's.")
@click.option("--note", default="", help="Why; kept with the delivery.")
@click.pass_context
@in_plain_words
def requeue(
    ctx: click.Context,
    config: Path | None,
    rows: tuple[int, ...],
    every: bool,
    partner: str | None,
    note: str,
) -> None:
    """Make dead letters due again: under a new key after a definite answer, else the old one."""
    configuration = configuration_of(config)
    if bool(rows) == every:
        raise click.UsageError("Name the deliveries, or say --all.")
    with _database(configuration).read() as connection:
        chosen = dead_rows(connection, partner) if every else list(rows)
    done = _requeue(configuration, chosen, note)
    for row, accepted in zip(chosen, done, strict=True):
        if not accepted:
            click.echo(f"{row}: not a dead letter that may be sent again.", err=True)
    click.echo(f"{sum(done)} of {len(chosen)} requeued.")
    ctx.exit(0 if all(done) else 1)


def _requeue(configuration: Configuration, rows: list[int], note: str) -> list[bool]:
    """Ask the running `serve`; without one take the lock and do it here."""
    answer = ask_serve(configuration, command="requeue", rows=rows, note=note)
    if answer is not None:
        return list(answer["done"])
    with service_of(configuration) as service:
        return [service.dead_letters.requeue(row, note) for row in rows]


def _database(configuration: Configuration) -> Database:
    return Database(configuration.current.database, wall)


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: time_of(value) if name in _TIMES else value for name, value in row.items()}


def _table(rows: list[dict[str, Any]]) -> None:
    names = ("id", "partner", "upstream", "offer", "choice", "report", "attempts", "outcome")
    lines = [names, *(tuple(str(row[name] or "-") for name in names) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    for line in lines:
        pairs = zip(line, widths, strict=True)
        click.echo("  ".join(text.ljust(width) for text, width in pairs).rstrip())


def _line(fact: dict[str, Any]) -> str:
    told = [f"{fact['ordinal']:>3}", str(time_of(fact["at"])), fact["kind"], fact["source"]]
    told += [
        f"{name}={fact[name]}"
        for name in ("said", "attempt", "status", "outcome", "note")
        if fact[name] is not None
    ]
    return "  ".join([*told, f"→ {fact['choice']}/{fact['report']}"])
