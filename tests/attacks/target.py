"""What is attacked: a `serve` of four partners on a real socket, and the means of its callers.

Tokens are signed here, by hand: the signature that is attacked must not be the product's own.
"""

import base64
import hashlib
import hmac
import itertools
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import requests

from tests.acceptance.deployment import PATIENCE_S, until
from tests.attacks.wire import ANSWER_S, Answer, Talk, a_request
from tests.faults.cluster import HOST, Cluster, answers

SHOP, OTHER_SHOP = "https://shop.example", "https://other.example"
ORIGINS = frozenset({SHOP, "https://www.shop.example", OTHER_SHOP, "https://open.example"})
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TOKEN_PATH = "/api/oauth/token"
KIDS = ("acme-0", "acme-1", "other-1", "open-1")

_SETTINGS = """
database = {database}
audience = "optout-proxy:test"
public_url = "https://{host}"
audit_key_file = "audit"
signing_key_file = "signing.pem"
customer_keys = "customer-keys"
limits = {{ token = "{token}", prefix = "{prefix}", partner = "off" }}

[partners.ACME]
origins = ["https://shop.example", "https://www.shop.example"]
signing_keys = [{retired}{{ kid = "acme-1", secret_file = "acme-1" }}]
server_key_hashes = ["{ACME}"]
[partners.ACME.upstreams.tickets]
api = "xcover-offers"
{tickets}
settle = "0s"

[partners.OTHER]
origins = ["https://other.example"]
signing_keys = [{{ kid = "other-1", secret_file = "other-1" }}]
server_key_hashes = [{OTHER}]
disabled = {disabled}
[partners.OTHER.upstreams.tickets]
api = "xcover-offers"
{tickets}
settle = "1h"

[partners.OPEN]
origins = ["https://open.example"]
signing_keys = [{{ kid = "open-1", secret_file = "open-1" }}]
server_key_hashes = ["{OPEN}"]
open_offers = true
customer = true
[partners.OPEN.upstreams.elements]
api = "xone-offers"
base_url = "{insurer}"
partner_code = "LLODT"
rate_per_second = 0
report_on = "decline"
settle = "0s"
oauth = {{ client_id = "client-1", client_secret_file = "api-secret" }}
"""
_TICKETS = """base_url = "{insurer}/x"
partner_code = "LLODT"
rate_per_second = 0
hmac = {{ api_key = "key-1", api_secret_file = "api-secret" }}"""
_AS_IT_IS = {
    "token": "off",
    "prefix": "off",
    "disabled": "false",
    "retired": '{ kid = "acme-0", secret_file = "acme-0" }, ',
}


