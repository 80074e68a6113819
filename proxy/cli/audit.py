"""`optout-proxy audit`: whether what is on record is what was written."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from proxy import audit, seals
from proxy.cli.files import write_secret
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.clocks import time_of
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.settings import Settings

_SHOWN = 20

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


class _Found:
    """The first rows that are wrong, and how many more: with another key it is every row."""

    def __init__(self) -> None:
        self.shown: list[audit.Wrong] = []
        self._more = 0

    def take(self, wrong: Iterable[audit.Wrong]) -> None:
        for one in wrong:
            if len(self.shown) < _SHOWN:
                self.shown.append(one)
            else:
                self._more += 1

    def say(self, *, as_json: bool) -> None:
        for one in self.shown:
            click.echo(json.dumps(asdict(one), default=str) if as_json else _sentence(one))
        if self._more:
            click.echo(f"... and {self._more} more.", err=True)


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
    tally, found = audit.Tally(), _Found()
    with reading(settings) as connection:
        with _bar("offers", audit.count(connection)) as bar:
            found.take(audit.verify(connection, ledger, bar.update))
            offers = bar.pos
        with _bar("blocks", audit.count_blocks(connection)) as bar:
            found.take(audit.verify_blocks(connection, public_keys, tally, bar.update))
        found.take(audit.verify_kept(connection, kept))
        since = seals.oldest_unsealed(connection)
    found.say(as_json=as_json)
    if not found.shown and not as_json:
        click.echo(f"{offers} offers and all their facts are as they were written.")
    for line in _summary(tally, since, kept):
        click.echo(line, err=as_json)
    ctx.exit(1 if found.shown else 0)


@command.command("seal")
@config_option
@click.option("--out", type=click.Path(path_type=Path), help="A new file; else standard output.")
@in_plain_words
def seal_(config: Path | None, out: Path | None) -> None:
    """Write the newest seal of every partner as one JSON file, to keep elsewhere.

    `audit verify --seal FILE` finds with it that the end of the record was cut off.
    """
    with reading(configuration_of(config).current) as connection:
        newest = [seals.newest(connection, one) for one in seals.partners(connection)]
    if not newest:
        raise Refusal("Nothing is sealed yet; a running proxy seals every minute.")
    text = json.dumps({"seals": [block.as_json() for block in newest if block]}, indent=2)
    if out:
        write_secret(out, text)
    else:
        click.echo(text)


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


def _kept(path: Path, public_keys: dict[str, Any]) -> list[seals.Block]:
    """Return the seals in *path*; a file that nobody of ours has signed proves nothing."""
    try:
        kept = [seals.read_json(seal) for seal in _json(path)["seals"]]
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(f"{path} holds no seals; `audit seal` writes them.") from None
    for block in kept:
        if not block.is_signed(public_keys) or block.hash != seals.hash_of(block.payload):
            raise ConfigurationError(
                f"{path} was changed, or another key has signed it; --keys names older ones."
            )
    return kept


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is no JSON object.")
    return found


def _sentence(wrong: audit.Wrong) -> str:
    if wrong.block is not None:
        return f"block {wrong.block} of {wrong.partner}: {wrong.why}"
    where = "" if wrong.ordinal is None else f", fact {wrong.ordinal}"
    return f"offer {wrong.offer_id}{where}: {wrong.why}"


def _summary(tally: audit.Tally, since: int | None, kept: list[seals.Block]) -> Iterable[str]:
    yield f"{tally.sealed} facts are sealed, in {tally.blocks} blocks."
    if tally.removed:
        yield f"{tally.removed} more are removed, past their retention; their blocks say so."
    if since is not None:
        newer = f"{tally.newer} are newer than the last seal"
        yield f"{newer}, the oldest of them from {time_of(since)}."
    if not kept:
        yield "Without --seal it can not be excluded that the end of the record was cut off."
    for block in kept:
        yield (
            f"The kept seal vouches for {block.total} facts of {block.partner}, "
            f"until {time_of(block.sealed_at)}."
        )
