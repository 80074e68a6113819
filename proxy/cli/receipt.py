"""`optout-proxy receipt`: what a receipt says, and whether it is genuine."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli.export import keys_in
from proxy.receipts import verify as verify_receipt


@click.group("receipt")
def command() -> None:
    """Verify receipts."""


@command.command("verify")
@click.argument("receipt", default="-")
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The published keys: /.well-known/choice-keys.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, receipt: str, keys: Path, as_json: bool) -> None:
    """Verify RECEIPT (or the one on standard input), offline, with no configuration.

    Exits with 1 if none of the keys has signed it.
    """
    known = keys_in(keys)
    published = json.loads(keys.read_text("utf-8"))["keys"]
    usable = {"keys": [key for key in published if key.get("kid") in known and "x" in key]}
    text = (sys.stdin.read() if receipt == "-" else receipt).strip()
    try:
        claims = verify_receipt(text, usable)
    except (ValueError, RecursionError) as error:
        click.echo(f"{_reason(text, error)}.", err=True)
        ctx.exit(1)
    if as_json:
        click.echo(json.dumps(claims))
        return
    _print(claims)


def _reason(text: str, error: Exception) -> str:
    """Return what is wrong in plain words; what a decoder says is none."""
    if not text:
        return "There is no receipt"
    said = str(error)
    known = said.startswith(("the receipt", "no published", "that is"))
    return said[0].upper() + said[1:] if known else "That is not a receipt"


def _print(claims: dict[str, Any]) -> None:
    click.echo("The receipt is genuine.")
    for name, value in claims.items():
        click.echo(f"{name:<10} {value if value is not None else '-'}")
