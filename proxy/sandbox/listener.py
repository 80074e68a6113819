"""The sockets: HTTP/1.1 with keep-alive, a thread per connection, every byte under control."""

import re
import socket
import socketserver
import struct
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from threading import Condition, Event

from proxy.sandbox.app import Exchange
from proxy.sandbox.broken import breaker
from proxy.sandbox.wire import Answer, Request, json_answer

LARGEST_BODY = 1024 * 1024

_LENGTH = re.compile("[0-9]{1,10}")


class Listener(socketserver.ThreadingTCPServer):
    """Accepts connections and hands each request to *receive*, until *stopping* is set."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(
        self,
        address: tuple[str, int],
        *,
        receive: Callable[[Request], Exchange],
        clock: Callable[[], int],
        stopping: Event,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.receive = receive
        self.clock = clock
        self.stopping = stopping
        self._changed = Condition()
        self._open: set[socket.socket] = set()
        super().__init__(address, _Connection)

    def opened(self, connection: socket.socket) -> None:
        """Remember *connection* so that `cut` can end it."""
        with self._changed:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget *connection*."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def cut(self, timeout: float = 5.0) -> None:
        """End every open connection, whatever it is doing, and wait *timeout* s for that."""
        with self._changed:
            for connection in self._open:
                with suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout)


class _Connection(BaseHTTPRequestHandler):
    """One connection; reads with the standard library's parser and writes its own bytes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # seconds without a request
    server_version = "sandbox"
    sys_version = ""
    server: Listener

    def setup(self) -> None:
        """Register the connection."""
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        """Close the connection."""
        try:
            super().finish()
        finally:
            self.server.closed(self.connection)

    def handle(self) -> None:
        """Answer requests until one side has had enough."""
        self.close_connection = False
        while not self.close_connection and not self.server.stopping.is_set():
            try:
                self.handle_one_request()
            except OSError:
                return

    def handle_one_request(self) -> None:
        """Read one request and answer it, or break the connection as a fault wants it."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        if body is None:
            return
        request = Request(
            method=self.command,
            target=self.requestline.split()[1],  # `self.path` is not byte for byte
            headers=self._joined_headers(),
            body=body,
            received_at=self.server.clock(),
        )
        self._answer(self.server.receive(request))

    def _joined_headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for raw_name, value in self.headers.items():
            name = raw_name.lower()
            found[name] = f"{found[name]}, {value.strip()}" if name in found else value.strip()
        return found

    def _body(self) -> bytes | None:
        """Return the body, None if the request was refused or cut off."""
        text = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif not _LENGTH.fullmatch(text):
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif int(text) > LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            return self._read(int(text))
        return None

    def _read(self, length: int) -> bytes | None:
        body = self.rfile.read(length)
        if len(body) == length:
            return body
        self.close_connection = True
        return None

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self._write(json_answer(status, {"message": status.phrase}))

    def _answer(self, exchange: Exchange) -> None:
        if self.server.stopping.is_set():
            return  # like a process that is gone
        rule = exchange.rule
        broken = breaker(rule) if rule is not None else None
        if rule is None or broken is None:
            self._write(exchange.answer)
            return
        self.close_connection = True
        broken(self, exchange.answer, rule, self.server.clock())

    def _write(self, answer: Answer) -> None:
        now, close = self.server.clock(), self.close_connection
        head = self.command == "HEAD"
        self.send(
            answer.head(now=now, close=close) if head else answer.render(now=now, close=close)
        )

    def send(self, data: bytes) -> None:
        """Send *data* at once."""
        self.connection.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Wait; return True if the sandbox is being stopped."""
        return self.server.stopping.wait(seconds)

    def reset(self) -> None:
        """Drop the connection with a TCP reset: close it while it lingers for no time."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # the last reference but one; the socket closes with the last
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing: the ledger has it."""
