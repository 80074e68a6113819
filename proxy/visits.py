"""Fetches what a browser would be given at an address, within limits. Judges nothing."""

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Final
from urllib.parse import urljoin, urlsplit

from requests import PreparedRequest, RequestException, Response, Session
from urllib3.exceptions import HTTPError

from proxy import __version__
from proxy.exchange import LimitedSession
from proxy.origins import is_origin
from proxy.wire import Limits, Resolver

SECONDS: Final = 20.0  # for one address, with its redirects
LIMIT: Final = 5 * 1024 * 1024  # bytes of one answer, unpacked

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PACKED = {"gzip": 31, "deflate": 15}  # what zlib calls them
_TROUBLE = (RequestException, HTTPError, HTTPException, OSError, ValueError, zlib.error)


class Unread(Exception):
    """There is nothing to judge; says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What came back, and from where."""

    url: str  # after redirects
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _Wide(Limits):
    """The deadline of an exchange with the insurer, and the room that a page needs."""

    def enter_body(self) -> None:
        super().enter_body()
        self.room = LIMIT


def origin_of(url: str) -> str:
    """Return the origin of *url* as a browser would send it, or "" if it is not one of the web."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    shown = "" if port in (None, usual) else f":{port}"
    return f"{parts.scheme}://{named}{shown}" if usual and host else ""


def is_visitable(url: str) -> bool:
    """Tell whether *url* is `https`, or `http` on a loopback host, and carries no password."""
    return is_origin(origin_of(url)) and "@" not in urlsplit(url).netloc


def visit(url: str, headers: Mapping[str, str]) -> Visit:
    """Return what *url* answers, redirects within its origin followed; raise Unread."""
    limits = _Wide(resolver=Resolver())
    until = time.monotonic() + SECONDS
    with LimitedSession(limits) as session:
        for _ in range(_MOST_REDIRECTS + 1):
            limits.begin(until=until, send_by=until)
            found = _once(session, _prepare(url, headers), limits)
            if found.status not in _REDIRECTS:
                return found
            url = _target(found)
    raise Unread(f"{url} redirects more than {_MOST_REDIRECTS} times.")


def _prepare(url: str, headers: Mapping[str, str]) -> PreparedRequest:
    prepared = PreparedRequest()
    known = {"User-Agent": f"optout-proxy/{__version__}", "Accept-Encoding": "identity"}
    try:
        prepared.prepare(method="GET", url=url, headers={**known, "Accept": "*/*", **headers})
    except RequestException as error:
        raise Unread(f"{url} is not an address that can be asked ({error}).") from None
    return prepared


def _once(session: Session, prepared: PreparedRequest, limits: Limits) -> Visit:
    url = prepared.url or ""
    try:
        with session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=limits.left(),
        ) as response:
            body = b"" if response.status_code in _REDIRECTS else _body(response)
            return Visit(url, response.status_code, response.headers, body)
    except _TROUBLE as error:
        raise Unread(f"{url} gave no answer that can be read ({limits.reason()}).") from error


def _target(found: Visit) -> str:
    """Return where a redirect leads; raise Unread if that is another host's page."""
    target = urljoin(found.url, found.headers.get("Location", ""))
    if origin_of(target) != origin_of(found.url):
        raise Unread(f"{found.url} redirects to {target}, which is another host: name that one.")
    return target


def _body(response: Response) -> bytes:
    """Return the body unpacked: some hosts pack it whatever was asked for."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("", "identity", *_PACKED):
        raise Unread(f"{response.url} is packed as `{packed}`, which was not asked for.")
    raw = response.raw.read(LIMIT + 1, decode_content=False)
    if packed in _PACKED:
        raw = zlib.decompressobj(_PACKED[packed]).decompress(raw, LIMIT + 1)
    if len(raw) > LIMIT:
        raise Unread(f"{response.url} is larger than {LIMIT} bytes.")
    return bytes(raw)
