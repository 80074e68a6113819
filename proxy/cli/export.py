"""`optout-proxy export`: every offer, signed, for whoever must not have to believe us."""

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from proxy import __version__, export, funnel
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.cli.report import as_wanted, period_options, write
from proxy.clocks import time_of, wall
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.settings import Settings


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
    ledger, (key, signer) = _ledger(settings), _signer(settings)
    _require_new(out)
    statement = _about(settings, wanted, kind, orders=orders) | {"file": out.name}
    with reading(settings) as connection:
        wanted = funnel.kept(connection, wanted)
        counts = funnel.total(connection, wanted)
        complete = funnel.completeness(connection, wanted, counts)
        statement["period"] = _period(wanted, funnel.days(connection, wanted))
        with click.progressbar(length=complete.offers, label="offers", file=sys.stderr) as bar:
            found = export.rows(connection, wanted, ledger, orders=orders, progress=bar.update)
            written = write(out, export.encode(found, statement["columns"], kind))
    statement |= {"bytes": written.size, "lines": written.lines, "sha256": written.sha256}
    statement |= {"rows": written.lines - (kind == "csv"), "completeness": complete.told}
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


def _about(settings: Settings, wanted: funnel.Wanted, kind: str, *, orders: bool) -> dict[str, Any]:
    columns = [*export.COLUMNS, *([export.ORDER] if orders else [])]
    return {
        "v": 1,
        "deployment": settings.audience,
        "format": kind,
        "columns": columns,
        "partner": wanted.partner,
        "made_at": time_of(wall()),
        "made_with": f"optout-proxy {__version__}",
    }


def _period(wanted: funnel.Wanted, found: tuple[date, date] | None) -> dict[str, str | None]:
    """Return the first and the last day asked for; where none was named, that of an offer."""
    first, last = (wanted.first, wanted.last) if found is None else found
    first, last = wanted.first or first, wanted.last or last
    return {
        "from": first.isoformat() if first else None,
        "to": last.isoformat() if last else None,
    }


def _ledger(settings: Settings) -> Ledger:
    if not settings.audit_key_file.exists():
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    return Ledger(load_audit_key(settings.audit_key_file)[0])


def _signer(settings: Settings) -> tuple[Any, Signer]:
    """Return the key and its published half; one made anew would be known to nobody."""
    if not settings.signing_key_file.exists():
        raise ConfigurationError(f"{settings.signing_key_file} is gone; restore it.")
    key, _ = load_signing_key(settings.signing_key_file)
    return key, Signer(key, settings.audience)


def _require_new(out: Path) -> None:
    for path in (out, export.signature_of(out)):
        if path.exists():
            raise Refusal(f"{path} exists already; nothing is ever written over it.")
    if not out.parent.is_dir():
        raise Refusal(f"{out.parent} is not a folder.")
