"""Connections that a fault breaks: what goes over the wire is not HTTP, or not in time."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from proxy.sandbox.faults import Rule
from proxy.sandbox.wire import Answer

_CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_STALE = b"HTTP/1.1 204 No Content\r\nX-Smuggled: yes\r\n\r\n"


class Wire(Protocol):
    """A connection that is about to be broken; writing fails when the caller is gone."""

    def send(self, data: bytes) -> None:
        """Send *data* at once."""

    def pause(self, seconds: float) -> bool:
        """Wait; return True if the sandbox is being stopped."""

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""


def _with_body(answer: Answer) -> Answer:
    if answer.body:
        return answer
    return Answer(200, (("Content-Type", "application/json"),), b'{"data": {"status": "ok"}}')


def _reset(wire: Wire, _answer: Answer, _rule: Rule, _now: int) -> None:
    wire.reset()


def _close(_wire: Wire, _answer: Answer, _rule: Rule, _now: int) -> None:
    """Send nothing; the connection is closed after every fault."""


def _reset_mid(wire: Wire, answer: Answer, _rule: Rule, now: int) -> None:
    answer = _with_body(answer)
    wire.send(answer.head(now=now, close=True) + answer.body[: len(answer.body) // 2])
    wire.pause(0.05)  # or the reset may overtake what was sent
    wire.reset()


def _truncated(wire: Wire, answer: Answer, _rule: Rule, now: int) -> None:
    answer = _with_body(answer)
    wire.send(answer.head(now=now, close=True, length=len(answer.body) + 100) + answer.body)


def _drip(wire: Wire, data: bytes, pause: float) -> None:
    for position in range(len(data)):
        wire.send(data[position : position + 1])
        if wire.pause(pause):
            return


def _drip_head(wire: Wire, answer: Answer, rule: Rule, now: int) -> None:
    _drip(wire, answer.render(now=now, close=True), rule.params["pause"])


def _drip_body(wire: Wire, answer: Answer, rule: Rule, now: int) -> None:
    answer = _with_body(answer)
    wire.send(answer.head(now=now, close=True))
    _drip(wire, answer.body, rule.params["pause"])


def _chunks(megabytes: int) -> Iterator[bytes]:
    for _ in range(megabytes * 16):
        yield _CHUNK


def _endless(wire: Wire, _answer: Answer, rule: Rule, _now: int) -> None:
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for chunk in _chunks(rule.params["megabytes"]):
        wire.send(chunk)


def _endless_interim(wire: Wire, _answer: Answer, rule: Rule, _now: int) -> None:
    wire.send(_INTERIM)
    while not wire.pause(rule.params["pause"]):
        wire.send(_INTERIM)


def _garbage(wire: Wire, _answer: Answer, _rule: Rule, _now: int) -> None:
    wire.send(bytes(range(256)) * 4)


def _smuggled(wire: Wire, answer: Answer, _rule: Rule, now: int) -> None:
    """Send one answer too many, which a careless pool takes for the next request's."""
    wire.send(answer.render(now=now) + _STALE)
    wire.pause(2.0)


BROKEN: Mapping[str, Callable[[Wire, Answer, Rule, int], None]] = MappingProxyType(
    {
        "reset": _reset,
        "close": _close,
        "lost_answer": _close,
        "reset_mid": _reset_mid,
        "truncated": _truncated,
        "drip_head": _drip_head,
        "drip_body": _drip_body,
        "endless": _endless,
        "endless_interim": _endless_interim,
        "garbage": _garbage,
        "smuggled": _smuggled,
    }
)
_SILENT = frozenset({"reset", "close", "lost_answer", "garbage", "endless_interim"})


def is_silent(rule: Rule) -> bool:
    """Return whether no answer goes out at all under *rule*."""
    return rule.fault in _SILENT or (rule.fault == "hang" and not rule.effect)


def breaker(rule: Rule) -> Callable[[Wire, Answer, Rule, int], None] | None:
    """Return what breaks the connection under *rule*, None if the answer goes out as it is."""
    return BROKEN.get(rule.fault, _close if is_silent(rule) else None)
