"""The identity provider, as we ask it: within a time, one address at a time, following nothing."""

import base64
import json
import time
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import Any
from urllib.parse import quote, urlencode

from proxy.errors import ConfigurationError
from proxy.exchange import Line, NoAnswer, Request
from proxy.settings import OidcSetting
from proxy.upstreams import UnsafeUrl, split_base

_PATIENCE_S = 10.0
_KEPT_S = 3_600.0  # what it says of itself
_DISCOVERY = "/.well-known/openid-configuration"
_OK = 200
# Anybody may begin to sign in. The private listener has four threads, and a monitor needs one.
_places = BoundedSemaphore(2)


class ProviderAway(Exception):
    """It does not answer, or not as one does; the message is ours."""


class Provider:
    """What one provider says of itself, kept for a while; safe to use from many threads."""

    def __init__(self, setting: OidcSetting) -> None:
        self.setting = setting
        self._lock = Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    @property
    def issuer(self) -> str:
        """Return how it names itself: ours but for a slash at the end."""
        found = self._metadata().get("issuer")
        if not isinstance(found, str) or found.removesuffix("/") != self.setting.issuer:
            raise ProviderAway("it names itself otherwise than `issuer` does")
        return found

    def endpoint(self, name: str) -> str:
        """Return one of its addresses, which is https, or on this machine."""
        found = self._metadata().get(name)
        try:
            split_base(str(found).partition("?")[0])
        except UnsafeUrl:
            raise ProviderAway(f"its {name} is not an https address") from None
        return str(found)

    def keys(self, *, anew: bool = False) -> dict[str, Any]:
        """Return its public keys; *anew* if a token names one that we do not know."""
        address = self.endpoint("jwks_uri")
        found = self._keep(address, lambda: _get(address), 0.0 if anew else _KEPT_S)
        if not isinstance(found.get("keys"), list):
            raise ProviderAway("it publishes no keys")
        return found

    def token(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Return the identity token that *code* is exchanged for."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            name, secret = self.setting.client_id.read(), self.setting.client_secret.read()
        except ConfigurationError:
            raise ProviderAway("our secret for it can not be read") from None
        if self._takes_basic():
            pair = f"{quote(name, safe='')}:{quote(secret, safe='')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form |= {"client_id": name, "client_secret": secret}
        body = urlencode(form).encode()
        answer = _ask("POST", self.endpoint("token_endpoint"), body, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderAway("it answers without an identity token")
        return token

    def _takes_basic(self) -> bool:
        offered = self._metadata().get("token_endpoint_auth_methods_supported")
        return not isinstance(offered, list) or "client_secret_basic" in offered

    def _metadata(self) -> dict[str, Any]:
        address = self.setting.issuer + _DISCOVERY
        return self._keep(address, lambda: _get(address), _KEPT_S)

    def _keep(self, address: str, get: Callable[[], dict[str, Any]], span: float) -> dict[str, Any]:
        with self._lock:
            at, found = self._kept.get(address, (0.0, None))
        if found is not None and time.monotonic() - at < span:
            return found
        found = get()
        with self._lock:
            self._kept[address] = (time.monotonic(), found)
        return found


def _get(address: str) -> dict[str, Any]:
    return _ask("GET", address, b"", {})


def _ask(method: str, url: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Return the object that is answered; ProviderAway if that is none."""
    if not _places.acquire(blocking=False):
        raise ProviderAway("others wait for its answer; try again")
    until = time.monotonic() + _PATIENCE_S
    line = Line()
    try:
        answer = line.ask(Request(method=method, url=url, body=body, headers=headers, until=until))
        found = json.loads(answer.body) if answer.status == _OK and not answer.flaw else None
    except (NoAnswer, UnsafeUrl, ValueError, RecursionError):
        found = None
    finally:
        line.close()
        _places.release()
    if not isinstance(found, dict):
        raise ProviderAway("it does not answer as it should")
    return found
