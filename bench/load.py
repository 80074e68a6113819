"""A load generator for one process: prebuilt requests, one in flight per connection."""

import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Line:
    """One connection and the request that is under way on it."""

    connection: socket.socket | None = None  # None when the server has closed it
    is_new: bool = True  # opened for the request that is under way
    sent_at: float = 0.0
    number: int | None = None  # of the request; None while there is none
    answer: bytes = b""


@dataclass
class Result:
    """What came of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds
    answered_at: dict[int, float] = field(default_factory=dict)  # Unix seconds by request
    statuses: dict[str, int] = field(default_factory=dict)
    reopened: int = 0  # connections that the server had closed while they were idle


class Generator:
    """Lines to one server, and what came of the requests on them."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes], rate: float) -> None:
        self.result = Result()
        self._address = (host, port)
        self._requests = requests
        self._rate = rate
        self._selector = selectors.DefaultSelector()
        self._idle: list[Line] = []
        self._sent = self._done = 0

    def run(self, connections: int) -> None:
        """Send everything; return when the last answer is there."""
        lines = [Line() for _ in range(connections)]
        for line in lines:
            self._open(line)
        self._idle, self._begun = list(lines), time.perf_counter()
        while self._done < len(self._requests):
            self._send_due()
            for key, _ in self._selector.select(0.001 if self._rate else 1.0):
                self._receive(key.data)
        self.result.seconds = time.perf_counter() - self._begun
        for line in lines:
            self._close(line)

    def _send_due(self) -> None:
        """Send what is due while a line is idle."""
        due = count = len(self._requests)
        if self._rate:
            due = min(count, int((time.perf_counter() - self._begun) * self._rate) + 1)
        while self._idle and self._sent < due:
            line = self._idle.pop()
            # Counted from when it was due: to wait for a connection is to wait.
            line.sent_at = time.perf_counter()
            if self._rate:
                line.sent_at = self._begun + self._sent / self._rate
            line.number = self._sent
            self._sent += 1
            self._send(line)

    def _send(self, line: Line) -> None:
        """Send the request of *line*, on a new connection if the server has closed the old one."""
        assert line.number is not None
        line.answer, line.is_new = b"", line.connection is None
        if line.connection is None:
            self._open(line)
            self.result.reopened += 1
        assert line.connection is not None
        with suppress(ConnectionError):  # it is read as closed, then
            line.connection.sendall(self._requests[line.number])

    def _receive(self, line: Line) -> None:
        """Take what has come; the line is idle again when the answer is whole."""
        assert line.connection is not None
        try:
            piece = line.connection.recv(65536)
        except ConnectionError:
            piece = b""
        if not piece:
            self._closed(line)
            return
        line.answer += piece
        head, found, body = line.answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        assert line.number is not None, "an answer that nobody asked for"
        self.result.latencies.append(time.perf_counter() - line.sent_at)
        self.result.answered_at[line.number] = time.time()
        status = head[9:12].decode()
        self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
        line.number = None
        self._idle.append(line)
        self._done += 1

    def _closed(self, line: Line) -> None:
        """Bear that the server closes what was idle, as browsers do.

        It may do so just when the next request is on its way: that one is sent again.
        """
        self._close(line)
        if line.number is None:
            return
        assert not line.answer, "the server cut an answer short"
        assert not line.is_new, "the server closed a new connection"
        self._send(line)

    def _open(self, line: Line) -> None:
        line.connection = socket.create_connection(self._address)
        line.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(line.connection, selectors.EVENT_READ, line)

    def _close(self, line: Line) -> None:
        if line.connection is not None:
            self._selector.unregister(line.connection)
            line.connection.close()
            line.connection = None


def run(
    host: str, port: int, requests: Sequence[bytes], *, connections: int, rate: float = 0
) -> Result:
    """Send *requests* over *connections*; at most *rate* a second, 0 for as fast as they go."""
    generator = Generator(host, port, requests, rate)
    generator.run(connections)
    return generator.result


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def main() -> None:
    """Read a job as JSON from standard input, write the result to standard output."""
    job: dict[str, Any] = json.load(sys.stdin)
    result = run(
        job["host"],
        job["port"],
        [text.encode() for text in job["requests"]],
        connections=job["connections"],
        rate=job["rate"],
    )
    json.dump(vars(result), sys.stdout)


if __name__ == "__main__":
    main()
