"""`keys`: rotate a partner's signing key without refusing one genuine token."""

import json
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from proxy.claims import LONGEST_TTL
from proxy.cli.files import folder_for_secrets, write_secret
from proxy.cli.options import Refusal, config_option, load_settings
from proxy.settings import MOST_KEYS, PartnerSetting, Settings
from proxy.tokens import LEEWAY, new_secret

_LONGEST_STEM = 24  # of a kid of 32 characters, before the year and the letter


@click.group("keys")
def command() -> None:
    """Rotate a partner's signing keys."""


@command.command()
@config_option
@click.option("--partner", required=True, help="Whose key.")
@click.option("--test", is_flag=True, help="Begin it with ots_test_.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(config: Path | None, partner: str, test: bool, as_json: bool) -> None:
    """Write a fresh signing secret, and print the line that puts it in use."""
    settings = load_settings(config)
    setting = _partner(settings, partner)
    folder = _folder(settings, setting)
    kid = next_kid(setting.name, {*_kids(settings), *_names_in(folder)}, datetime.now(UTC).year)
    file = write_secret(folder_for_secrets(folder) / kid, new_secret(test=test))
    line = f'{{ kid = "{kid}", secret_file = "{_written(file, settings.folder)}" }}'
    if as_json:
        click.echo(json.dumps({"kid": kid, "secret_file": str(file), "line": line}))
        return
    click.echo(f"Wrote {file}. Add this line to `signing_keys` of [partners.{setting.name}], last:")
    click.echo(f"\n    {line},\n")
    click.echo(
        f"Within 5 s the proxy takes tokens of both keys. Then give the secret to {setting.name}'s"
        " server."
    )
    for key in setting.signing_keys:
        click.echo(f"When it no longer signs with {key.kid}: `optout-proxy keys retire {key.kid}`.")


@command.command()
@config_option
@click.argument("kid")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def retire(config: Path | None, kid: str, as_json: bool) -> None:
    """Print the earliest date to take KID away, if nothing is signed with it from now on."""
    settings = load_settings(config)
    partner = _owner(settings, kid)
    if len(partner.signing_keys) == 1:
        raise click.ClickException(
            f"{kid} is the only key of {partner.name}; make the next one first:"
            f" `optout-proxy keys new --partner {partner.name}`."
        )
    date = (datetime.now(UTC) + longest_life(partner)).replace(microsecond=0)
    safe_from = date.isoformat().replace("+00:00", "Z")
    if as_json:
        click.echo(json.dumps({"kid": kid, "partner": partner.name, "safe_from": safe_from}))
        return
    click.echo(
        f"If {partner.name} signs nothing with {kid} from now on, take its line away on or after"
        f" {safe_from}."
    )
    click.echo("If the key has leaked, take it away now: it is dead everywhere within 5 s.")


def longest_life(partner: PartnerSetting) -> timedelta:
    """Return how long after its issue a token of *partner* may still carry a choice."""
    return timedelta(seconds=LONGEST_TTL + LEEWAY) + partner.late


def next_kid(partner: str, taken: set[str], year: int) -> str:
    """Return the first free kid of *year*, such as `acme-2026b`."""
    stem = f"{partner.lower()[:_LONGEST_STEM]}-{year}"
    for letter in string.ascii_lowercase:
        if f"{stem}{letter}" not in taken:
            return f"{stem}{letter}"
    raise Refusal(f"All kids from {stem}a to {stem}z are taken; remove secret files of dead keys.")


def _partner(settings: Settings, name: str) -> PartnerSetting:
    partner = settings.partners.get(name)
    if partner is None:
        known = ", ".join(settings.partners) or "none"
        raise Refusal(f"There is no partner `{name}`; the configuration has: {known}.")
    if len(partner.signing_keys) >= MOST_KEYS:
        oldest = partner.signing_keys[0].kid
        raise Refusal(
            f"{name} has two keys already; take the older one away first:"
            f" `optout-proxy keys retire {oldest}` says when."
        )
    return partner


def _owner(settings: Settings, kid: str) -> PartnerSetting:
    for partner in settings.partners.values():
        if any(key.kid == kid for key in partner.signing_keys):
            return partner
    known = ", ".join(sorted(_kids(settings))) or "none"
    raise Refusal(f"There is no key `{kid}`; the configuration has: {known}.")


def _kids(settings: Settings) -> set[str]:
    partners = settings.partners.values()
    return {key.kid for partner in partners for key in partner.signing_keys}


def _folder(settings: Settings, partner: PartnerSetting) -> Path:
    """Return where the partner's secrets are: beside the newest of its key files."""
    files = [key.secret.path for key in partner.signing_keys if key.secret.path]
    return files[-1].parent if files else settings.folder / "secrets"


def _names_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


def _written(file: Path, folder: Path) -> str:
    """Return *file* as the configuration in *folder* names it."""
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)
