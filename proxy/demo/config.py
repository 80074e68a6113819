"""What one demo runs on: fresh secrets, ports, and an optout.toml like any other."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

AUDIENCE = "optout-proxy:demo"
PARTNER = "LAMPLIGHT"  # the shop, as its tokens name it
PARTNER_CODE = "LLODT"  # the shop, as the insurer names it
KID = "lamplight-1"
HOST = "127.0.0.1"

APIS: Mapping[str, str] = {  # each is also the name of an upstream; with its credentials
    "xcover-offers": "hmac",
    "xcover-bookings": "hmac",
    "xone-offers": "oauth",
    "xone-quotes": "oauth",
    "xcover-renewals": "hmac",
}
AT_PURCHASE = frozenset({"xone-offers", "xone-quotes"})  # their documents say so

_HEAD = Template("""\
database = "sqlite:///optout.db"
audience = "$audience"
public_url = "$proxy"

[partners.$partner]
origins = [$origins]
signing_keys = [{ kid = "$kid", secret_file = "secrets/signing" }]
server_key_hashes = ["sha256:$server_key_hash"]
open_offers = true  # one evening's offer is made by a widget, in the browser
""")
_UPSTREAM = Template("""
[partners.$partner.upstreams.$api]
api = "$api"
base_url = "$base"
partner_code = "$partner_code"
report_on = "$report_on"
settle = "0s"  # the demo shows each answer at once; leave it out to let visitors toggle
$credentials
""")
_CREDENTIALS = {
    "hmac": 'hmac = { api_key_file = "secrets/api_key", api_secret_file = "secrets/api_secret" }',
    "oauth": (
        'oauth = { client_id_file = "secrets/client_id", '
        'client_secret_file = "secrets/client_secret" }'
    ),
}


def _random(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Fresh for every demo; none outlives it."""

    signing: str = field(default_factory=lambda: _random("ots_test"), repr=False)
    server_key: str = field(default_factory=lambda: _random("osk_test"), repr=False)
    api_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    api_secret: str = field(default_factory=lambda: _random("api"), repr=False)
    client_id: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    client_secret: str = field(default_factory=lambda: _random("client"), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything of one demo is."""

    folder: Path
    shop_port: int
    proxy_port: int
    private_port: int
    sandbox_port: int
    secrets: Secrets = field(default_factory=Secrets)

    @property
    def proxy(self) -> str:
        """The proxy's public address."""
        return f"http://{HOST}:{self.proxy_port}"

    @property
    def private(self) -> str:
        """The proxy's private address."""
        return f"http://{HOST}:{self.private_port}"

    @property
    def sandbox(self) -> str:
        """The pretended insurer's address."""
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def origins(self) -> tuple[str, ...]:
        """The shop's addresses, the one to print first."""
        return tuple(f"http://{host}:{self.shop_port}" for host in (HOST, "localhost"))

    @property
    def file(self) -> Path:
        """The configuration file."""
        return self.folder / "optout.toml"


def write(plan: Plan) -> None:
    """Write the configuration file and the secret files that it names, mode 0600."""
    given = plan.secrets
    kept = {
        name: getattr(given, name)
        for name in ("signing", "api_key", "api_secret", "client_id", "client_secret")
    }
    (plan.folder / "secrets").mkdir(mode=0o700)
    for name, secret in kept.items():
        _write_hidden(plan.folder / "secrets" / name, f"{secret}\n")
    _write_hidden(plan.file, text_of(plan))


def text_of(plan: Plan) -> str:
    """Return the configuration file's text; it holds no secret."""
    head = _HEAD.substitute(
        audience=AUDIENCE,
        proxy=plan.proxy,
        partner=PARTNER,
        origins=", ".join(f'"{origin}"' for origin in plan.origins),
        kid=KID,
        server_key_hash=hashlib.sha256(plan.secrets.server_key.encode()).hexdigest(),
    )
    return head + "".join(_upstream(plan, api, auth) for api, auth in APIS.items())


def _upstream(plan: Plan, api: str, auth: str) -> str:
    return _UPSTREAM.substitute(
        partner=PARTNER,
        api=api,
        base=f"{plan.sandbox}/x" if auth == "hmac" else plan.sandbox,
        partner_code=PARTNER_CODE,
        report_on="purchase" if api in AT_PURCHASE else "decline",
        credentials=_CREDENTIALS[auth],
    )


def sandbox_environment(plan: Plan, tamper: str | None) -> dict[str, str]:
    """Return what the sandbox is told; *tamper* (hmac, oauth) makes that secret a wrong one."""
    given = plan.secrets
    wrong = {"hmac": "SANDBOX_API_SECRET", "oauth": "SANDBOX_CLIENT_SECRET"}
    environment = {
        "SANDBOX_PARTNER": PARTNER_CODE,
        "SANDBOX_API_KEY": given.api_key,
        "SANDBOX_API_SECRET": given.api_secret,
        "SANDBOX_CLIENT_ID": given.client_id,
        "SANDBOX_CLIENT_SECRET": given.client_secret,
    }
    if tamper:
        environment[wrong[tamper]] = _random("wrong")
    return environment


def _write_hidden(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
