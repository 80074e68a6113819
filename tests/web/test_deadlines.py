"""How long a client may keep a thread waiting, and how its connection ends."""

import io
import socket
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from proxy.errors import Problem
from proxy.web.deadlines import MOST_PARTING, Deadlines, is_left_over
from tests.acceptance.deployment import until


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


def test_a_head_that_comes_too_late_ends_the_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Whatever drips in on the way; one whose head is there is left alone."""
    ours, theirs = pair
    deadlines = Deadlines(threads=64, seconds=0.1)
    fast = socket.socketpair()
    with fast[0], fast[1]:
        deadlines.begin(fast[0])
        deadlines.has_head(fast[0])
        deadlines.begin(ours)
        theirs.sendall(b"GET /")

        assert theirs.recv(1) == b""
        fast[1].sendall(b"body")
        assert fast[0].recv(4) == b"body"


def test_the_body_has_what_the_head_left(pair: tuple[socket.socket, socket.socket]) -> None:
    """A request has one deadline: its body is given up before a head that began with the body."""
    ours, _theirs = pair
    deadlines = Deadlines(threads=64, seconds=1.0)
    deadlines.begin(ours)
    deadlines.has_head(ours)
    old, new = socket.socketpair(), socket.socketpair()
    with old[0], old[1], new[0], new[1]:
        deadlines.begin(old[0])
        assert old[1].recv(1) == b""  # so much time has passed
        deadlines.begin(new[0])
        with pytest.raises(Problem) as refused:
            deadlines.read(environ(ours), 4)

        new[1].settimeout(0)
        with pytest.raises(BlockingIOError):
            new[1].recv(1)
    assert refused.value.code == "request_timeout"


def test_an_answer_that_nobody_takes_ends_the_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """In a crowd at once: what is written to a full buffer fails."""
    ours, _theirs = pair
    with Deadlines(threads=2).answering(ours), pytest.raises(OSError, match=r"."):
        ours.sendall(b"x" * 10_000_000)


def test_an_answer_that_is_taken_is_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    """However large it is; a crowd changes nothing for who reads."""
    ours, theirs = pair
    taken: list[int] = []

    def take() -> None:
        while piece := theirs.recv(65_536):
            taken.append(len(piece))

    reader = Thread(target=take)
    reader.start()
    with Deadlines(threads=64).answering(ours):
        ours.sendall(b"x" * 10_000_000)
    ours.close()
    reader.join()

    assert sum(taken) == 10_000_000


def test_a_parting_waits_for_the_peer_and_keeps_nobody(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Our half is closed at once, the rest when the peer has closed its own, or never does."""
    ours, theirs = pair
    silent = socket.socketpair()
    deadlines = Deadlines(threads=2)
    ours.sendall(b"answer")
    deadlines.part(ours)
    deadlines.part(silent[0])

    theirs.sendall(b"more, which nobody reads")
    assert [theirs.recv(6), theirs.recv(1)] == [b"answer", b""]
    theirs.close()
    until(lambda: ours.fileno() < 0, "our end to be closed")
    until(lambda: silent[0].fileno() < 0, "the end that nobody closed")
    silent[1].close()


def test_partings_are_not_too_many() -> None:
    """Beyond their number the oldest is closed at once."""
    deadlines = Deadlines(threads=2)
    pairs = [socket.socketpair() for _ in range(MOST_PARTING + 1)]
    for ours, _ in pairs:
        deadlines.part(ours)

    assert pairs[0][0].fileno() < 0
    for pair in pairs:
        pair[1].close()
    until(lambda: all(ours.fileno() < 0 for ours, _ in pairs), "the others to be closed")


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
