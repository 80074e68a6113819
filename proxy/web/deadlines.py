"""Ends the reading of request bodies that take too long, whatever the peer does.

A timeout of the socket is not enough: each byte that drips in would start it anew. So one thread
looks at all readers some times a second and shuts the sockets of those that are out of time.
"""

import contextlib
import select
import socket
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from proxy.errors import Problem

SECONDS = 5.0  # for one body
GRACE = 0.05  # seconds that are left to a body once half of the threads wait for bodies
TICK = 0.05  # seconds between two looks
MOST_IDLE_BYTES = 65_536  # of a refused body that are taken off the connection to keep it

_TAKEN = "optout.body_taken"  # in the environment of a call whose body we began to read
_SPOILT = "optout.body_spoilt"  # …and could not read to its end


@dataclass(slots=True, eq=False)
class _Reader:
    socket: socket.socket
    since: float  # monotonic seconds
    is_cut: bool = False


class Deadlines:
    """The readers of request bodies of one process, and how long each may take."""

    def __init__(self, threads: int, *, seconds: float = SECONDS) -> None:
        self._crowd = max(1, threads // 2)
        self._seconds = seconds
        self._readers: dict[int, _Reader] = {}
        self._thread: Thread | None = None
        self._lock = Lock()

    def read(self, environ: dict[str, Any], length: int) -> bytes:
        """Return the *length* bytes of the body; raise Problem if they do not come in time."""
        environ[_TAKEN] = True
        body, is_cut = self._read(environ, length)
        if len(body) == length:
            return body
        environ[_SPOILT] = True
        if is_cut:
            raise Problem("request_timeout")
        raise Problem("invalid_request", "the body is shorter than its Content-Length")

    def leave(self, environ: dict[str, Any]) -> None:
        """Take an unread body off the connection, or end it: what is left is never a request.

        The server would do so too, and wait for each body as long as for any.
        """
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if "HTTP_TRANSFER_ENCODING" not in environ and _SPOILT not in environ:
            body, _ = self._read(environ, min(length, MOST_IDLE_BYTES))
            if len(body) == length:
                return
        with contextlib.suppress(OSError):
            environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)

    def _read(self, environ: dict[str, Any], length: int) -> tuple[bytes, bool]:
        """Return what came of the body, and whether it was cut."""
        peer = environ.get("gunicorn.socket")
        stream = environ["wsgi.input"]
        if peer is None:
            return stream.read(length), False
        self._start()
        reader = _Reader(peer, monotonic())
        self._readers[id(reader)] = reader
        try:
            body: bytes = stream.read(length)
        except OSError:  # the peer is gone; nobody will read the answer
            return b"", True
        finally:
            del self._readers[id(reader)]
        return body, reader.is_cut

    def _start(self) -> None:
        """Start the thread at the first body: after the server's fork, not before."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = Thread(target=self._watch, name="bodies", daemon=True)
                    self._thread.start()

    def _watch(self) -> None:
        while True:
            sleep(TICK)
            if self._readers:
                self._look(monotonic())

    def _look(self, now: float) -> None:
        readers = list(self._readers.values())
        is_crowded = len(readers) >= self._crowd
        for reader in readers:
            age = now - reader.since
            if age > self._seconds or (is_crowded and age > GRACE and _is_idle(reader.socket)):
                reader.is_cut = True
                with contextlib.suppress(OSError):
                    reader.socket.shutdown(socket.SHUT_RD)  # its read returns at once, short


def is_left_over(environ: dict[str, Any]) -> bool:
    """Tell whether bytes of the request's body may still be on the connection."""
    if "gunicorn.socket" not in environ:
        return False
    if "HTTP_TRANSFER_ENCODING" in environ or _SPOILT in environ:
        return True
    return _TAKEN not in environ and environ.get("CONTENT_LENGTH", "0") not in ("", "0")


def _is_idle(peer: socket.socket) -> bool:
    """Tell whether nothing has come that our own thread was only too slow to take."""
    poll = select.poll()
    try:
        poll.register(peer, select.POLLIN)
    except (OSError, ValueError):  # closed meanwhile
        return False
    return not poll.poll(0)
