"""Answers that are broken, endless, slow or missing: what they cost, and how sure we are."""

import gzip
import socket

import pytest

from proxy.choices import Kind, Outcome
from proxy.credentials import credentials_for
from proxy.sender import Sender
from tests.upstream.builders import a_delivery, an_upstream
from tests.upstream.raw_server import RawServer, Received, Step, reply, reset

OK = reply(204)
SLOW = 0.05  # seconds between two bytes: never a read without one


def _send(sender: Sender, url: str, api: str = "xcover-offers") -> Outcome:
    upstream = an_upstream(url, api)
    return sender.send(a_delivery(), upstream, credentials_for(upstream))


def _drip(server: RawServer, sock: socket.socket, data: bytes) -> None:
    for position in range(len(data)):
        if server.stopping.wait(SLOW):
            return
        sock.sendall(data[position : position + 1])


def _lose(_request: Received, sock: socket.socket) -> None:
    reset(sock)


def _close(_request: Received, _sock: socket.socket) -> None:
    return


def _then_close(data: bytes) -> Step:
    def step(_request: Received, sock: socket.socket) -> None:
        sock.sendall(data)

    return step


def _endless(head: bytes, block: bytes) -> Step:
    def step(_request: Received, sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(block)

    return step


def _headers(count: int, size: int) -> bytes:
    lines = "".join(f"X-{number}: {'x' * size}\r\n" for number in range(count))
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode()


HEAD = b"HTTP/1.1 "
CHUNKED = HEAD + b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b"0" * 50_000_000)
BROKEN: dict[str, tuple[bytes | Step, str]] = {
    "a reset": (_lose, "connection_lost"),
    "a close": (_close, "connection_lost"),
    "garbage": (_then_close(b"\x00\xff garbage\r\n\r\n"), "answer_unreadable"),
    "half a status line": (_then_close(b"HTTP/1.1 2"), "answer_unreadable"),
    "a bare status": (_then_close(b"HTTP/1.1 204"), "answer_cut"),
    "half a head": (_then_close(HEAD + b"200 OK\r\nContent-Le"), "answer_cut"),
    "another protocol": (_then_close(b"SSH-2.0-OpenSSH_9.2\r\n"), "answer_unreadable"),
    "a truncated body": (
        _then_close(HEAD + b"200 OK\r\nContent-Length: 9\r\n\r\n{}"),
        "answer_cut",
    ),
    "a truncated chunk": (_then_close(CHUNKED + b"9\r\n{}"), "answer_cut"),
    "no last chunk": (_then_close(CHUNKED + b"2\r\n{}\r\n"), "answer_cut"),
    "a chunk of no size": (_then_close(CHUNKED + b"zz\r\n{}\r\n"), "answer_cut"),
    "lengths that differ": (
        _then_close(HEAD + b"200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        "answer_unreadable",
    ),
    "a header of 100 KB": (reply(200, X=100_000 * "x"), "answer_unreadable"),
    "headers of 100 KB": (_headers(50, 2000), "answer_too_large"),
    "an endless header": (_endless(HEAD + b"200 OK\r\nX: ", b"x" * 9999), "answer_unreadable"),
    "an endless body": (_endless(HEAD + b"200 OK\r\n\r\n", b"x" * 9999), "answer_too_large"),
    "endless chunks": (_endless(CHUNKED, b"1\r\nx\r\n" * 999), "answer_too_large"),
    "a large body": (reply(200, b"x" * 65_537), "answer_too_large"),
    "a gzip bomb": (reply(200, ZIPPED, Content_Encoding="gzip"), "answer_compressed"),
    "a gzip bomb in chunks": (
        _then_close(
            CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: GZIP\r\n\r\n")
            + f"{len(ZIPPED):x}\r\n".encode()
            + ZIPPED
        ),
        "answer_compressed",
    ),
    "an early hint": (HEAD + b"103 Early Hints\r\n\r\n" + OK, "answer_unreadable"),
}


@pytest.mark.parametrize(("step", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_leaves_doubt(sender: Sender, step: bytes | Step, reason: str) -> None:
    """The request was sent, so upstream may have it: the same key goes out again."""
    with RawServer(step) as server:
        outcome = _send(sender, server.url)

    assert (outcome.kind, outcome.reason) == (Kind.TRANSIENT, reason)
    assert outcome.unknown


@pytest.mark.parametrize("step", [each[0] for each in BROKEN.values()], ids=BROKEN)
def test_a_broken_answer_spoils_no_other(sender: Sender, step: bytes | Step) -> None:
    """What is left on a connection is never read as the answer to the next report."""
    with RawServer(step, reply(404)) as server:
        _send(sender, server.url)

        outcome = _send(sender, server.url)

    assert outcome.status == 404
    assert server.connections == 2


SMUGGLED = {
    "a body after 204": HEAD + b"204 OK\r\nContent-Length: 38\r\n\r\n",
    "chunks after 204": HEAD + b"204 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a second answer": HEAD + b"204 OK\r\n\r\n",
    "both lengths": HEAD
    + b"404 No\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_a_second_answer_is_never_taken(sender: Sender, head: bytes) -> None:
    """Upstream can not answer a report before it was made."""
    with RawServer(head + reply(204), reply(503)) as server:
        _send(sender, server.url)

        outcome = _send(sender, server.url)

    assert outcome.status == 503


def test_a_body_may_end_with_the_connection(sender: Sender) -> None:
    """An answer without a length is whole when upstream closes."""
    with RawServer(_then_close(HEAD + b"404 No\r\n\r\n" + b'{"message":"gone"}')) as server:
        outcome = _send(sender, server.url)

    assert (outcome.kind, outcome.detail) == (Kind.PERMANENT, "gone")


def test_a_body_of_64_kib_is_read(sender: Sender) -> None:
    """The limit is a limit, not one byte less."""
    with RawServer(reply(400, b'{"message":"long"}' + b" " * (65_536 - 18))) as server:
        outcome = _send(sender, server.url)

    assert outcome.detail == "long"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(sender: Sender, status: int) -> None:
    """The place that upstream points to sees neither request nor credentials."""
    with RawServer(OK) as other:
        with RawServer(reply(status, Location=f"{other.url}/x")) as server:
            outcome = _send(sender, server.url)

        assert (outcome.kind, outcome.reason) == (Kind.PERMANENT, "redirected")
        assert other.connections == 0


def test_a_redirect_is_not_unpacked(sender: Sender) -> None:
    """`requests` would read the whole body of a redirect, even of one it does not follow."""
    bomb = reply(302, ZIPPED, Location="/x", Content_Encoding="gzip")
    with RawServer(bomb, OK) as server:
        outcome = _send(sender, server.url)

    assert outcome.reason == "redirected"


def test_cookies_are_not_kept(sender: Sender) -> None:
    """Nothing that one report brings back goes out with another."""
    with RawServer(reply(204, Set_Cookie="a=b; Path=/")) as server:
        _send(sender, server.url)
        _send(sender, server.url)

    assert "cookie" not in server.requests[1].headers


DRIPS = {
    "head": reply(204, X="x" * 100),
    "body": reply(200, b" " * 100),
    "interim": (HEAD + b"100 Continue\r\n\r\n") * 9 + OK,
}


@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_a_drip_ends_at_the_deadline(hasty: Sender, data: bytes) -> None:
    """A byte now and then is not progress: the deadline is for the whole attempt."""
    with RawServer(lambda _, sock: _drip(server, sock, data)) as server:
        outcome = _send(hasty, server.url)

        assert (outcome.kind, outcome.reason) == (Kind.TRANSIENT, "timed_out")
        assert outcome.unknown


def test_silence_ends_at_the_deadline(hasty: Sender) -> None:
    """An upstream that takes the request and says nothing may have acted on it."""

    def wait(_request: Received, _sock: socket.socket) -> None:
        server.stopping.wait()

    with RawServer(wait) as server:
        outcome = _send(hasty, server.url)

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="timed_out", unknown=True)
