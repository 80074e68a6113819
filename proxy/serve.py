"""The web process: gunicorn for the public listener, a small server beside it for the private one.

With one server and two binds a flooded public side would starve the private one: they would
share one pool of threads.
"""

import errno
import gc
import selectors
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from proxy import logs
from proxy.admin.app import create_admin
from proxy.app import Service, parts_of
from proxy.clocks import wall
from proxy.cores import Core, Places
from proxy.counters import Counters, falling
from proxy.listeners import listen, require_private, serve_private
from proxy.logs import GunicornLogger
from proxy.reload import Configuration
from proxy.tallies import Tallies
from proxy.tokens import Keyring
from proxy.web.deadlines import Deadlines
from proxy.web.peers import Peer
from proxy.web.public import create_public

log = structlog.get_logger()

GRACE_S = 8  # for requests under way when asked to stop
MAX_HEADER_BYTES = 8190
LINGER_MS = 5  # that a thread waits for the next request of whom it has just answered
SILENCE_S = 0.5  # that is left to a connection without a word while others wait for its place
_NOBODY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)  # there to be accepted any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Binds:
    """Where the two listeners listen, as host and port."""

    public: tuple[str, int]
    private: tuple[str, int]
    workers: int = 1  # processes; more than one only on PostgreSQL


class _Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection whose end keeps nobody waiting."""

    deadlines: Deadlines
    since: float  # monotonic seconds

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002  # gunicorn's own
        """Close it: our half at once and, if *graceful*, the other one when the peer has."""
        if graceful:
            self.deadlines.part(self.sock)
        else:
            super().close()


class QuietWorker(ThreadWorker):  # type: ignore[misc]
    """Waits for no client longer than its deadline; hands signals to the service."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._queued: deque[_Connection] = deque()  # requests that no thread has begun with

    def enqueue_req(self, conn: _Connection) -> None:
        """Have a thread serve what *conn* says."""
        self._queued.append(conn)
        super().enqueue_req(conn)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection; it has a thread when it has said something, not before."""
        try:
            taken, address = listener.accept()
        except OSError as error:
            if error.errno not in _NOBODY:
                raise
            return
        peer = Peer(fileno=taken.detach())
        self.nr_conns += 1
        connection = _Connection(self.cfg, peer, address, listener.getsockname())
        connection.deadlines = self.app.deadlines
        connection.since = time.monotonic()
        connection.timeout = connection.since + self.cfg.keepalive
        self.pending_conns.append(connection)
        speaks = partial(self.on_pending_socket_readable, connection)
        self.poller.register(peer, selectors.EVENT_READ, speaks)

    def murder_pending(self) -> None:
        """Close who has said nothing in time; that is short if no place is left."""
        if self.pending_conns and self.nr_conns >= self.worker_connections:
            oldest = self.pending_conns[0]
            oldest.timeout = oldest.since + SILENCE_S
        super().murder_pending()

    def handle(self, conn: _Connection) -> object:
        """Read and serve a request, the head too under a deadline: gunicorn has none for it."""
        self._queued.popleft()
        while (goes_on := self._handle_next(conn)) is True and self._speaks_on(conn):
            pass
        return goes_on

    def _handle_next(self, conn: _Connection) -> object:
        self.app.core.enter()
        self.app.deadlines.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            self.app.deadlines.end(conn.sock)

    def _speaks_on(self, conn: _Connection) -> bool:
        """Wait a moment for the next request, unless somebody waits for this thread.

        The way back to the poller and from there to a thread costs as much as a small request.
        """
        unreader = conn.parser.unreader
        if not self.alive or self._queued or unreader.buf.getvalue():
            return False
        said = conn.sock.soon(LINGER_MS)
        if said:
            unreader.unread(said)
        return said is not None

    def handle_request(self, req: object, conn: _Connection) -> object:
        """Serve a request whose head is there."""
        self.app.deadlines.has_head(conn.sock)
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: _Connection, keepalive: bool) -> bool:  # noqa: FBT001
        """Tell whether another request may follow; our deadlines have taken off what was left."""
        return keepalive and bool(conn.parser.finish_body())

    def init_signals(self) -> None:
        """Take SIGHUP for the settings: it replaces no process."""
        super().init_signals()
        signal.signal(signal.SIGHUP, lambda *_: self.app.reload_soon())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop claiming as soon as we are asked to stop, not when the last request is done."""
        self.app.stop_soon()
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  # gunicorn's own
        """Close the port when asked to stop: a connection that waits in it would be broken off."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master; no signal of it replaces or multiplies the one process that serves."""

    def start(self) -> None:
        """Listen, on the socket that was bound before."""
        super().start()
        self.app.leave_public()

    def handle_hup(self) -> None:
        """Hand SIGHUP to whoever serves: the settings are read again, no process is replaced."""
        self.kill_workers(signal.SIGHUP)

    def handle_ttin(self) -> None:
        """Add no process: their number is an option."""

    def handle_ttou(self) -> None:
        """Take no process away."""

    def handle_usr2(self) -> None:
        """Start no second master: its worker could not have the lock."""


class _Pieces(list[bytes]):
    """What is written, to be sent in one go: the header would leave alone before its body."""

    def sendall(self, data: bytes) -> None:
        """Keep *data*."""
        self.append(data)


