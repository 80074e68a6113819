"""Clients that break off, say too much, or speak another language."""

import re
import socket
import struct
from collections.abc import Callable

import pytest

from tests.acceptance.deployment import until
from tests.clients.callers import WAIT_S, call, head, received
from tests.faults.cluster import HOST, Cluster

HEALTH = f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
HELLO = bytes.fromhex("16030102000100 01fc0303") + bytes(range(256)) * 2  # of TLS
RESET = struct.pack("ii", 1, 0)


def connect(cluster: Cluster) -> socket.socket:
    """Return a connection to the public listener."""
    return socket.create_connection(("127.0.0.1", cluster.ports["web"][0]), WAIT_S)


def statuses(data: bytes) -> list[int]:
    """Return the status of each answer in *data*."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", data)]


def one_answer(peer: socket.socket) -> bytes:
    """Return an answer whose body is JSON, and no byte of the next."""
    data = b""
    while not data.endswith(b"}"):
        piece = peer.recv(65_536)
        assert piece, data
        data += piece
    return data


CUTS: dict[str, Callable[[bytes], bytes]] = {
    "in-the-request-line": lambda whole: whole[:10],
    "in-the-head": lambda whole: whole[:100],
    "before-the-body": lambda whole: whole[: whole.index(b"\r\n\r\n") + 4],
    "in-the-body": lambda whole: whole[:-10],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
def test_what_breaks_off_is_not_recorded(cluster: Cluster, cut: str, *, is_reset: bool) -> None:
    """Half a request is none, whether its client leaves politely or not."""
    offer = f"broken-{cut}-{is_reset}"
    with connect(cluster) as peer:
        peer.sendall(CUTS[cut](call(cluster, offer)))
        if is_reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    assert cluster.say("sound").status_code == 202
    assert cluster.offer(offer)["code"] == "not_found"


def test_a_client_that_has_closed_its_half_is_answered(cluster: Cluster) -> None:
    """It said all it had to say, and still listens."""
    with connect(cluster) as peer:
        peer.sendall(call(cluster, "half-closed"))
        peer.shutdown(socket.SHUT_WR)

        assert statuses(received(peer)) == [202]
    assert cluster.offer("half-closed")["choice"] == "declined"


def test_a_reset_after_the_request_changes_nothing(cluster: Cluster) -> None:
    """It came in whole: it is recorded, whoever reads the answer."""
    with connect(cluster) as peer:
        peer.sendall(call(cluster, "reset-later"))
        until(lambda: cluster.offer("reset-later").get("choice"), "its record")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    until(lambda: len(cluster.received("reset-later")) == 1, "its delivery")


def test_requests_in_one_go_are_answered_in_their_order(cluster: Cluster) -> None:
    """Twenty declines, a refusal among them, without waiting for an answer in between."""
    calls = [call(cluster, f"piped-{number}") for number in range(20)]
    calls.insert(10, HEALTH.replace(b"/healthz", b"/nowhere"))
    with connect(cluster) as peer:
        peer.sendall(b"".join(calls))
        peer.shutdown(socket.SHUT_WR)

        assert statuses(received(peer)) == [202] * 10 + [404] + [202] * 10


def test_a_connection_serves_on_after_a_refusal(cluster: Cluster) -> None:
    """Its bodies were read or taken off, so the next request begins where it should."""
    refused = call(cluster, "kept").replace(b"osk_live_", b"osk_dead_")
    too_large = head(cluster, 17_000) + b"x" * 17_000
    with connect(cluster) as peer:
        for said, status in [(refused, 401), (too_large, 413), (call(cluster, "kept"), 202)]:
            peer.sendall(said)
            assert statuses(one_answer(peer)) == [status]


def test_a_body_that_comes_after_the_answer_is_no_request(cluster: Cluster) -> None:
    """Refused by its head alone; what follows is taken off, not obeyed."""
    smuggled = call(cluster, "smuggled")
    with connect(cluster) as peer:
        peer.sendall(head(cluster, len(smuggled), "Content-Encoding: gzip"))
        assert statuses(one_answer(peer)) == [415]
        peer.sendall(smuggled)
        peer.sendall(HEALTH)

        assert statuses(one_answer(peer)) == [200]
    assert cluster.offer("smuggled")["code"] == "not_found"


LANGUAGES = {
    "oversized-header": (f"GET /healthz HTTP/1.1\r\nX-A: {'a' * 9000}\r\n\r\n".encode(), [431]),
    "many-headers": (b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n", [431]),
    "no-newline": (b"a" * 10_000, [414]),
    "no-newline-in-the-head": (b"GET / HTTP/1.1\r\n" + b"a" * 10_000 + b"\r\n\r\n", [400]),
    "tls": (HELLO, [400]),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", [400]),
    "http2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "nothing": (b"\r\n" * 100, [400]),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_is_no_request_is_refused_and_over(cluster: Cluster, name: str) -> None:
    """One refusal, then the connection ends; what stood behind it is never read as a request."""
    said, expected = LANGUAGES[name]
    with connect(cluster) as peer:
        peer.sendall(said + call(cluster, f"after-{name}"))
        peer.shutdown(socket.SHUT_WR)

        assert statuses(received(peer)) == expected
    assert cluster.offer(f"after-{name}")["code"] == "not_found"
