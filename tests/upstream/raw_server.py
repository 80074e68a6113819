"""A server of bytes: it reads whole requests and answers what the test wrote, however broken."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Self


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes


# Bytes are sent and the connection stays; a step returns such bytes, or None to have it closed.
Step = Callable[[Received, socket.socket], bytes | None]


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a well-formed answer; `_` in a header's name stands for `-`."""
    lines = [f"HTTP/1.1 {status} Word"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def reset(sock: socket.socket) -> None:
    """Close *sock* so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class RawServer:
    """Answers the n-th request with the n-th step of its script; the last one repeats."""

    def __init__(self, *script: bytes | Step, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()  # long steps wait on it instead of sleeping
        self._script = script
        self._tls = tls
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def hang_up(self) -> None:
        """Close every connection, and listen on."""
        with self._lock:
            sockets = list(self._open)
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.append(sock)
        with sock.makefile("rb") as file:
            while (request := _read(file)) is not None:
                with self._lock:
                    step = self._script[min(len(self.requests), len(self._script) - 1)]
                    self.requests.append(request)
                answer = step if isinstance(step, bytes) else step(request, sock)
                if answer is None:
                    return
                sock.sendall(answer)


def _read(file: BufferedReader) -> Received | None:
    line = file.readline().decode("latin-1").split()
    if len(line) < 2:  # the end, or a client that speaks TLS to us
        return None
    headers: dict[str, str] = {}
    while text := file.readline().decode("latin-1").strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    return Received(line[0], line[1], headers, body)