class _Quiet(wsgi.Response):  # type: ignore[misc]
    """A response whose header names no server software, and that a client must take in time."""

    def __init__(self, deadlines: Deadlines, *given: Any) -> None:
        super().__init__(*given)
        self._deadlines = deadlines
        self.sock: Any  # gunicorn's

    def default_headers(self) -> list[str]:
        """Return gunicorn's own headers without `Server`."""
        return [line for line in super().default_headers() if not line.startswith("Server:")]

    def write(self, arg: bytes) -> None:
        """Write a piece, if the client takes it."""
        peer: socket.socket = self.sock
        self.sock = pieces = _Pieces()
        try:
            super().write(arg)
        finally:
            self.sock = peer
        with self._deadlines.answering(peer):
            peer.sendall(b"".join(pieces))


class WebApplication(BaseApplication):  # type: ignore[misc]
    """gunicorn's side of `serve`; everything of ours starts after its fork, in `load`."""

    def __init__(self, configuration: Configuration, binds: Binds, *, with_worker: bool) -> None:
        self._configuration = configuration
        self._binds = binds
        self._with_worker = with_worker
        self._private_socket = listen(*binds.private, option="--admin-bind")
        self._public_socket = listen(*binds.public, option="--bind")
        self._service: Service | None = None
        self._stopping = threading.Lock()
        self._tallies = Tallies(rooms=binds.workers)
        self._counters = Counters(self._tallies)
        self._places = Places(binds.workers)
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up; see its documentation for each name."""
        settings = self._configuration.current
        options = {
            "bind": [f"fd://{self._public_socket.fileno()}"],  # bound by us: refused plainly
            "workers": self._binds.workers,
            "worker_class": QuietWorker,
            "threads": settings.threads,
            "timeout": 30,
            "graceful_timeout": GRACE_S,
            "keepalive": 5,
            "limit_request_line": 4094,
            "limit_request_fields": 64,
            "limit_request_field_size": MAX_HEADER_BYTES,
            "control_socket_disable": True,
            "logger_class": GunicornLogger,
            "forwarded_allow_ips": "",  # X-Forwarded-* is judged by `trusted_proxies`, not here
            "proc_name": "optout-proxy",
            "pre_fork": self._give_room,
            "child_exit": self._clear_room,
            "worker_exit": lambda _server, _worker: self.stop(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Start the service in the process that serves; return the public application."""
        self.deadlines = Deadlines(self.cfg.threads)
        wsgi.Response = partial(_Quiet, self.deadlines)  # the only seam gunicorn leaves for it
        self._tallies.enter(self._room)
        self._configuration.look()  # this may be a successor, long after the master read it
        self.core = Core(places=self._places, own=self._room)
        service = self._service = Service(
            self._configuration,
            with_worker=self._with_worker,
            counters=self._counters,
            core=self.core,
        )
        logs.tell(service.telemetry.warned)
        service.start()
        self._configuration.watch()
        serve_private(
            self._private_socket,
            self._configuration,
            service.condition,
            self._counters,
            create_admin(parts_of(service)),
        )
        public: Flask = create_public(
            self._configuration,
            service.intake,
            service.signer,
            wall,
            deadlines=self.deadlines,
            telemetry=service.telemetry,
        )
        return public

    def _give_room(self, server: Any, worker: Any) -> None:
        """Choose where the process that is about to begin counts: where nobody does any more."""
        gc.collect()
        gc.freeze()  # the collector would write to all memory that the two processes share
        taken = {other.room for other in server.WORKERS.values()}
        self._room = worker.room = min(set(range(self._binds.workers)) - taken, default=0)

    def _clear_room(self, _server: Any, worker: Any) -> None:
        """Forget what a process that has ended was doing; what it counted stays."""
        self._tallies.clear(worker.room, falling())

    def leave_public(self) -> None:
        """Forget the public socket: gunicorn has copied and closed its descriptor."""
        self._public_socket.detach()

    def run(self) -> None:
        """Serve until told to stop."""
        _Arbiter(self).run()

    def reload_soon(self) -> None:
        """Look at the settings file now, in a thread: a signal handler must not wait."""
        threading.Thread(target=self._configuration.reload, daemon=True).start()

    def stop_soon(self) -> None:
        """Begin to stop the service, in a thread, while requests under way are finished."""
        if self._service and self._service.worker:
            threading.Thread(target=self._service.worker.stop, daemon=True).start()

    def stop(self) -> None:
        """Stop the service, once."""
        with self._stopping:
            service, self._service = self._service, None
        if service:
            service.stop()


def serve(configuration: Configuration, binds: Binds, *, with_worker: bool = True) -> None:
    """Serve until asked to stop. ConfigurationError, before anything starts, if it can not."""
    require_private(configuration.current, binds.private[0])
    _rehearse(configuration, with_worker=with_worker)
    WebApplication(configuration, binds, with_worker=with_worker).run()


def _rehearse(configuration: Configuration, *, with_worker: bool) -> None:
    """Try everything once in this process, so that what is wrong is said plainly."""
    Keyring.from_settings(configuration.current)
    service = Service(configuration, with_worker=with_worker)
    service.rehearse()
