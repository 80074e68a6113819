"""What proves us to upstream. The only rooms that see upstream secrets are this one and `oauth`."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from typing import Literal, Protocol
from urllib.parse import urlsplit

from proxy.errors import ConfigurationError
from proxy.exchange import Lines, Request
from proxy.oauth import OAuthCredentials
from proxy.secret import Secret
from proxy.settings_upstreams import UpstreamSetting
from proxy.signature import Algorithm, authorization
from proxy.upstreams import split_base
from proxy.wire import Clock

_KEY = re.compile(r"[!#-~]{1,512}")  # what a quoted parameter and a header can carry
_PORTS = {"https": 443, "http": 80}


class Credentials(Protocol):
    """What proves us to one upstream; shared by threads."""

    def stamp(self, request: Request) -> None:
        """Put what proves us onto *request*, anew on every attempt; may raise TokenFailed."""

    def heard(self, request: Request, status: int) -> bool:
        """Hear the *status* that *request* was answered; return whether another stamp is needed."""

    def secrets(self) -> Iterable[str]:
        """Return what must not be shown, besides what the request's own headers carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacCredentials:
    """An api key and secret that sign the date, and the path too where the setting says so."""

    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    algorithm: Algorithm = "hmac-sha512"
    headers: Literal["date", "(request-target) date"] = "date"
    clock: Clock = time.time  # Unix seconds

    def stamp(self, request: Request) -> None:
        """Sign *request* with the date of now."""
        date = formatdate(self.clock(), usegmt=True)
        request.headers["Date"] = date
        request.headers["X-Api-Key"] = self.api_key
        request.headers["Authorization"] = authorization(
            api_key=self.api_key,
            api_secret=self.api_secret,
            algorithm=self.algorithm,
            headers=None if self.headers == "date" else self.headers,
            method=request.method,
            target=urlsplit(request.url).path,
            date=date,
        )

    def heard(self, request: Request, status: int) -> bool:  # noqa: ARG002 - the protocol's
        """Return False: the same key would be refused again."""
        return False

    def secrets(self) -> Iterable[str]:
        """Return the key and the secret."""
        return (self.api_key, self.api_secret)


def credentials_for(
    upstream: UpstreamSetting,
    *,
    clock: Clock = time.time,
    monotonic: Clock = time.monotonic,
    lines: Lines | None = None,
) -> Credentials:
    """Read the secrets of *upstream* and return what uses them; ConfigurationError if unusable."""
    key, secret = _pair(upstream)
    if upstream.hmac is None or upstream.definition.auth == "oauth":
        return OAuthCredentials(
            base_url=upstream.base_url,
            client_id=key.read(),
            client_secret=secret.read(),
            lines=lines,
            clock=monotonic,
        )
    return HmacCredentials(
        api_key=_header_safe(key.read(), upstream),
        api_secret=secret.read(),
        algorithm=upstream.hmac.algorithm,
        headers=upstream.hmac.headers,
        clock=clock,
    )


def bucket_of(upstream: UpstreamSetting) -> str:
    """Return the name of the pace that *upstream* shares: its host and key, hashed.

    Reads the secret file of the key or client id; ConfigurationError if that fails.
    """
    base = split_base(upstream.base_url)
    key, _ = _pair(upstream)
    port = base.port or _PORTS[base.scheme]
    text = f"optout.bucket.v1\n{base.hostname}:{port}\n{key.read()}"
    return sha256(text.encode()).hexdigest()[:32]


def _pair(upstream: UpstreamSetting) -> tuple[Secret, Secret]:
    wanted = upstream.definition.auth
    if wanted == "hmac" and upstream.hmac is not None:
        return upstream.hmac.api_key, upstream.hmac.api_secret
    if wanted == "oauth" and upstream.oauth is not None:
        return upstream.oauth.client_id, upstream.oauth.client_secret
    raise ConfigurationError(f"upstream {upstream.name} needs `{wanted} = {{ … }}`.")


def _header_safe(key: str, upstream: UpstreamSetting) -> str:
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"the api key of upstream {upstream.name} has characters that a header can not carry."
        )
    return key
