"""A deployment with three partners, and what their pages and servers would send to it."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from proxy.reload import Configuration
from proxy.settings import load
from proxy.tokens import Keyring, new_secret
from tests.web.memory import MemoryIntake

START = 1_800_000_000_000  # Unix ms
HOST = "proxy.example"
SHOP = "https://shop.example"
OTHER_SHOP = "https://other.example"
OFFER = "a1b2c3d4-0000-4000-8000-000000000001"
FORM = "application/x-www-form-urlencoded"

CONFIGURATION = """
audience = "optout-proxy:test"
public_url = "{public_url}"
trusted_proxies = ["10.0.0.0/8"]

[limits]
token = "{token}"
prefix = "{prefix}"
partner = "{partner}"

[partners.ACME]
origins = ["https://shop.example", "https://www.shop.example", "http://localhost:3000"]
signing_keys = [{{ kid = "acme-1", secret_file = "acme-1" }}]
server_key_hashes = ["{ACME}"]
disabled = {disabled}
[partners.ACME.upstreams.tickets]
api = "xcover-offers"
partner_code = "LLODT"
hmac = {{ api_key = "key", api_secret = "a secret of a test" }}

[partners.OPEN]
origins = ["https://other.example", "http://[::1]:8000"]
signing_keys = [{{ kid = "open-1", secret_file = "open-1" }}]
server_key_hashes = ["{OPEN}"]
open_offers = true
customer = true
[partners.OPEN.upstreams.elements]
api = "xone-offers"
partner_code = "LLODT"
oauth = {{ client_id = "id", client_secret = "a secret of a test" }}
[partners.OPEN.upstreams.quotes]
api = "xone-quotes"
partner_code = "LLODT"
oauth = {{ client_id = "id", client_secret = "a secret of a test" }}
[partners.OPEN.upstreams.tickets]
api = "xcover-offers"
partner_code = "LLODT"
hmac = {{ api_key = "key", api_secret = "a secret of a test" }}

[partners.PLAIN]
origins = ["https://plain.example"]
signing_keys = [{{ kid = "plain-1", secret_file = "plain-1" }}]
server_key_hashes = ["{PLAIN}"]
[partners.PLAIN.upstreams.elements]
api = "xone-offers"
partner_code = "LLODT"
oauth = {{ client_id = "id", client_secret = "a secret of a test" }}
"""

_numbers = count(1)


@dataclass
class Clock:
    """Unix milliseconds that only the test moves."""

    now: int = START

    def __call__(self) -> int:
        """Tell the time."""
        return self.now

    @property
    def seconds(self) -> int:
        """Unix seconds."""
        return self.now // 1000

    def pass_seconds(self, span: float) -> None:
        """Let *span* seconds pass."""
        self.now += int(span * 1000)


@dataclass
class Files:
    """The configuration file of a deployment, its secrets, and the server keys it knows."""

    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(
        default_factory=lambda: {
            "public_url": f"https://{HOST}",
            "token": "off",
            "prefix": "off",
            "partner": "off",
            "disabled": "false",
        }
    )

    def __post_init__(self) -> None:
        for partner, kid in (("ACME", "acme-1"), ("OPEN", "open-1"), ("PLAIN", "plain-1")):
            self.keys[partner] = f"osk_test_{secrets.token_urlsafe(32)}"
            digest = hashlib.sha256(self.keys[partner].encode()).hexdigest()
            self.values[partner] = f"sha256:{digest}"
            secret = self.folder / kid
            secret.touch(mode=0o600)
            secret.write_text(new_secret(test=True))

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self.folder / "optout.toml"

    def write(self, **values: str) -> Path:
        """Write the configuration file, changed by *values*; return its path."""
        self.values |= values
        self.path.write_text(CONFIGURATION.format(**self.values))
        return self.path


@dataclass
class Deployment:
    """A public listener, and the means of those who call it."""

    files: Files
    configuration: Configuration
    intake: MemoryIntake
    clock: Clock
    client: FlaskClient

    @property
    def keyring(self) -> Keyring:
        """The keys that verify now."""
        return Keyring.from_settings(self.configuration.current)

    def change(self, **values: str) -> None:
        """Change the configuration as an operator would, and let it be read again."""
        self.files.write(**values)
        assert self.configuration.reload()

    def mint(self, partner: str = "ACME", **only: Any) -> str:
        """Return a session token issued now; name only what the test is about."""
        claims: dict[str, Any] = {"offer": OFFER, "origin": SHOP, "now": self.clock.seconds}
        return self.keyring.mint(partner, **(claims | only))

    def form(self, **only: str | None) -> dict[str, str]:
        """Return the fields of a decline; None takes one away."""
        fields: dict[str, str | None] = {
            "token": self.mint() if "token" not in only else None,
            "choice": "declined",
            "id": an_id(),
            "seq": str(self.clock.now),
            "at": str(self.clock.now),
        }
        return {name: value for name, value in (fields | only).items() if value is not None}

    def document(self, **only: Any) -> dict[str, Any]:
        """Return the members of a decline told by a server; None takes one away."""
        members: dict[str, Any] = {
            "offer": OFFER,
            "choice": "declined",
            "id": an_id(),
            "seq": self.clock.now,
            "at": self.clock.now,
        }
        return {name: value for name, value in (members | only).items() if value is not None}

    def page(
        self,
        fields: Mapping[str, str] | bytes | None = None,
        *,
        origin: str | None = SHOP,
        path: str = "/v1/choices",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """Send *fields* as a page does."""
        fields = self.form() if fields is None else fields
        sent = {"Content-Type": f"{FORM};charset=UTF-8"} | ({"Origin": origin} if origin else {})
        body = fields if isinstance(fields, bytes) else urlencode(fields)
        return self.client.post(
            path, data=body, headers=sent | dict(headers or {}), base_url=f"https://{HOST}"
        )

    def server(
        self,
        document: object = None,
        *,
        partner: str = "ACME",
        path: str = "/v1/choices",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """Send *document* as the partner's server does; bytes go out as they are."""
        document = self.document() if document is None else document
        body = document if isinstance(document, bytes) else json.dumps(document)
        sent = {"Content-Type": "application/json"} | self.bearer(partner) | dict(headers or {})
        length = {} if body else {"CONTENT_LENGTH": "0"}  # which werkzeug's client leaves out
        return self.client.post(
            path, data=body, headers=sent, base_url=f"https://{HOST}", environ_overrides=length
        )

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        """Ask for *path*."""
        return self.client.get(path, headers=dict(headers or {}), base_url=f"https://{HOST}")

    def bearer(self, partner: str = "ACME") -> dict[str, str]:
        """Return the header that proves the partner's server."""
        return {"Authorization": f"Bearer {self.files.keys[partner]}"}


def a_configuration(files: Files) -> Configuration:
    """Return the settings in *files*, read."""
    return Configuration(load(files.path, {}), files.path, {})


def an_id() -> str:
    """Return an id that no other message has."""
    return str(UUID(int=next(_numbers), version=4))


def code_of(response: TestResponse) -> str | None:
    """Return the code of a problem; None for any other answer."""
    if response.mimetype != "application/problem+json":
        return None
    members = json.loads(response.text)
    assert members["status"] == response.status_code
    assert set(members) - {"detail"} == {"code", "status", "title", "request_id"}
    return str(members["code"])
