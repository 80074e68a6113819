"""The load generator: every request is answered once, whatever the server closes between two."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.load import run

Serve = Callable[[socket.socket], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """A server whose every connection has *serve* in a thread of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def requests(count: int) -> list[bytes]:
    """Return so many requests that say their number."""
    return [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count)]


def heads(connection: socket.socket) -> Iterator[bytes]:
    """Yield the head of each request."""
    with connection, connection.makefile("rb") as stream:
        for line in stream:
            if line.startswith(b"GET "):
                yield line


def number_in(line: bytes) -> int:
    """Return the number that a request says."""
    return int(line.split()[1][1:])


def answered(connection: socket.socket, status: bytes = b"202 Accepted") -> None:
    """Answer in two pieces, as a slow network does."""
    connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Le")
    connection.sendall(b"ngth: 2\r\n\r\n{}")


def test_every_status_is_counted() -> None:
    """With the moment of each answer, and how long it took."""

    def serve(connection: socket.socket) -> None:
        for line in heads(connection):
            answered(connection, b"503 Busy" if number_in(line) % 3 else b"202 Accepted")

    with listening(serve) as port:
        result = run("127.0.0.1", port, requests(30), connections=4)

    assert result.statuses == {"202": 10, "503": 20}
    assert sorted(result.answered_at) == list(range(30))
    assert len(result.latencies) == 30
    assert result.reopened == 0


@pytest.mark.parametrize("rate", [0, 200])
def test_a_connection_that_was_closed_while_idle_is_opened_anew(rate: float) -> None:
    """The server closes after each answer and says nothing of it, as after a keep-alive."""

    def serve(connection: socket.socket) -> None:
        for _ in heads(connection):
            answered(connection)
            return

    with listening(serve) as port:
        result = run("127.0.0.1", port, requests(20), connections=2, rate=rate)

    assert result.statuses == {"202": 20}
    assert sorted(result.answered_at) == list(range(20))
    assert result.reopened >= 18  # one answer a connection, and two were open


def test_a_request_that_met_a_closing_connection_is_sent_again() -> None:
    """Read, and dropped without a word: the server was about to close when it came."""
    seen: Counter[int] = Counter()

    def serve(connection: socket.socket) -> None:
        for place, line in enumerate(heads(connection)):
            seen[number_in(line)] += 1
            if place:
                return
            answered(connection)

    with listening(serve) as port:
        result = run("127.0.0.1", port, requests(5), connections=1)

    assert result.statuses == {"202": 5}
    assert seen == {0: 1, 1: 2, 2: 2, 3: 2, 4: 2}


def test_a_new_connection_that_is_closed_without_an_answer_fails_the_run() -> None:
    """To try for ever would hide that the server is broken."""

    def serve(connection: socket.socket) -> None:
        for _ in heads(connection):
            return

    with listening(serve) as port, pytest.raises(AssertionError, match="closed a new connection"):
        run("127.0.0.1", port, requests(1), connections=1)


def test_an_answer_that_is_cut_short_fails_the_run() -> None:
    """It may have been accepted: nothing is measured by guessing."""

    def serve(connection: socket.socket) -> None:
        for _ in heads(connection):
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{")
            return

    with listening(serve) as port, pytest.raises(AssertionError, match="cut an answer short"):
        run("127.0.0.1", port, requests(1), connections=1)
