"""Clients as bytes: good ones, and those that stop in the middle."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from proxy.settings import load
from proxy.tokens import Keyring
from tests.faults.cluster import HOST, ORIGIN, Cluster

WAIT_S = 30.0  # for an answer or a close; never a measure of speed
PIECE = 65_536


def token(config: Path, offer: str, partner: str = "ACME") -> str:
    """Return a session token such as the partner's server signs."""
    keyring = Keyring.from_settings(load(config, {}))
    return keyring.mint(partner, offer=offer, origin=ORIGIN, now=int(time.time()))


def form(spoken: str) -> bytes:
    """Return what a page says when its customer declines; *spoken* is its token."""
    at = str(int(time.time() * 1000))
    fields = {"token": spoken, "choice": "declined", "id": str(uuid4()), "seq": at, "at": at}
    return urlencode(fields).encode()


def post(
    connection: HTTPConnection, body: bytes, path: str = "/v1/choices", **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send *body* as a page does; return status, headers and document of the answer."""
    usual = {"Host": HOST, "Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", path, body, usual | headers)
    answer = connection.getresponse()
    document: dict[str, Any] = json.loads(answer.read())
    return answer.status, dict(answer.getheaders()), document


def call(cluster: Cluster, offer: str) -> bytes:
    """Return the bytes of a request that declines *offer* as the partner's server does."""
    now = int(time.time() * 1000)
    said = {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
    body = json.dumps(said).encode()
    return head(cluster, len(body)) + body


def head(cluster: Cluster, length: int, *more: str) -> bytes:
    """Return the head of such a request with a body of *length* bytes."""
    lines = [
        "POST /v1/choices HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {cluster.partners['ACME'].server_key}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def received(peer: socket.socket) -> bytes:
    """Return everything until the peer closes."""
    data = b""
    with suppress(ConnectionResetError):
        while piece := peer.recv(PIECE):
            data += piece
    return data


def is_closed(peer: socket.socket) -> bool:
    """True when the other side has closed; what it said before is thrown away."""
    peer.settimeout(0)
    try:
        while peer.recv(PIECE):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def many(port: int, number: int, *said: bytes) -> Iterator[list[socket.socket]]:
    """Connect *number* times, say each of *said* in turn, and do nothing more."""
    with ExitStack() as stack:
        peers = []
        for index in range(number):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_S))
            with suppress(OSError):  # one that is refused at once may have been closed already
                peer.sendall(said[index % len(said)])
            peers.append(peer)
        yield peers


@contextmanager
def dripping(peers: list[socket.socket], byte: bytes = b"a") -> Iterator[None]:
    """Let each of *peers* say *byte* again and again."""
    over = Event()

    def drip() -> None:
        while not over.wait(0.2):
            for peer in peers:
                with suppress(OSError):
                    peer.send(byte)

    thread = Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
