"""`optout-proxy audit`: whether what is on record is what was written."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from proxy import verification
from proxy.cli.files import write_secret
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.seals import Block
from proxy.settings import Settings
from proxy.verification import sentence

_UNSEEN = "Without --seal it can not be excluded that the end of the record was cut off."

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("audit")
def command() -> None:
    """Verify what is on record."""


@command.command("verify")
@config_option
@click.option("--seal", type=_file, help="A file that `audit seal` wrote, kept elsewhere since.")
@click.option("--keys", type=_file, help="Older public keys, as choice-keys.json published them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a wrong row.")
@click.pass_context
@in_plain_words
def verify(
    ctx: click.Context, config: Path | None, seal: Path | None, keys: Path | None, as_json: bool
) -> None:
    """Recompute every fact, offer and block; name the rows that are wrong.

    Needs no running service, and sees one moment of one that runs. Whether the end of the record
    was cut off can only be seen with --seal.
    """
    settings = configuration_of(config).current
    ledger = _ledger(settings)
    public_keys = _public_keys(settings, keys)
    kept = _kept(seal, public_keys) if seal else []
    with reading(settings) as connection:
        done = verification.run(connection, ledger, public_keys, kept, _bar)
    _say(done.found, as_json=as_json)
    if done.holds and not as_json:
        click.echo(f"{done.offers} offers and all their facts are as they were written.")
    for line in [*done.summary, *([] if kept else [_UNSEEN])]:
        click.echo(line, err=as_json)
    ctx.exit(0 if done.holds else 1)


@command.command("seal")
@config_option
@click.option("--out", type=click.Path(path_type=Path), help="A new file; else standard output.")
@in_plain_words
def seal_(config: Path | None, out: Path | None) -> None:
    """Write the newest seal of every partner as one JSON file, to keep elsewhere.

    `audit verify --seal FILE` finds with it that the end of the record was cut off.
    """
    with reading(configuration_of(config).current) as connection:
        newest = verification.newest(connection)
    if not newest["seals"]:
        raise Refusal("Nothing is sealed yet; a running proxy seals every minute.")
    text = json.dumps(newest, indent=2)
    if out:
        write_secret(out, text)
    else:
        click.echo(text)


def _say(found: verification.Found, *, as_json: bool) -> None:
    for one in found.shown:
        click.echo(json.dumps(asdict(one), default=str) if as_json else sentence(one))
    if found.more:
        click.echo(f"... and {found.more} more.", err=True)


def _bar(label: str, length: int) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr)


def _ledger(settings: Settings) -> Ledger:
    key, _ = load_audit_key(_existing(settings.audit_key_file))
    return Ledger(key)


def _public_keys(settings: Settings, older: Path | None) -> dict[str, Any]:
    """Return the public half of our signing key, and those that *older* published."""
    key, _ = load_signing_key(_existing(settings.signing_key_file))
    keys = Signer(key, settings.audience).public_keys()["keys"]
    return {"keys": [*keys, *(_json(older).get("keys", []) if older else [])]}


def _existing(path: Path) -> Path:
    """A key made anew would make everything that is on record look forged."""
    if not path.exists():
        raise ConfigurationError(f"{path} is gone; restore it.")
    return path


def _kept(path: Path, public_keys: dict[str, Any]) -> list[Block]:
    try:
        return verification.kept_in(path.read_bytes(), public_keys)
    except verification.NoSeals as error:
        raise ConfigurationError(f"{path} {error}.") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is no JSON object.")
    return found
