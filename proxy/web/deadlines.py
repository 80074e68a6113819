"""Ends the waiting for clients that send or take too slowly, whatever they do.

A timeout of the socket is not enough: each byte that drips would start it anew. So one thread
looks at all who wait some times a second and shuts the sockets of those that are out of time.
"""

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Any

from proxy.errors import Problem
from proxy.web.peers import Peer, is_ready

SECONDS = 5.0  # for the head and the body of one request, together
ANSWER_SECONDS = 20.0  # until the peer has taken one answer, but for what the kernel keeps for it
GRACE = 0.05  # seconds that are left to a peer once half of the threads wait for one
TICK = 0.05  # seconds between two looks
MOST_IDLE_BYTES = 65_536  # of a refused body that are taken off the connection to keep it
PARTING_SECONDS = 2.0  # for a peer to close its half after ours
MOST_PARTING = 256  # connections that are so half closed; beyond that the oldest is closed

_TAKEN = "optout.body_taken"  # in the environment of a call whose body we began to read
_SPOILT = "optout.body_spoilt"  # …and could not read to its end


@dataclass(slots=True, eq=False)
class _Wait:
    socket: socket.socket
    since: float  # monotonic seconds
    seconds: float
    event: int  # that would end the waiting, as `poll` calls it
    how: int  # how its socket is shut: reading alone where an answer may follow
    is_cut: bool = False


class Deadlines:
    """Who keeps the threads of one process waiting, and how long each may."""

    def __init__(self, threads: int, *, seconds: float = SECONDS) -> None:
        self._crowd = max(1, threads // 2)
        self._seconds = seconds
        self._begun: dict[int, float] = {}  # by connection: when its request began
        self._waits: dict[int, _Wait] = {}  # the same
        self._parting: dict[int, tuple[socket.socket, float]] = {}  # the same: until when
        self._thread: Thread | None = None
        self._lock = Lock()
        self._called = Event()  # somebody waits

    def begin(self, peer: socket.socket) -> None:
        """Wait for the head of a request; the time of its body runs from now on too."""
        now = self._begun[id(peer)] = monotonic()
        self._waits[id(peer)] = _Wait(peer, now, self._seconds, select.POLLIN, socket.SHUT_RDWR)
        self._call()

    def has_head(self, peer: socket.socket) -> None:
        """Wait for the head no longer: it is there."""
        self._waits.pop(id(peer), None)

    def end(self, peer: socket.socket) -> None:
        """Forget the request, whatever became of it."""
        self._waits.pop(id(peer), None)
        self._begun.pop(id(peer), None)

    @contextlib.contextmanager
    def answering(self, peer: socket.socket) -> Iterator[None]:
        """End the connection if *peer* does not take what is written to it meanwhile."""
        wait = _Wait(peer, monotonic(), ANSWER_SECONDS, select.POLLOUT, socket.SHUT_RDWR)
        with self._waiting(wait):
            yield

    def part(self, peer: socket.socket) -> None:
        """Close our half of *peer* now and the rest when it has closed its own, or soon.

        All at once would take the answer from a peer that is still sending. The server would wait
        for it on the one thread that takes connections, and nobody else would be heard.
        """
        try:
            peer.setblocking(False)  # noqa: FBT003  # Python's own
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            peer.close()
            return
        with self._lock:
            self._parting[id(peer)] = (peer, monotonic() + PARTING_SECONDS)
            if len(self._parting) > MOST_PARTING:
                self._close(next(iter(self._parting)))
        self._call()

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
        since = self._begun.get(id(peer)) or monotonic()
        wait = _Wait(peer, since, self._seconds, select.POLLIN, socket.SHUT_RD)
        with self._waiting(wait):
            try:
                body: bytes = stream.read(length)
            except OSError:  # the peer is gone; nobody will read the answer
                return b"", True
        return body, wait.is_cut

    @contextlib.contextmanager
    def _waiting(self, wait: _Wait) -> Iterator[None]:
        self._waits[id(wait.socket)] = wait
        self._call()
        try:
            yield
        finally:
            self._waits.pop(id(wait.socket), None)

    def _call(self) -> None:
        """Wake the thread; start it when it is first needed, after the server's fork."""
        if not self._called.is_set():
            self._called.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = Thread(target=self._watch, name="deadlines", daemon=True)
                    self._thread.start()

    def _watch(self) -> None:
        while True:
            self._rest()
            sleep(TICK)
            if self._waits:
                self._look(monotonic())
            if self._parting:
                self._see_off(monotonic())

    def _rest(self) -> None:
        """Sleep while nobody waits; whoever comes after the first line calls."""
        self._called.clear()
        if not self._waits and not self._parting:
            self._called.wait()

    def _look(self, now: float) -> None:
        waits = list(self._waits.values())
        is_crowded = len(waits) >= self._crowd
        for wait in waits:
            age = now - wait.since
            if age > wait.seconds or (is_crowded and age > GRACE and _is_idle(wait)):
                wait.is_cut = True
                with contextlib.suppress(OSError):
                    wait.socket.shutdown(wait.how)  # whoever waits for it goes on at once

    def _see_off(self, now: float) -> None:
        with self._lock:
            for key, (peer, until) in list(self._parting.items()):
                if now > until or _has_closed(peer):
                    self._close(key)

    def _close(self, key: int) -> None:
        peer, _ = self._parting.pop(key)
        peer.close()


def is_left_over(environ: dict[str, Any]) -> bool:
    """Tell whether bytes of the request's body may still be on the connection."""
    if "gunicorn.socket" not in environ:
        return False
    if "HTTP_TRANSFER_ENCODING" in environ or _SPOILT in environ:
        return True
    return _TAKEN not in environ and environ.get("CONTENT_LENGTH", "0") not in ("", "0")


def _is_idle(wait: _Wait) -> bool:
    """Tell whether the peer has done nothing that our own thread was only too slow to see."""
    try:
        if wait.event == select.POLLIN and isinstance(wait.socket, Peer):
            return wait.socket.owes()
        return not is_ready(wait.socket, wait.event)
    except (OSError, ValueError):  # closed meanwhile
        return False


def _has_closed(peer: socket.socket) -> bool:
    """Tell whether *peer* has closed its half; what it still sends is thrown away."""
    try:
        return not peer.recv(MOST_IDLE_BYTES)
    except BlockingIOError:
        return False
    except OSError:
        return True
