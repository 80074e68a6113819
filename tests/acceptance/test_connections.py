"""Connections that are kept: requests one after the other, all at once, from more than can wait."""

import json
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse

import psutil
import pytest

from tests.acceptance.deployment import Deployment, until
from tests.acceptance.test_server_side import a_message, tell_all

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


def _cores(deployment: Deployment) -> list[int]:
    """Return on how many cores each thread of those who serve may run."""
    child = deployment.proxy.child
    assert child is not None
    cores = []
    for process in psutil.Process(child.pid).children():
        for thread in process.threads():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                cores.append(len(os.sched_getaffinity(thread.id)))
    return cores


EVERYWHERE = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
two_cores = pytest.mark.skipif(EVERYWHERE == 1, reason="needs Linux and two cores")


@two_cores
def test_many_requests_are_answered_on_one_core(deployment: Deployment) -> None:
    """While they come; those who answer none of them run where they like."""
    assert set(_cores(deployment)) == {EVERYWHERE}
    done = threading.Event()

    def ask() -> None:
        with _connect(deployment) as peer:
            while not done.is_set():
                peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert _answers(peer, 1)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            until(lambda: 1 in _cores(deployment), "those who answer are on one core")
            assert EVERYWHERE in _cores(deployment)
        finally:
            done.set()
        for one in asking:
            one.result(10)


@two_cores
def test_many_reports_are_sent_on_one_core(deployment: Deployment) -> None:
    """Of declines that have come in one request, so that nobody else has much to do."""
    assert set(_cores(deployment)) == {EVERYWHERE}
    lines = [json.dumps(a_message(f"offer-{number}")).encode() for number in range(1_000)]
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(tell_all, deployment, lines)
        until(lambda: _cores(deployment).count(1) > 1, "those who send are on one core")
        assert EVERYWHERE in _cores(deployment)
        assert len(told.result(30)) == len(lines)
