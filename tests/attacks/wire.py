"""Bytes to a socket, and what came back: no client in between that would put anything right."""

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

ANSWER_S = 2.0  # for a refusal: a hang is a fault, however loaded the machine is
_BODILESS = (204, 304)


@dataclass(frozen=True)
class Answer:
    """One answer as it came in, and the request that it was given to."""

    request: bytes
    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the only value of header *name*; None if there is none."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def media(self) -> str:
        """The media type, without its parameters."""
        return (self.header("content-type") or "").partition(";")[0]

    @property
    def is_problem(self) -> bool:
        """True for a refusal of ours; what the parser refuses, it refuses in its own words."""
        return self.media == "application/problem+json"

    def json(self) -> dict[str, Any]:
        """Return the document that the body is."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def lines(self) -> list[dict[str, Any]]:
        """Return the documents of JSON lines, or the only document."""
        if self.media not in ("application/x-ndjson", "application/json"):
            return []
        return [json.loads(line) for line in self.body.splitlines()]

    def verdicts(self) -> set[tuple[int, str | None]]:
        """Return status and code of what was said; of a batch, those of its lines."""
        if self.media == "application/x-ndjson":
            return {(line.get("status", 202), line.get("code")) for line in self.lines()}
        return {(self.status, self.json()["code"] if self.is_problem and self.body else None)}


class Talk:
    """A connection; each request may be answered by one answer."""

    def __init__(self, port: int, *, seconds: float = ANSWER_S) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._requests: list[bytes] = []

    def say(self, *requests: bytes) -> "Talk":
        """Send *requests*; a peer that has closed meanwhile may have answered before."""
        for request in requests:
            self._requests.append(request)
            with suppress(BrokenPipeError, ConnectionResetError):
                self._socket.sendall(request)
        return self

    def rest(self, *, half_close: bool = True) -> list[Answer]:
        """Return the answers until the peer closes; by default, say that no more is coming."""
        with self._socket:
            if half_close:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            return parse(self._requests, self._received())

    def _received(self) -> bytes:
        data = bytearray()
        with suppress(ConnectionResetError):
            while piece := self._socket.recv(65_536):
                data += piece
        return bytes(data)


def parse(requests: Sequence[bytes], data: bytes) -> list[Answer]:
    """Split *data* into answers, by their own lengths; an interim one is left out."""
    found: list[Answer] = []
    while data:
        request = requests[min(len(found), len(requests) - 1)]
        head, mark, data = data.partition(b"\r\n\r\n")
        assert mark, (request[:200], head[:200])
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers = tuple(_header(line) for line in lines[1:])
        length = 0
        if status >= 200 and status not in _BODILESS and not request.startswith(b"HEAD "):
            length = int(dict(headers).get("content-length", len(data)))
        assert len(data) >= length, (lines, data[:200])
        if status >= 200:
            found.append(Answer(request, status, headers, data[:length]))
        data = data[length:]
    return found


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def a_request(
    method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes = b""
) -> bytes:
    """Return a request, to the letter; one character of a header is one byte."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
