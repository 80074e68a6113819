"""Connections that keep one deadline and one size for a whole exchange. Knows no HTTP meaning.

A timeout of `requests` is per read: an answer that drips one byte a second never ends. Here every
step (name, connection, handshake, each write, each read) gets the time that is left, and no more.
"""

import io
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http.client import HTTPResponse
from ipaddress import ip_address
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

ANSWER_LIMIT = 64 * 1024  # bytes of a head, and again of a body
_AHEAD = 16 * 1024  # what a buffered reader may have taken beyond the part it reads
_SLACK = 0.01  # seconds that a socket may have more than are left

Clock = Callable[[], float]
Addresses = list[tuple[Any, ...]]  # as socket.getaddrinfo returns them
Lookup = Callable[..., Addresses]


class Resolver:
    """Names to addresses within a time; one lookup per name at once, however many ask."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[Addresses]] = {}

    def find(self, host: str, port: int, seconds: float) -> Addresses:
        """Return the addresses of *host*; OSError, or TimeoutError after *seconds*."""
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return self._shared(host, port).result(seconds)
        return self._lookup(host.strip("[]"), port, type=socket.SOCK_STREAM)

    def _shared(self, host: str, port: int) -> Future[Addresses]:
        with self._lock:
            future = self._running.get((host, port))
            if future is None:
                future = self._running[host, port] = Future()
                # getaddrinfo can not be interrupted, so it is left behind when it takes too long;
                # a daemon, because a pool's threads are waited for when the program ends.
                threading.Thread(target=self._run, args=(host, port, future), daemon=True).start()
        return future

    def _run(self, host: str, port: int, future: Future[Addresses]) -> None:
        try:
            future.set_result(self._lookup(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:  # ValueError: a name that is none (UnicodeError)
            future.set_exception(OSError(str(error)))
        finally:
            with self._lock:
                del self._running[host, port]


class Limits:
    """What the exchange under way may still use, and how far it got.

    It belongs to one thread, as do the connections that share it.
    """

    def __init__(self, *, resolver: Resolver, clock: Clock = time.monotonic) -> None:
        self.resolver = resolver
        self.clock = clock
        self.begin(until=0.0, send_by=0.0)

    def begin(self, *, until: float, send_by: float) -> None:
        """Start an exchange that ends at *until* and sends nothing after *send_by* (of *clock*)."""
        self.until = until
        self.send_by = send_by
        self.room = ANSWER_LIMIT + _AHEAD
        self.stage = "not_connected"  # the reason, should it end here
        self.sent = False  # the head of the request has left
        self.ended = False  # the other side sends nothing more
        self.flaw = ""  # what we broke the exchange off for

    def left(self) -> float:
        """Return the seconds that are left; TimeoutError when there are none."""
        seconds = self.until - self.clock()
        if seconds <= 0:
            self.flaw = self.flaw or "timed_out"
            raise TimeoutError("the time for this exchange is used up")
        return seconds

    def leave(self) -> float:
        """Return the seconds left for sending; TimeoutError when it is too late to begin."""
        if not self.sent and self.clock() >= self.send_by:
            self.flaw = "credentials_expired"
            raise TimeoutError("the credentials ran out before the request could leave")
        return self.left()

    def bound(self, sock: socket.socket, seconds: float) -> None:
        """Give *sock* no more than these *seconds*; what it has just been given is left to it.

        To set it is a call of the system, for which other threads would be let in between.
        """
        given = sock.gettimeout()
        if given is None or not seconds <= given <= seconds + _SLACK:
            sock.settimeout(seconds)

    def take(self, count: int) -> None:
        """Count bytes of the answer; OSError when there are more than we read."""
        self.ended = not count
        if count:
            self.stage = "answer_unreadable"
        self.room -= count
        if self.room < 0:
            self.flaw = "answer_too_large"
            raise OSError("the answer is larger than we read")

    def enter_body(self) -> None:
        """Count anew for the body; OSError if the head ended only because the answer did."""
        if self.ended:  # http.client takes what there is for the whole head
            self.stage = "answer_cut"
            raise OSError("the answer broke off in its head")
        self.room = ANSWER_LIMIT + _AHEAD

    def reason(self, otherwise: str = "") -> str:
        """Return the word for why the exchange ended here, *otherwise* when we did not end it."""
        if not self.flaw and self.clock() >= self.until:
            return "timed_out"
        return self.flaw or otherwise or self.stage

    def connect(self, host: str, port: int, options: Any) -> socket.socket:
        """Return a connected socket; OSError when no address of *host* takes us in time."""
        self.stage = "name_not_resolved"
        addresses = self.resolver.find(host, port, self.left())
        self.stage = "not_connected"
        failure = OSError("the name has no address")
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            share = self.left() / (len(addresses) - index)  # a dead first address leaves time
            try:
                return self._open(socket.socket(family, kind, protocol), options, address, share)
            except OSError as error:
                failure = error
        raise failure

    def _open(self, sock: socket.socket, options: Any, address: Any, share: float) -> socket.socket:
        try:
            for option in options or ():
                sock.setsockopt(*option)
            sock.settimeout(share)
            sock.connect(address)
            sock.settimeout(self.left())  # bounds the whole handshake: _ssl keeps a deadline for it
        except OSError:
            sock.close()
            raise
        self.stage = "handshake_broken"
        return sock


class _Reader(io.RawIOBase):
    """The receiving side of a socket: before each read, its timeout is what is left."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._limits.bound(self._sock, self._limits.left())
        count = self._file.readinto(buffer) or 0
        self._limits.take(count)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Receiver:
    """What `HTTPResponse` needs of a socket."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self._reader = _Reader(sock, limits)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _Response(HTTPResponse):
    """An answer that is read within limits."""

    def __init__(self, sock: Any, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(_Receiver(sock, limits), *args, **named)  # type: ignore[arg-type]
        self._limits = limits

    def begin(self, *args: Any, **named: Any) -> None:
        super().begin(*args, **named)
        self._limits.enter_body()


class _Limited(HTTPConnection):
    """A connection whose every step is within limits."""

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._parts: list[bytes] = []  # of the request that is being put together
        self.response_class = partial(_Response, limits=limits)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        try:
            return self._limits.connect(self._dns_host, self.port, self.socket_options)
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def request(self, *args: Any, **named: Any) -> None:
        """Send head and body in one piece: one call of the system, one packet, one record."""
        self._parts.clear()
        super().request(*args, **named)
        self._leave(b"".join(self._parts), head=len(self._parts[0]))

    def send(self, data: Any) -> None:
        """Keep *data* until all of the request is there."""
        self._parts.append(data)

    def _leave(self, data: bytes, *, head: int) -> None:
        if self.sock is None:
            self.connect()
        gone = 0
        while gone < len(data):
            self._limits.bound(self.sock, self._limits.leave())
            self._limits.stage = "connection_lost"
            gone += self.sock.send(data[gone:])
            # Only now: a request whose head did not leave whole can not have had an effect.
            self._limits.sent = self._limits.sent or gone >= head


class _LimitedTls(_Limited, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self.ConnectionCls = partial(_Limited, limits=limits)  # type: ignore[assignment]


class _TlsPool(HTTPSConnectionPool):
    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self.ConnectionCls = partial(_LimitedTls, limits=limits)  # type: ignore[assignment]


class LimitedAdapter(HTTPAdapter):
    """What a `requests.Session` sends through: one connection, no retries, within *limits*."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: tuple[list[object], Any] | None = None  # the latest pool, and what for
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """Make pools whose connections are within limits; `requests` calls this."""
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_Pool, limits=self._limits),
            "https": partial(_TlsPool, limits=self._limits),
        }

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool for *request*: as a rule it goes where the one before it went."""
        asked = [*str(request.url).split("/", 3)[:3], verify, cert]
        if self._known is None or self._known[0] != asked:
            found = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._known = (asked, found)
        return self._known[1]

    def request_url(self, request: PreparedRequest, _proxies: Any) -> str:
        """Return the path: no proxy wants the whole address."""
        return request.path_url

    def close(self) -> None:
        """Let go of the connection."""
        self._known = None
        super().close()
