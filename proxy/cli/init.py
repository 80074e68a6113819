"""`init`: a commented configuration that works, and its secrets."""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

import click

from proxy.cli.files import folder_for_secrets, write_secret
from proxy.cli.keys import next_kid
from proxy.cli.options import CONFIG_NAME, Refusal
from proxy.secret import PLACEHOLDER
from proxy.settings_fields import base_url, origin
from proxy.settings_tables import check_name
from proxy.tokens import new_secret

SANDBOX_PARTNER = "LLODT"  # the partner code that `optout-proxy sandbox` knows

_TEMPLATE = Template(
    """\
# The configuration of optout-proxy. Paths are relative to this file. Every value can be overridden
# by the environment, for instance OPTOUT_PUBLIC_URL or OPTOUT_PARTNERS__${variable}__LATE.
# A change is in force within 5 s, without a restart; a wrong one is refused, and the log says why.

database = "sqlite:///optout.db"        # or postgresql+psycopg://user:password@host/name
audience = "optout-proxy:prod"          # session tokens name the deployment that they are for
public_url = "http://127.0.0.1:8080"    # what pages call, such as https://proxy.shop.example

# These two keys are made at the first start. Keep a copy of both elsewhere.
audit_key_file = "secrets/audit"
signing_key_file = "secrets/signing.pem"

# A partner is a shop. Session tokens carry this name as claim `p`.
[partners.${partner}]
# The origins of the pages that show the offer, exactly as browsers send them.
origins = [${origin}]
# What the shop's server signs session tokens with; the last one is the newest.
signing_keys = [
    { kid = "${kid}", secret_file = "secrets/${kid}" },
]
# What the shop's server calls the proxy with: only the SHA-256 of each key is kept.
server_key_hashes = [
    "${key_hash}",
]
# open_offers = true    # where the page makes the offer (XCover Elements), so no token can name it
# late = "24h"          # how long after its token's end a choice may still arrive
# retention = "730d"    # how long records are kept

# An upstream is one API of the insurer: xcover-offers, xcover-bookings or xcover-renewals, which
# take `hmac`; xone-offers or xone-quotes, which take `oauth`; or custom, described in full here.
[partners.${partner}.upstreams.tickets]
api = "xcover-offers"
${base_line}
partner_code = "${partner_code}"     # what the insurer calls the shop
report_on = "decline"           # or "purchase": not before the main product is bought
settle = "5s"                   # how long the customer may toggle before a decline is reported
rate_per_second = 10            # of the 20 that the insurer allows the shop in all
# test = true                   # the credentials are test ones: at most 2 per second
hmac = { api_key_file = "secrets/xcover-api-key", api_secret_file = "secrets/xcover-api-secret" }
"""
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `init` is about to write."""

    config: str
    secrets: dict[str, str]  # file name and text
    server_key: str


def _checked(check: Callable[[str], object]) -> Callable[..., Any]:
    """Return a callback that refuses an option in the words of the settings."""

    def callback(_context: click.Context, _option: click.Parameter, given: str | None) -> Any:
        try:
            return given and check(given)
        except ValueError as error:
            raise click.BadParameter(f"it {error}") from None

    return callback


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option(
    "--partner",
    default="ACME",
    show_default=True,
    callback=_checked(check_name),
    help="The shop's name.",
)
@click.option(
    "--origin",
    "page",
    default="https://shop.example",
    show_default=True,
    callback=_checked(origin),
    help="Of the page that shows the offer.",
)
@click.option(
    "--sandbox",
    metavar="URL",
    callback=_checked(base_url),
    help="Report to a sandbox there, with credentials made up for it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, partner: str, page: str, sandbox: str | None, as_json: bool) -> None:
    """Write a configuration that works, and fresh secrets, into DIR."""
    plan = make_plan(partner, page, sandbox)
    written = _write(folder, plan)
    if as_json:
        files = [str(path) for path in written]
        click.echo(json.dumps({"files": files, "server_key": plan.server_key}))
        return
    for path in written:
        click.echo(f"Wrote {path}")
    click.echo(
        f"\nThe server key of {partner}, shown only now (its hash is in the configuration):\n\n"
        f"    {plan.server_key}\n"
    )
    click.echo(_next_steps(folder, plan, sandbox))


def make_plan(partner: str, page: str, sandbox: str | None) -> Plan:
    """Return the files of a fresh deployment, every secret in them new."""
    kid = next_kid(partner, set(), datetime.now(UTC).year)
    server_key = f"osk_live_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(server_key.encode()).hexdigest()
    config = _TEMPLATE.substitute(
        partner=partner,
        variable=partner.upper().replace("-", "_"),
        origin=json.dumps(page),
        kid=kid,
        key_hash=f"sha256:{digest}",
        base_line=_base_line(sandbox),
        partner_code=SANDBOX_PARTNER if sandbox else PLACEHOLDER,
    )
    credentials = {
        name: secrets.token_hex(20) if sandbox else f"{PLACEHOLDER}-with-the-{word}-of-the-insurer"
        for name, word in (("xcover-api-key", "api-key"), ("xcover-api-secret", "api-secret"))
    }
    return Plan(config=config, secrets={kid: new_secret(), **credentials}, server_key=server_key)


def _base_line(sandbox: str | None) -> str:
    if sandbox is None:
        return '# base_url = "https://api.xcover.com/x"    # or the host of its staging'
    return f"base_url = {json.dumps(f'{sandbox}/x')}"


def _write(folder: Path, plan: Plan) -> list[Path]:
    """Write every file of *plan*, or none if one of them is there already."""
    config = folder / CONFIG_NAME
    texts = {folder / "secrets" / name: text for name, text in plan.secrets.items()}
    for path in (config, *texts):
        if path.exists():
            raise Refusal(f"{path} exists already; name another folder: `optout-proxy init DIR`.")
    folder_for_secrets(folder / "secrets")
    return [
        write_secret(path, text)
        for path, text in {config: plan.config.rstrip("\n"), **texts}.items()
    ]


def _next_steps(folder: Path, plan: Plan, sandbox: str | None) -> str:
    serve = f"optout-proxy serve --config {folder / CONFIG_NAME}"
    if sandbox is None:
        return (
            "Next: put the insurer's credentials into the two files `secrets/xcover-…`, its name\n"
            f"for the shop into `partner_code`, then run\n\n    {serve}"
        )
    parts = urlsplit(sandbox)
    return (
        "Next: run the sandbox and the proxy\n\n"
        f"    SANDBOX_API_SECRET={plan.secrets['xcover-api-secret']}"
        f" optout-proxy sandbox --port {parts.port or 80}"
        f" --api-key {plan.secrets['xcover-api-key']}\n    {serve}"
    )
