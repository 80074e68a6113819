"""`token`: make a session token, or look into one."""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from proxy.cli.options import Refusal, config_option, in_plain_words, load_settings
from proxy.errors import CODES, Problem
from proxy.inspection import inspect
from proxy.settings import PartnerSetting, Settings
from proxy.settings_fields import duration
from proxy.tokens import LEEWAY, Keyring


@click.group("token")
def command() -> None:
    """Make a session token, or look into one."""


class _Ttl(click.ParamType[int]):
    """Seconds, or a duration such as 30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return *value* in whole seconds."""
        try:
            text = str(value)
            span = duration(f"{text}s" if text.isdecimal() else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return span // timedelta(seconds=1)


@command.command()
@config_option
@click.option("--partner", help="May be left out when there is one.")
@click.option("--offer", help="The insurer's id of the offer.")
@click.option("--origin", help="Of the page; may be left out when the partner has one.")
@click.option("--ttl", type=_Ttl(), default="30m", show_default=True, help="60s to 24h.")
@click.option("--upstream", help="May be left out when the partner has one.")
@click.option("--kid", help="The key to sign with.  [default: the partner's newest]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@in_plain_words
def mint(
    config: Path | None,
    partner: str | None,
    offer: str | None,
    origin: str | None,
    ttl: int,
    upstream: str | None,
    kid: str | None,
    as_json: bool,
) -> None:
    """Print a session token, as the partner's server would make it."""
    settings = load_settings(config)
    setting = _partner(settings, partner)
    now = int(time.time())
    try:
        token = Keyring.from_settings(settings).mint(
            setting.name,
            offer=offer,
            origin=_origin(setting, origin),
            now=now,
            upstream=upstream,
            ttl=ttl,
            kid=kid,
        )
    except KeyError:
        raise Refusal(_no_key(setting, kid)) from None
    except ValueError as error:
        raise Refusal(f"With these options {error}.") from None
    expires_at = _time(now + ttl)
    click.echo(json.dumps({"token": token, "expires_at": expires_at}) if as_json else token)


@command.command("inspect")
@config_option
@click.argument("token", default="-")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@in_plain_words
def inspect_token(config: Path | None, token: str, as_json: bool) -> None:
    """Print what TOKEN (or the one on standard input) says, and whether it is genuine.

    Exits with 1 if the configuration at hand would refuse it now.
    """
    text = sys.stdin.read().strip() if token == "-" else token.strip()  # noqa: S105  # a dash
    verdict = _verdict(text, config)
    found = _contents(text)
    if as_json:
        click.echo(json.dumps({**found, "verdict": verdict}))
    else:
        _print(found, verdict)
    if verdict not in ("ok", "not_verified"):
        raise click.exceptions.Exit(1)


def _partner(settings: Settings, name: str | None) -> PartnerSetting:
    if name is None and len(settings.partners) == 1:
        return next(iter(settings.partners.values()))
    if name in settings.partners:
        return settings.partners[name]
    known = ", ".join(settings.partners) or "none"
    raise Refusal(f"Name a partner of the configuration with --partner: {known}.")


def _origin(partner: PartnerSetting, origin: str | None) -> str:
    """Return the origin to mint for: any other than the partner's own would be refused later."""
    if origin is None and len(partner.origins) == 1:
        return partner.origins[0]
    if origin in partner.origins:
        return origin
    known = ", ".join(partner.origins) or "none"
    raise Refusal(f"Name an origin of {partner.name} with --origin: {known}.")


def _no_key(partner: PartnerSetting, kid: str | None) -> str:
    if kid is not None:
        known = ", ".join(key.kid for key in partner.signing_keys) or "none"
        return f"{partner.name} has no key `{kid}`; its keys are: {known}."
    return (
        f"{partner.name} has no signing key; `optout-proxy keys new --partner {partner.name}`"
        " makes one."
    )


def _verdict(token: str, config: Path | None) -> str:
    """Return "ok", the code that the proxy would answer with, or "not_verified"."""
    if config is None:
        return "not_verified"
    keyring = Keyring.from_settings(load_settings(config))
    try:
        keyring.check(token, int(time.time()))
    except Problem as problem:
        return problem.code
    return "ok"


def _contents(token: str) -> dict[str, Any]:
    try:
        found = inspect(token)
    except Problem as problem:
        raise click.ClickException(CODES[problem.code].title) from None
    return {
        "kid": found["kid"],
        "issued_at": _time(found["issued_at"]),
        "expires_at": _time(found["expires_at"]),
        "claims": found["claims"],
    }


_WORDS = {
    "p": "partner",
    "r": "upstream",
    "o": "offer",
    "org": "origin",
    "aud": "audience",
    "jti": "id",
}


def _print(found: dict[str, Any], verdict: str) -> None:
    """Print a table; what an unverified token says is escaped, for the terminal's sake."""
    rows = {"kid": found["kid"]}
    claims = found["claims"]
    rows |= {
        word: json.dumps(claims[name])[1:-1] for name, word in _WORDS.items() if name in claims
    }
    rows |= {"issued": found["issued_at"], "expires": f"{found['expires_at']} (and {LEEWAY} s)"}
    rows["verdict"] = {
        "ok": "genuine and in time",
        "not_verified": "not verified: name the configuration with --config",
    }.get(verdict) or f"{verdict}: {CODES[verdict].title}"
    for word, value in rows.items():
        click.echo(f"{word:<10}{value}")


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
