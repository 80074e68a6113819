"""Connections that are kept: requests one after the other, all at once, from more than can wait."""

import socket
from http.client import HTTPConnection, HTTPResponse

from tests.acceptance.deployment import Deployment

MANY = 40  # connections, more than there are threads


def _asking(deployment: Deployment, offer: str) -> bytes:
    """Return a request of the shop's server that tells of *offer*."""
    lines = (
        f"GET /v1/offers/{offer}?upstream=tickets HTTP/1.1",
        f"Host: 127.0.0.1:{deployment.port}",
        f"Authorization: Bearer {deployment.server_key}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _answers(peer: socket.socket, count: int) -> list[bytes]:
    """Return the bodies of the next *count* answers."""
    stream, bodies = peer.makefile("rb"), []
    for _ in range(count):
        head = iter(lambda: stream.readline().strip(), b"")
        named = dict(line.lower().split(b": ", 1) for line in list(head)[1:])
        bodies.append(stream.read(int(named[b"content-length"])))
    return bodies


def _connect(deployment: Deployment) -> socket.socket:
    return socket.create_connection(("127.0.0.1", deployment.port), timeout=10)


def test_requests_one_after_the_other_use_one_connection(deployment: Deployment) -> None:
    """Each is answered, and none closes it."""
    line = HTTPConnection("127.0.0.1", deployment.port, timeout=10)
    line.connect()
    ours = line.sock

    for _ in range(50):
        line.request("GET", "/healthz")
        answer: HTTPResponse = line.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        assert line.sock is ours
    line.close()


def test_requests_that_come_at_once_are_answered_in_their_order(deployment: Deployment) -> None:
    """Also those that were read together with the one before them."""
    offers = [f"offer-{number}" for number in range(5)]
    for offer in offers[::2]:
        assert deployment.say(offer).status_code == 202

    with _connect(deployment) as peer:
        peer.sendall(b"".join(_asking(deployment, offer) for offer in offers))
        bodies = _answers(peer, len(offers))

    for offer, body in zip(offers, bodies, strict=True):
        known = offers.index(offer) % 2 == 0
        assert (f'"offer":"{offer}"'.encode() in body) is known
        assert (b'"code":"' in body) is not known


def test_a_request_in_two_pieces_is_one(deployment: Deployment) -> None:
    """Whatever the thread that waits for the next one has read of it."""
    assert deployment.say("offer-1").status_code == 202
    asking = _asking(deployment, "offer-1")

    with _connect(deployment) as peer:
        for cut in (1, 10, len(asking) - 1):
            peer.sendall(asking + asking[:cut])
            first = _answers(peer, 1)
            peer.sendall(asking[cut:])
            for body in first + _answers(peer, 1):
                assert b'"offer":"offer-1"' in body


def test_whoever_stays_keeps_no_thread(deployment: Deployment) -> None:
    """More connections than threads, each of which has been answered and says no more."""
    peers = [_connect(deployment) for _ in range(MANY)]
    try:
        for _ in range(2):
            for peer in peers:
                peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for peer in peers:
                assert _answers(peer, 1)
    finally:
        for peer in peers:
            peer.close()
    assert deployment.say("offer-1").status_code == 202


def test_whoever_leaves_leaves_its_thread(deployment: Deployment) -> None:
    """At the moment of its answer, as the server waits for its next request."""
    for _ in range(MANY):
        with _connect(deployment) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert _answers(peer, 1)
    assert deployment.say("offer-1").status_code == 202