class Target(Cluster):
    """A deployment; it remembers what it was told, so that it can be searched for afterwards."""

    def __init__(self, folder: Path, database: str, *, code: Path | None = None) -> None:
        self._keys = {kid: os.urandom(32) for kid in KIDS}
        self._numbers = itertools.count(1)
        self._said_so_far = self._calls_so_far = 0
        self.tokens_bought = 0  # as far as `calls` has seen
        self.heard: list[Answer] = []  # since the attack began
        self.spoken: set[str] = set()  # tokens, orders, personal data: in no refusal and no log
        self.acknowledged: set[str] = set()  # offers
        names: dict[str, dict[str, str]] = {"ACME": {}, "OTHER": {}, "OPEN": {}}
        super().__init__(folder, database, partners=names, code=code)

    # -- processes ----------------------------------------------------------------------------

    def write(self, top: Mapping[str, str]) -> None:
        """Write the settings, changed by *top*, and the secrets that they name."""
        first, *others = self.partners.values()
        for other in others:
            other.port, other.api_secret = first.port, first.api_secret
        self._secret("api-secret", first.api_secret)
        for kid, key in self._keys.items():
            self._secret(kid, f"ots_test_{_b64(key)}")
        hashes = {name: _hashed(one.server_key) for name, one in self.partners.items()}
        hashes["OTHER"] = f'"{hashes["OTHER"]}"'
        values = _AS_IT_IS | hashes | dict(top)
        places = {
            "database": json.dumps(self.database),
            "host": HOST,
            "insurer": first.insurer,
            "tickets": _TICKETS.format(insurer=first.insurer),
        }
        self.config.write_text(_SETTINGS.format(**values, **places))

    def start_insurers(self) -> None:
        """Start the one sandbox that all partners report to."""
        first = self.partners["ACME"]
        environ = {
            "SANDBOX_API_KEY": "key-1",
            "SANDBOX_API_SECRET": first.api_secret,
            "SANDBOX_CLIENT_ID": "client-1",
            "SANDBOX_CLIENT_SECRET": first.api_secret,
        }
        self._add("insurer", ["sandbox", "--port", str(first.port)], environ).start()
        until(lambda: answers(f"{first.insurer}/_sandbox/faults"), "the sandbox")

    @contextmanager
    def changed(self, is_so: Callable[[], bool], **values: str) -> Iterator[None]:
        """Change the settings of the running process; *is_so* tells when they are in force."""
        child = self.processes["web"].child
        assert child is not None
        try:
            self.write(values)
            child.send_signal(signal.SIGHUP)
            until(is_so, "the new settings")
            yield
        finally:
            self.write({})
            child.send_signal(signal.SIGHUP)
            until(lambda: not is_so(), "the old settings")

    def said(self) -> str:
        """Return what the process has written since this was asked last."""
        text = self.processes["web"].log.read_text()
        whole = text.rfind("\n") + 1  # the last line may be in the making
        new, self._said_so_far = text[self._said_so_far : whole], whole
        return new

    @property
    def secrets(self) -> set[str]:
        """What no answer and no log may hold, whatever happens."""
        keys = {partner.server_key for partner in self.partners.values()}
        signing = {_b64(key) for key in self._keys.values()}
        return keys | signing | {self.partners["ACME"].api_secret}

    # -- callers ------------------------------------------------------------------------------

    def new_offer(self) -> str:
        """Return the id of an offer that nobody has named yet."""
        return f"offer-{next(self._numbers)}"

    def token(
        self,
        *,
        kid: str = "acme-1",
        name: str | None = None,
        iat: int = 0,
        salt: bytes = b"optout.session.v1",
        payload: bytes | None = None,
        **claims: Any,
    ) -> str:
        """Return a token issued *iat* seconds from now; None takes a claim away.

        It is signed with the key of *kid*, and names it as *name*.
        """
        good = {
            "v": 1,
            "aud": "optout-proxy:test",
            "p": "ACME",
            "o": self.new_offer() if "o" not in claims else None,
            "org": SHOP,
            "jti": secrets.token_urlsafe(16),
            "ttl": 1800,
        }
        given = {key: value for key, value in (good | claims).items() if value is not None}
        content = json.dumps(given).encode() if payload is None else payload
        issued = _b64((int(time.time()) + iat).to_bytes(4, "big"))
        text = f"{name or kid}.{_b64(content)}.{issued}"
        key = hmac.new(self._keys[kid], salt, hashlib.sha256).digest()
        token = f"{text}.{_b64(hmac.new(key, text.encode(), hashlib.sha256).digest())}"
        self.spoken.add(token)
        return token

    def fields(self, **only: str | None) -> dict[str, Any]:
        """Return the fields of a decline as a page sends them; None takes one away."""
        now = str(time.time_ns() // 1_000_000)
        good = {"choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
        if "token" not in only:
            good["token"] = self.token()
        return {name: value for name, value in (good | only).items() if value is not None}

    def page(
        self,
        *,
        path: str = "/v1/choices",
        method: str = "POST",
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        **fields: str | None,
    ) -> bytes:
        """Return a request as a page makes it; None takes a header or a field away."""
        body = urlencode(self.fields(**fields)).encode() if body is None else body
        good = {"Host": HOST, "Origin": SHOP, "Content-Type": FORM}
        return _assembled(method, path, good, headers, body)

    def members(self, **only: Any) -> dict[str, Any]:
        """Return the members of a decline as a server tells it; None takes one away."""
        now = time.time_ns() // 1_000_000
        good = {
            "offer": self.new_offer(),
            "choice": "declined",
            "id": str(uuid4()),
            "seq": now,
            "at": now,
        }
        return {name: value for name, value in (good | only).items() if value is not None}

    def server(
        self,
        *,
        path: str = "/v1/choices",
        method: str = "POST",
        partner: str = "ACME",
        headers: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        **members: Any,
    ) -> bytes:
        """Return a request as the partner's server makes it; None takes something away."""
        body = json.dumps(self.members(**members)).encode() if body is None else body
        good = {"Host": HOST, "Authorization": self.bearer(partner), "Content-Type": JSON}
        return _assembled(method, path, good, headers, body)

    def session(
        self, *, headers: Mapping[str, str | None] | None = None, partner: str = "ACME", **only: Any
    ) -> bytes:
        """Return a request for a session token."""
        good = {"offer": self.new_offer(), "origin": SHOP} | only
        given = {name: value for name, value in good.items() if value is not None}
        body = json.dumps(given).encode()
        return self.server(path="/v1/sessions", partner=partner, headers=headers, body=body)

    def batch(self, *lines: bytes, end: bytes = b"\n") -> bytes:
        """Return a batch of *lines*."""
        return self.server(path="/v1/choices/batch", body=b"".join(line + end for line in lines))

    def everywhere(self, document: bytes) -> list[bytes]:
        """Return the requests that carry *document* wherever a JSON document is read."""
        paths = ("/v1/choices", "/v1/sessions", "/v1/choices/batch")
        return [self.server(path=path, body=document) for path in paths]

    def get(self, path: str, method: str = "GET", **headers: str | None) -> bytes:
        """Return a request for *path*; `_` in a header's name stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return _assembled(method, path, {"Host": HOST}, named, None)

    def bearer(self, partner: str = "ACME") -> str:
        """Return what proves the partner's server."""
        return f"Bearer {self.partners[partner].server_key}"

    def calls(self) -> list[dict[str, Any]]:
        """Return all that upstream has received since this was asked last."""
        if "insurer" not in self.processes:
            return []
        found: list[dict[str, Any]] = requests.get(
            f"{self.partners['ACME'].insurer}/_sandbox/requests",
            params={"after": str(self._calls_so_far)},
            timeout=PATIENCE_S,
        ).json()
        self._calls_so_far = max([self._calls_so_far, *(one["number"] for one in found)])
        self.tokens_bought += sum(one["path"] == TOKEN_PATH for one in found)
        return [one for one in found if one["path"] != TOKEN_PATH]

    def hears(
        self, *requests: bytes, private: bool = False, seconds: float = ANSWER_S
    ) -> list[Answer]:
        """Send *requests* on one connection; remember what was answered and acknowledged."""
        port = self.ports["web"][1 if private else 0]
        found = Talk(port, seconds=seconds).say(*requests).rest()
        self.heard += found
        for answer in found:
            if answer.status in (200, 202):
                told = answer.lines()
                self.acknowledged |= {one["offer"] for one in told if "receipt" in one}
        return found


def assembled(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request with *headers*, and the length of *body*."""
    return _assembled(method, path, headers, None, body)


def _assembled(
    method: str,
    path: str,
    good: Mapping[str, str],
    changes: Mapping[str, str | None] | None,
    body: bytes | None,
) -> bytes:
    length = {} if body is None else {"Content-Length": str(len(body))}
    headers = {**good, **length, **(changes or {})}
    kept: Sequence[tuple[str, str]] = [
        (name, value) for name, value in headers.items() if value is not None
    ]
    return a_request(method, path, kept, body or b"")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _hashed(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
