"""HMAC signatures, verified as the insurer's gateway does it. Knows one key and its secret."""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from urllib.parse import quote

from proxy.sandbox.wire import Request

ALGORITHMS: Mapping[str, str] = MappingProxyType(
    {"hmac-sha256": "sha256", "hmac-sha384": "sha384", "hmac-sha512": "sha512"}
)
_PARAMETER = re.compile(r'\s*([A-Za-z]+)="([^"]*)"\s*(?:,|$)')
_PARAMETERS = frozenset({"keyid", "algorithm", "headers", "signature"})
_ESCAPE = re.compile("%[0-9a-f]{2}", re.IGNORECASE)
_DATE = re.compile(
    "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} "
    "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    "[0-9]{2}:[0-9]{2}:[0-9]{2} (?:GMT|[+-][0-9]{4})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether a request proved who sent it, and if not, why not."""

    scheme: str
    verified: bool
    why_not: str | None = None
    algorithm: str | None = None
    signed: str | None = None  # the header names that the signature covers


class _Refused(Exception):
    """A request did not prove who sent it; the message says why."""


def parameters(authorization: str) -> dict[str, str]:
    """Return the parameters of a Signature header, names in lower case; raise on any other."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "signature":
        raise _Refused("the Authorization header has not the scheme Signature")
    found: dict[str, str] = {}
    position = 0
    while position < len(rest):
        match = _PARAMETER.match(rest, position)
        if not match or match[1].lower() not in _PARAMETERS or match[1].lower() in found:
            raise _Refused("a parameter of the Authorization header is unknown or malformed")
        found[match[1].lower()] = match[2]
        position = match.end()
    if missing := sorted(_PARAMETERS - {"headers"} - found.keys()):
        raise _Refused(f"the Authorization header has no {missing[0]}")
    return found


def string_to_sign(request: Request, names: str) -> bytes:
    """Return the bytes that a signature over *names* covers; raise if one is missing."""
    lines = []
    for name in names.lower().split():
        if name == "(request-target)":
            lines.append(f"{name}: {request.method.lower()} {request.path}")
        elif name in request.headers:
            lines.append(f"{name}: {request.headers[name]}")
        else:
            raise _Refused(f"the signed header {name} is missing")
    return "\n".join(lines).encode("latin-1", "replace")


class Verifier:
    """Judges signed requests against one api key and its secret."""

    def __init__(
        self,
        api_key: str,
        api_secret: str,
        *,
        clock_skew: timedelta | None = None,
        allow_sha1: bool = False,
    ) -> None:
        self._api_key = api_key
        self._secret = api_secret.encode()
        self._skew = clock_skew
        self._algorithms = {**ALGORITHMS, **({"hmac-sha1": "sha1"} if allow_sha1 else {})}

    def check(self, request: Request) -> Proof:
        """Return whether *request* is signed with the right key, secret and date."""
        found: dict[str, str] = {}
        try:
            found = parameters(request.headers.get("authorization", ""))
            self._check_key(found, request)
            self._check_date(request, found.get("headers", "date"))
            self._check_signature(found, request)
        except _Refused as refused:
            return self._proof(found, str(refused))
        return self._proof(found, None)

    @staticmethod
    def _proof(found: dict[str, str], why_not: str | None) -> Proof:
        return Proof(
            scheme="Signature",
            verified=why_not is None,
            why_not=why_not,
            algorithm=found.get("algorithm"),
            signed=found.get("headers", "date") if found else None,
        )

    def _check_key(self, found: dict[str, str], request: Request) -> None:
        if not hmac.compare_digest(found["keyid"].encode(), self._api_key.encode()):
            raise _Refused("the keyId is unknown")
        if request.headers.get("x-api-key", found["keyid"]) != found["keyid"]:
            raise _Refused("the X-Api-Key header is not the keyId")

    def _check_date(self, request: Request, names: str) -> None:
        text = request.headers.get("date", "")
        if not _DATE.fullmatch(text):
            raise _Refused("the Date header is missing or not like Thu, 04 Nov 2021 18:07:11 GMT")
        if "date" not in names.lower().split():
            raise _Refused("the signature does not cover the Date header")
        try:
            sent = parsedate_to_datetime(text)
        except ValueError as error:
            raise _Refused("the Date header names no day of the calendar") from error
        off = abs(sent.replace(tzinfo=sent.tzinfo or UTC).timestamp() - request.received_at / 1000)
        if self._skew is not None and off > self._skew.total_seconds():
            raise _Refused(f"the Date header is {off:.0f} s off")

    def _check_signature(self, found: dict[str, str], request: Request) -> None:
        digest = self._algorithms.get(found["algorithm"].lower())
        if digest is None:
            raise _Refused("the algorithm is not allowed")
        content = string_to_sign(request, found.get("headers", "date"))
        right = quote(base64.b64encode(hmac.digest(self._secret, content, digest)), safe="")
        # Lower-case percent escapes are .NET's and are tolerated.
        sent = _ESCAPE.sub(lambda escape: escape[0].upper(), found["signature"])
        if not hmac.compare_digest(sent.encode(), right.encode()):
            raise _Refused("Signature string does not match!")
