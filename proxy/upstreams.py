"""The insurers' calls that mean "declined", as data. Knows no settings, no secrets, no network."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit
from uuid import UUID, uuid5

XCOVER = "https://api.xcover.com/x"
XONE = "https://api.xone.xcover.com"
NAMESPACE = UUID("874222ec-3546-4aa9-b274-4a7869069003")  # of our idempotency keys, for ever

CUSTOMER_FIELDS = (
    "first_name",
    "last_name",
    "country",
    "email",
    "phone",
    "address1",
    "address2",
    "city",
    "region",
    "postcode",
)
PERSONAL_FIELDS = tuple(f"customer.{name}" for name in (*CUSTOMER_FIELDS, "date_of_birth"))

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")  # RFC 3986 pchar, less percent escapes


class UnsafeUrl(ValueError):
    """The address would not be the host and path that were meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One call of one insurer that reports a decline."""

    name: str
    method: str = "POST"
    path: str  # below the base URL, with {partner_code} and {offer}; exact to the last slash
    auth: Literal["hmac", "oauth"]
    body: Literal["empty", "metadata", "customer", "customer_dob"]
    success: frozenset[int]  # HTTP statuses that mean delivered
    report_on: Literal["decline", "purchase"] = "decline"
    rate: float = 10.0  # requests per second, unless the configuration says otherwise
    base_url: str


APIS: dict[str, Api] = {
    api.name: api
    for api in (
        Api(
            name="xcover-offers",
            path="/partners/{partner_code}/offers/{offer}/opt_out/",
            auth="hmac",
            body="metadata",
            success=frozenset({204}),
            base_url=XCOVER,
        ),
        Api(
            name="xcover-bookings",
            path="/partners/{partner_code}/bookings/{offer}/opt_out",
            auth="hmac",
            body="metadata",
            success=frozenset({204}),
            base_url=XCOVER,
        ),
        Api(
            name="xone-offers",
            path="/api/partners/{partner_code}/offers/{offer}/opt-out",
            auth="oauth",
            body="customer",
            success=frozenset({200, 204}),
            report_on="purchase",
            base_url=XONE,
        ),
        Api(
            name="xone-quotes",
            path="/api/partners/{partner_code}/quotes/{offer}/opt-out",
            auth="oauth",
            body="customer_dob",
            success=frozenset({200, 204}),
            report_on="purchase",
            base_url=XONE,
        ),
        Api(
            name="xcover-renewals",
            path="/partners/{partner_code}/renewals/{offer}/opt_out/",
            auth="hmac",
            body="empty",
            success=frozenset({202, 204}),
            base_url=XCOVER,
        ),
    )
}


def is_id(text: str) -> bool:
    """Return whether *text* may stand in an upstream path: 1 to 64 of A-Z a-z 0-9 and hyphen."""
    return _ID.fullmatch(text) is not None


def idempotency_key(*, audience: str, partner: str, upstream: str, offer: str, epoch: int) -> str:
    """Return the key that upstream knows this report by: the same on every attempt of an epoch."""
    return str(uuid5(NAMESPACE, f"{audience}\n{partner}\n{upstream}\n{offer}\n{epoch}"))


def body_for(api: Api, *, metadata: Mapping[str, object], customer: Mapping[str, object]) -> str:
    """Return the request body as compact ASCII JSON; whatever *api* does not take is left out."""
    kept: dict[str, object] = {}
    if api.body == "metadata":
        kept = {name: value for name, value in metadata.items() if _is_scalar(value)}
        return _compact({"partner_metadata": kept} if kept else {})
    if api.body in ("customer", "customer_dob"):
        extra = ("date_of_birth",) if api.body == "customer_dob" else ()
        names = (*CUSTOMER_FIELDS, *extra)
        kept = {name: customer[name] for name in names if isinstance(customer.get(name), str)}
        return _compact({"customer": kept} if kept else {})
    return "{}"


def url_for(api: Api, *, base_url: str, partner_code: str, offer: str) -> str:
    """Return the address to report *offer* to; UnsafeUrl unless it is exactly the one meant.

    An id such as `A#frag` would turn `bookings/A#frag/opt_out` into the call that *buys*
    (`bookings/A`), so nothing that could move the path gets through, whoever wrote it.
    """
    if not (is_id(partner_code) and is_id(offer)):
        raise UnsafeUrl("an id has other characters than letters, digits and hyphens")
    base = split_base(base_url)
    values = {"{partner_code}": partner_code, "{offer}": offer}
    url = f"{base.scheme}://{base.netloc}{base.path}{_fill(api.path, values)}"
    segments = f"{base.path}{api.path}".split("/")[1:]
    _compare(url, base, [_fill(segment, values) for segment in segments])
    return url


def split_base(base_url: str) -> SplitResult:
    """Return the parts of a base URL, less its last slash; UnsafeUrl unless it is plain https.

    `http` is for loopback hosts only; no user, query, fragment, escape or odd character anywhere.
    """
    scheme, mark, rest = base_url.partition("://")
    netloc, slash, path = rest.partition("/")
    base = SplitResult(scheme.lower(), netloc.lower(), (slash + path).removesuffix("/"), "", "")
    if not mark or base.scheme not in ("https", "http") or not _HOST.fullmatch(base.netloc):
        raise UnsafeUrl("the base URL is not an http or https address of one host")
    if not _has_port(base):
        raise UnsafeUrl("the base URL names a port above 65535")
    if base.scheme == "http" and not is_loopback(base.hostname or ""):
        raise UnsafeUrl("the base URL is http and its host is not this machine")
    if not _is_plain(base.path):
        raise UnsafeUrl("the path of the base URL has characters that could move it")
    return base


def is_loopback(host: str) -> bool:
    """Return whether *host* (a name or an address without brackets) is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _has_port(base: SplitResult) -> bool:
    try:
        return base.port is None or base.port > 0
    except ValueError:
        return False


def _fill(template: str, values: Mapping[str, str]) -> str:
    for mark, value in values.items():
        template = template.replace(mark, value)
    return template


def _compare(url: str, base: SplitResult, segments: list[str]) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UnsafeUrl("the address can not be read back") from error
    same = (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
    if not same or parts.path.split("/")[1:] != segments or "?" in url or "#" in url:
        raise UnsafeUrl("the address is not the host and path that were meant")
    if not _is_plain(parts.path.removesuffix("/")):
        raise UnsafeUrl("the path has characters that could move it")


def _is_plain(path: str) -> bool:
    """Return whether no client or server can read *path* in a second way (dots, `//`, escapes)."""
    if not path:
        return True
    first, *segments = path.split("/")
    return not first and all(
        _SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments
    )


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no NaN and no infinity
    return value is None or isinstance(value, (str, int))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
