"""What is known of a peer: whether it keeps a thread waiting, or the thread keeps it waiting."""

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from proxy.web.peers import Peer, is_ready
from tests.acceptance.deployment import until

Pair = tuple[Peer, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our end of a connection, and the other one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        taken, _ = listener.accept()
    with Peer(fileno=taken.detach()) as ours, other:
        yield ours, other


def _ask(peer: Peer) -> threading.Thread:
    """Ask *peer* for bytes in a thread; return when it waits for them."""
    thread = threading.Thread(target=peer.recv, args=(100,))
    thread.start()
    until(peer.owes, "the thread to wait")
    return thread


def test_who_is_asked_and_says_nothing_owes_it(pair: Pair) -> None:
    """Until it says something."""
    ours, other = pair
    thread = _ask(ours)

    other.sendall(b"POST")
    thread.join()

    assert not ours.owes()


def test_who_is_not_asked_owes_nothing(pair: Pair) -> None:
    """A thread that has something in its hands is not kept waiting."""
    ours, _ = pair

    assert not ours.owes()


def test_who_has_said_something_before_owes_the_rest(pair: Pair) -> None:
    """What was taken before is not counted for it."""
    ours, other = pair
    other.sendall(b"POST")
    assert ours.recv(100) == b"POST"
    thread = _ask(ours)

    other.sendall(b" /v1")
    thread.join()

    assert not ours.owes()


def test_who_has_gone_owes_nothing(pair: Pair) -> None:
    """Its end can be read; nothing else will come."""
    ours, other = pair
    other.close()
    until(lambda: is_ready(ours, select.POLLIN), "the end to arrive")

    assert ours.recv(100) == b""
    assert not ours.owes()


def test_what_has_come_and_nobody_holds_yet_is_not_owed(pair: Pair) -> None:
    """Between the kernel and a thread that waits for its turn bytes are in nobody's hands."""
    ours, other = pair
    ours._is_asked = True  # noqa: SLF001  # as of a thread that was given bytes and waits its turn
    other.sendall(b"POST")
    until(lambda: is_ready(ours, select.POLLIN), "the bytes to arrive")
    socket.socket.recv(ours, 100)  # what the kernel does for that thread

    assert not is_ready(ours, select.POLLIN)
    assert not ours.owes()


def test_calls_wait_as_they_are_told(pair: Pair) -> None:
    """Also where that is what they do already."""
    ours, _ = pair
    for value in (0.0, None, 2.0, 2.0, None):
        ours.settimeout(value)
        assert ours.gettimeout() == value
    ours.setblocking(False)  # noqa: FBT003  # Python's own
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_what_comes_soon_is_waited_for(pair: Pair) -> None:
    """No longer than that; other calls wait as long as it takes, also after it."""
    ours, other = pair
    assert ours.soon(1) is None
    thread = _ask(ours)
    thread.join(0.1)
    assert thread.is_alive()

    other.sendall(b"POST")
    thread.join()
    other.sendall(b" /v1")
    assert ours.soon(60_000) == b" /v1"
    other.close()
    assert ours.soon(60_000) == b""
