"""One HTTP request as it came in and one answer as it goes out. Knows no sockets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

Headers = tuple[tuple[str, str], ...]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: the target byte for byte, header names in lower case, repeats joined."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    received_at: int = 0  # ms

    @property
    def path(self) -> str:
        """The path as sent, without the query."""
        return self.target.partition("?")[0]

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, or an empty text."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; Date, Connection and Content-Length are added when it is rendered."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def head(self, *, now: int, close: bool = False, length: int | None = None) -> bytes:
        """Return status line and headers; *length* tells a Content-Length that may be a lie."""
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}"]
        lines += [f"Date: {formatdate(now // 1000, usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Connection: close" if close else "Connection: keep-alive"]
        if self.status != HTTPStatus.NO_CONTENT:  # RFC 9110, 8.6: a 204 has none
            lines += [f"Content-Length: {len(self.body) if length is None else length}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def render(self, *, now: int, close: bool = False) -> bytes:
        """Return the whole answer as it goes over the wire."""
        return self.head(now=now, close=close) + self.body

    def extended(self, *headers: tuple[str, str]) -> "Answer":
        """Return this answer with *headers* added."""
        return replace(self, headers=self.headers + headers)


def json_answer(status: int, data: object, headers: Headers = ()) -> Answer:
    """Return *data* as a JSON answer."""
    body = json.dumps(data, ensure_ascii=False).encode()
    return Answer(status, (("Content-Type", "application/json"), *headers), body)


class NotJson(ValueError):
    """The body is not JSON; the message is the parser's."""


def _constant(name: str) -> None:
    raise NotJson(f"unexpected character: {name}")


def read_json(body: bytes) -> Any:
    """Parse *body*; raise NotJson, also for NaN, bad UTF-8 and too deep nesting."""
    try:
        return json.loads(body.decode(), parse_constant=_constant)
    except json.JSONDecodeError as error:
        text = str(error)
        if error.pos >= len(error.doc):
            text = text.replace(error.msg, "unexpected end of data", 1)
        raise NotJson(text) from error
    except UnicodeDecodeError as error:
        raise NotJson(f"str is not valid UTF-8: line 1 column {error.start + 1}") from error
    except RecursionError as error:
        raise NotJson("recursion limit reached") from error
