"""How long a body may take."""

import io
import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from proxy.errors import Problem
from proxy.web.deadlines import Deadlines, is_left_over


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def environ(ours: socket.socket) -> dict[str, Any]:
    """Return what gunicorn hands to an application."""
    return {"gunicorn.socket": ours, "wsgi.input": _Input(ours)}


def test_a_body_that_is_there_is_read(pair: tuple[socket.socket, socket.socket]) -> None:
    """Exactly as many bytes as were announced; the rest is another request's."""
    ours, theirs = pair
    theirs.sendall(b"bodyrest")

    assert Deadlines(threads=8).read(environ(ours), 4) == b"body"


def test_a_body_that_comes_too_late_is_given_up(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Whatever drips in on the way; the connection is not used again."""
    ours, theirs = pair
    theirs.sendall(b"bo")
    call = environ(ours)

    with pytest.raises(Problem) as refused:
        Deadlines(threads=8, seconds=0.1).read(call, 4)
    assert refused.value.code == "request_timeout"
    assert is_left_over(call)


def test_a_body_that_ends_early_is_malformed(pair: tuple[socket.socket, socket.socket]) -> None:
    """The peer has closed its half."""
    ours, theirs = pair
    theirs.sendall(b"bo")
    theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(Problem) as refused:
        Deadlines(threads=8).read(environ(ours), 4)
    assert refused.value.code == "invalid_request"


def test_a_crowd_makes_impatient(pair: tuple[socket.socket, socket.socket]) -> None:
    """When half of the threads wait for bodies, none is waited for long."""
    ours, _theirs = pair
    deadlines = Deadlines(threads=2, seconds=3600)

    with pytest.raises(Problem) as refused:
        deadlines.read(environ(ours), 4)
    assert refused.value.code == "request_timeout"


def test_a_connection_that_breaks_is_a_timeout(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Nobody reads the answer; nothing of ours has failed."""
    ours, _theirs = pair
    broken = environ(ours) | {"wsgi.input": _Broken()}

    with pytest.raises(Problem) as refused:
        Deadlines(threads=8).read(broken, 4)
    assert refused.value.code == "request_timeout"


def test_a_server_without_sockets_just_reads() -> None:
    """Other servers have deadlines of their own, or nginx in front."""
    assert Deadlines(threads=8).read({"wsgi.input": io.BytesIO(b"body")}, 4) == b"body"


def test_readers_do_not_disturb_each_other() -> None:
    """One that is cut leaves the other its time."""
    deadlines = Deadlines(threads=64, seconds=0.3)
    slow, fast = socket.socketpair(), socket.socketpair()
    bodies: list[bytes] = []
    reader = Thread(target=lambda: bodies.append(deadlines.read(environ(fast[0]), 4)))
    with slow[0], slow[1], fast[0], fast[1]:
        with pytest.raises(Problem):
            deadlines.read(environ(slow[0]), 4)
        reader.start()
        fast[1].sendall(b"body")
        reader.join()

    assert bodies == [b"body"]


class _Input:
    """What gunicorn reads bodies with: one read waits until all of it is there, or the end."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours

    def read(self, size: int) -> bytes:
        """Return *size* bytes, or fewer at the end."""
        data = b""
        while len(data) < size and (piece := self._socket.recv(size - len(data))):
            data += piece
        return data


class _Broken(io.RawIOBase):
    """A connection that the peer has reset."""

    def read(self, _size: int = -1) -> bytes:
        """Fail as a socket does."""
        raise ConnectionResetError
