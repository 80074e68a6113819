"""What the proxy recorded and what the insurer received, in their own words."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

PATIENCE = 5.0  # seconds for one answer of a process on the same machine
SILENT = (OSError, http.client.HTTPException)  # no answer came


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; *body* is its JSON, or None."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request that reached the insurer, and what the insurer made of it."""

    api: str  # empty for any other call than a report
    offer: str
    method: str
    path: str
    scheme: str  # how it proved who sent it
    verified: bool
    why_not: str  # empty when it verified
    idempotency_key: str
    status: int | None  # None while it is being answered


class Witnesses(Protocol):
    """Whom the demo asks what became of an offer."""

    def recorded(self, upstream: str, offer: str) -> Mapping[str, Any] | None:
        """Return the proxy's record of *offer*, None if it knows none."""

    def received(self, offer: str = "") -> list[Received]:
        """Return what reached the insurer for *offer*, or at all, oldest first."""


class Neighbours:
    """The real ones: the proxy with the partner's server key, and the sandbox."""

    def __init__(self, *, proxy: str, server_key: str, sandbox: str) -> None:
        self._proxy = proxy
        self._headers = {"Authorization": f"Bearer {server_key}"}
        self._sandbox = sandbox

    def recorded(self, upstream: str, offer: str) -> Mapping[str, Any] | None:
        """Return the proxy's record of *offer*, None if it knows none or does not answer."""
        query = urlencode({"upstream": upstream})
        try:
            answer = ask("GET", f"{self._proxy}/v1/offers/{offer}?{query}", headers=self._headers)
        except SILENT:
            return None
        return answer.body if answer.status == http.client.OK else None

    def received(self, offer: str = "") -> list[Received]:
        """Return what reached the insurer for *offer*, or at all, oldest first."""
        query = f"?{urlencode({'offer': offer})}" if offer else ""
        try:
            answer = ask("GET", f"{self._sandbox}/_sandbox/requests{query}")
        except SILENT:
            return []
        return [read(entry) for entry in answer.body]


def read(entry: Mapping[str, Any]) -> Received:
    """Read one line of the sandbox's list."""
    algorithm = entry["algorithm"]
    return Received(
        api=entry["api"] or "",
        offer=entry["offer"] or "",
        method=entry["method"],
        path=entry["path"],
        scheme=f"HMAC {algorithm}" if algorithm else "OAuth access token",
        verified=entry["verified"],
        why_not=entry["why_not"] or "",
        idempotency_key=entry["idempotency_key"] or "",
        status=entry["status"],
    )


def ask(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> Answer:
    """Make one request to *url*; raise one of SILENT when no answer comes."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)
    try:
        connection.request(method, target, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, _parsed(answer.read()))
    finally:
        connection.close()


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
