"""Stands in for an insurer: hears whole requests, says whatever bytes the test gives it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Self


@dataclass(frozen=True)
class Heard:
    """One request, as it came in."""

    line: str
    headers: list[tuple[str, str]]  # in their order, names in lower case: a repeated one shows
    body: bytes

    def only(self, name: str) -> str:
        """Return the value of the one header that is called *name*."""
        (value,) = (value for known, value in self.headers if known == name)
        return value


@dataclass(frozen=True)
class Said:
    """What is answered; *stays* leaves the connection open after it."""

    data: bytes
    stays: bool = False


class StandIn:
    """Answers each request with what *speak* makes of it; a thread per connection."""

    def __init__(self, speak: Callable[[Heard], Said]) -> None:
        self.speak = speak
        self.heard: list[Heard] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def take(self) -> list[Heard]:
        """Return what was heard since the last time."""
        heard, self.heard = self.heard, []
        return heard

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with suppress(OSError), sock, sock.makefile("rb") as file:
            while (heard := _read(file)) is not None:
                self.heard.append(heard)
                said = self.speak(heard)
                sock.sendall(said.data)
                if not said.stays:
                    # What the other side still sends is read: a reset would take our words back.
                    sock.shutdown(socket.SHUT_WR)
                    sock.recv(1)
                    return


def _read(file: BufferedReader) -> Heard | None:
    if file.peek(1)[:1] == b"\x16":  # a TLS handshake, which has no lines to wait for
        return None
    line = file.readline().decode("latin-1").rstrip("\r\n")
    if not line:
        return None
    headers = []
    while text := file.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = text.partition(":")
        headers.append((name.lower(), value.strip(" ")))
    length = next((value for name, value in headers if name == "content-length"), "0")
    return Heard(line, headers, file.read(int(length)))
