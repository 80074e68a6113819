"""What goes over the wire byte by byte: HTTP as the sandbox speaks it, and as faults break it."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from tests.sandbox.caller import PATHS, Caller

PATH = PATHS["xcover-offers"].format("OFFER-1")


@contextmanager
def connected(caller: Caller) -> Iterator[socket.socket]:
    """Yield a raw connection to the sandbox."""
    where = urlsplit(caller.sandbox.url)
    with socket.create_connection((where.hostname, where.port), timeout=5) as connection:
        yield connection


def signed(caller: Caller, *more: str, method: str = "POST", body: str = "{}") -> bytes:
    """Return a signed request with the header lines *more*."""
    lines = [f"{method} {PATH} HTTP/1.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in caller.signature().items()]
    lines += more or (f"Content-Length: {len(body)}",)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def heard(connection: socket.socket, seconds: float) -> bytes:
    """Return what arrives within *seconds*, or until the other side closes."""
    data, end = b"", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        connection.settimeout(left)
        with suppress(TimeoutError):
            more = connection.recv(1024 * 1024)
            if not more:
                break
            data += more
    return data


def answer_to(caller: Caller, request: bytes, seconds: float = 2.0) -> bytes:
    """Send *request* and return what is answered until the connection ends."""
    with connected(caller) as connection:
        connection.sendall(request)
        return heard(connection, seconds)


def test_connections_are_kept(caller: Caller) -> None:
    """Two requests over one connection get two answers."""
    with connected(caller) as connection:
        connection.sendall(signed(caller) * 2)

        assert heard(connection, 0.5).count(b"HTTP/1.1 204 No Content\r\n") == 2


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Transfer-Encoding: chunked", b"411"),
        ("Content-Length: -1", b"400"),
        ("Content-Length: 1e3", b"400"),
        ("Content-Length: 99999999999", b"400"),
        ("Content-Length: 1048577", b"413"),
    ],
)
def test_bad_framing_is_refused(caller: Caller, header: str, status: bytes) -> None:
    """A body needs a length that is one; the connection is closed."""
    answer = answer_to(caller, signed(caller, header, body=""))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert caller.sandbox.requests() == []


def test_cut_body_is_ignored(caller: Caller) -> None:
    """A request that never arrives whole is none."""
    with connected(caller) as connection:
        connection.sendall(signed(caller, "Content-Length: 100"))
        connection.shutdown(socket.SHUT_WR)

        assert heard(connection, 2.0) == b""
    assert caller.sandbox.requests() == []


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_nonsense_does_no_harm(caller: Caller, data: bytes) -> None:
    """After bytes that are no request the next request works."""
    with connected(caller) as connection:
        connection.sendall(data)

    assert caller.opt_out().status_code == 204


def test_head_gets_no_body(caller: Caller) -> None:
    """The length is told, the body is not sent."""
    answer = answer_to(caller, signed(caller, "Connection: close", method="HEAD", body=""))

    assert answer.startswith(b"HTTP/1.1 405")
    assert answer.endswith(b"\r\n\r\n")


def test_repeated_headers_are_seen_joined(caller: Caller) -> None:
    """A second Date is not taken for the first one."""
    answer = answer_to(caller, signed(caller, "Date: x", "Content-Length: 2", "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 403")
    assert caller.sandbox.requests()[0]["headers"]["date"].endswith(", x")


@pytest.mark.parametrize("fault", ["drip_head", "drip_body"])
def test_drips(caller: Caller, fault: str) -> None:
    """A byte comes before every read times out; the end takes its time."""
    caller.sandbox.fault(fault, pause=0.05)

    answer = answer_to(caller, signed(caller), 0.5)

    assert len(answer.partition(b"\r\n\r\n")[2] if fault == "drip_body" else answer) in range(3, 12)


def test_drip_ends(caller: Caller) -> None:
    """A patient caller gets the whole answer."""
    caller.sandbox.fault("drip_head", pause=0.0)

    assert answer_to(caller, signed(caller)).endswith(b"\r\n\r\n")


def test_endless_interim_answers(caller: Caller) -> None:
    """100 Continue follows 100 Continue, and never an answer."""
    caller.sandbox.fault("endless_interim", pause=0.05)

    answer = answer_to(caller, signed(caller), 0.5)

    assert answer.count(b"HTTP/1.1 100 Continue\r\n\r\n") > 3
    assert len(answer) % len(b"HTTP/1.1 100 Continue\r\n\r\n") == 0


def test_endless_body(caller: Caller) -> None:
    """The body goes on for as many megabytes as the test likes, and is never ended."""
    caller.sandbox.fault("endless", megabytes=4)

    answer = answer_to(caller, signed(caller), 10)

    assert len(answer) > 4 * 1024 * 1024
    assert not answer.endswith(b"0\r\n\r\n")


def test_smuggled_answer(caller: Caller) -> None:
    """One answer too many lies in wait for the next request of the connection."""
    caller.sandbox.fault("smuggled")

    answer = answer_to(caller, signed(caller), 0.3)

    assert answer.count(b"HTTP/1.1 204") == 2


def test_truncated_body_lies_about_its_length(caller: Caller) -> None:
    """Content-Length promises more than comes."""
    caller.sandbox.fault("truncated")

    head, _, body = answer_to(caller, signed(caller)).partition(b"\r\n\r\n")

    assert f"Content-Length: {len(body) + 100}".encode() in head


def test_garbage_is_no_http(caller: Caller) -> None:
    """Bytes of all kinds instead of a status line."""
    caller.sandbox.fault("garbage")

    assert answer_to(caller, signed(caller)).startswith(b"\x00\x01\x02")
