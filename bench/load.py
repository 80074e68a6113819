"""A load generator for one process: prebuilt requests, one in flight per connection."""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Line:
    """One connection and the request that is under way on it."""

    socket: socket.socket
    sent_at: float = 0.0
    number: int = 0
    answer: bytes = b""


@dataclass
class Result:
    """What came of a run."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds
    answered_at: dict[int, float] = field(default_factory=dict)  # Unix seconds by request
    statuses: dict[str, int] = field(default_factory=dict)


def run(host: str, port: int, requests: list[bytes], *, connections: int, rate: float) -> Result:
    """Send *requests* over *connections*; at most *rate* a second, 0 for as fast as they go."""
    selector = selectors.DefaultSelector()
    lines = [Line(socket.create_connection((host, port))) for _ in range(connections)]
    for line in lines:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(line.socket, selectors.EVENT_READ, line)
    result, idle, begun = Result(), list(lines), time.perf_counter()
    sent = done = 0
    while done < len(requests):
        due = len(requests) if not rate else int((time.perf_counter() - begun) * rate) + 1
        while idle and sent < min(due, len(requests)):
            _send(idle.pop(), sent, requests[sent])
            sent += 1
        for key, _ in selector.select(0.001 if rate else 1.0):
            if _receive(key.data, result):
                idle.append(key.data)
                done += 1
    result.seconds = time.perf_counter() - begun
    for line in lines:
        line.socket.close()
    return result


def _send(line: Line, number: int, request: bytes) -> None:
    line.number, line.answer, line.sent_at = number, b"", time.perf_counter()
    line.socket.sendall(request)


def _receive(line: Line, result: Result) -> bool:
    """Return True when the answer is whole."""
    piece = line.socket.recv(65536)
    assert piece, "the server closed a connection"
    line.answer += piece
    head, found, body = line.answer.partition(b"\r\n\r\n")
    if not found or len(body) < _length(head):
        return False
    result.latencies.append(time.perf_counter() - line.sent_at)
    result.answered_at[line.number] = time.time()
    status = head[9:12].decode()
    result.statuses[status] = result.statuses.get(status, 0) + 1
    return True


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
