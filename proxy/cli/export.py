"""`optout-proxy export`: every offer, signed, for whoever must not have to believe us."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from proxy import export, funnel, statements
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.cli.report import as_wanted, period_options, write


@click.command("export")
@config_option
@period_options
@click.option("--format", "kind", type=click.Choice(export.FORMATS), default="csv")
@click.option("--orders", is_flag=True, help="Also the order references, not only their hashes.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file."
)
@click.pass_context
@in_plain_words
def command(
    ctx: click.Context, /, config: Path | None, kind: str, orders: bool, out: Path, **period: Any
) -> None:
    """Write one line per offer to a new file, and beside it FILE.sig.json, its signature.

    Exits with 1 if the completeness statement does not hold; the files are written all the same.
    """
    wanted = as_wanted(**period)
    settings = configuration_of(config).current
    ledger, (key, signer) = statements.ledger_of(settings), statements.signer_of(settings)
    _require_new(out)
    statement = statements.begun(settings, wanted, kind, orders=orders) | {"file": out.name}
    with reading(settings) as connection:
        wanted = funnel.kept(connection, wanted)
        counts = funnel.total(connection, wanted)
        complete = funnel.completeness(connection, wanted, counts)
        statement["period"] = statements.period(wanted, funnel.days(connection, wanted))
        with click.progressbar(length=complete.offers, label="offers", file=sys.stderr) as bar:
            found = export.rows(connection, wanted, ledger, orders=orders, progress=bar.update)
            written = write(out, export.encode(found, statement["columns"], kind))
    statement = statements.ended(statement, written, complete)
    write(export.signature_of(out), [export.sign(statement, key, signer.kid)])
    click.echo(f"{statement['rows']:,} offers are in {out}, signed with the key {signer.kid}.")
    click.echo(complete.sentence)
    ctx.exit(0 if complete.holds else 1)


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The published keys: /.well-known/choice-keys.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the statement as JSON.")
@click.pass_context
def verify(ctx: click.Context, file: Path, keys: Path, as_json: bool) -> None:
    """Verify FILE against FILE.sig.json, offline, with no configuration.

    Exits with 1 if it is not what was signed, or the signed statement is one of incompleteness.
    """
    try:
        statement = export.verify(file, keys_in(keys))
    except export.Unverified as error:
        click.echo(str(error), err=True)
        ctx.exit(1)
    complete = statement["completeness"]
    if as_json:
        click.echo(json.dumps(statement, indent=2))
    else:
        first, last = (day or "-" for day in statement["period"].values())
        click.echo(
            f"{file.name} is what {statement['deployment']} signed at {statement['made_at']}: "
            f"{statement['rows']:,} offers, from {first} to {last}."
        )
        click.echo(complete["sentence"])
    ctx.exit(0 if complete["holds"] else 1)


def keys_in(path: Path) -> export.Keys:
    """Return the keys in the file *path*; a file without any is wrong use."""
    try:
        return export.read_keys(path.read_text("utf-8"))
    except ValueError:
        raise Refusal(f"{path} is not a JSON web key set with Ed25519 keys.") from None


def _require_new(out: Path) -> None:
    for path in (out, export.signature_of(out)):
        if path.exists():
            raise Refusal(f"{path} exists already; nothing is ever written over it.")
    if not out.parent.is_dir():
        raise Refusal(f"{out.parent} is not a folder.")
