"""One connection style for SQLite and PostgreSQL: transactions, group commit, the single writer.

Knows no table. A *handler* is a function `(connection, [argument, ...]) -> [result, ...]`; what
is submitted for the same handler at the same moment runs in one call and one commit.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from proxy.errors import ConfigurationError, StorageUnavailable

log = structlog.get_logger()

Handler = Callable[[Connection, list[Any]], list[Any]]
Clock = Callable[[], int]

_BATCH = 512  # works in one commit at most
_TRIES = 3  # of a work that met another writer
_CONTENTION = "40"  # PostgreSQL's class of serialization failures and deadlocks
_QUEUED = 20_000  # works that may wait before new ones are refused

# What the durability of the promise rests on; asserted on the very connection that writes.
_SQLITE_PRAGMAS = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "secure_delete": ("ON", 1),
    "recursive_triggers": ("ON", 1),
    "foreign_keys": ("ON", 1),
    "busy_timeout": ("1000", 1000),
    "trusted_schema": ("OFF", 0),
    "cell_size_check": ("ON", 1),
}


class _Work(NamedTuple):
    handler: Handler
    argument: Any
    future: "Future[Any]"


class Database:
    """The database of one process; start it after the fork, stop it before the end."""

    def __init__(
        self, url: str, clock: Clock, *, writers: int = 4, server_time: bool | None = None
    ) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._clock = clock
        # Several machines must agree on what is due, so PostgreSQL's clock is theirs.
        self._server_time = not self.is_sqlite if server_time is None else server_time
        self._writers = 1 if self.is_sqlite else writers
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._write_engine = self._engine(writes=True)
        self._read_engine = self._engine(writes=False)

    def start(self) -> None:
        """Open the writing connection, check what durability rests on, and start to write."""
        self.check()
        for number in range(self._writers):
            thread = threading.Thread(target=self._write_loop, name=f"writer-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def check(self) -> None:
        """Raise ConfigurationError unless what is committed would survive a power cut."""
        try:
            with self._write_engine.connect() as connection:
                self._assert_durable(connection)
        except DBAPIError as error:
            raise ConfigurationError(
                f"The database can not be opened for writing ({_reason(error)})."
            ) from error

    def dispose(self) -> None:
        """Close every connection; none may cross a fork."""
        self._write_engine.dispose()
        self._read_engine.dispose()

    def stop(self) -> None:
        """Commit what is queued, then close."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self.dispose()

    def now(self, connection: Connection) -> int:
        """Return the time that leases and due dates are judged by, in Unix milliseconds."""
        if not self._server_time:
            return self._clock()
        clock = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        return int(connection.execute(clock).scalar_one())

    def submit(self, handler: Handler, argument: Any) -> "Future[Any]":
        """Queue *argument* for *handler*; the future is done when it is committed."""
        future: Future[Any] = Future()
        if self._queue.qsize() >= _QUEUED:
            future.set_exception(StorageUnavailable("too much is waiting to be written"))
        else:
            self._queue.put(_Work(handler, argument, future))
        return future

    def write(self, handler: Handler, argument: Any, *, timeout: float = 5.0) -> Any:
        """Run *handler* on *argument* durably; StorageUnavailable when that fails or takes long."""
        try:
            return self.submit(handler, argument).result(timeout)
        except FutureTimeoutError as error:
            raise StorageUnavailable("the database takes too long") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees what is committed and can write nothing."""
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageUnavailable("the database can not be read") from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a writing transaction of its own; for start-up, when no writer runs yet."""
        with self._write_engine.begin() as connection:
            yield connection

    # -- the writer ---------------------------------------------------------------------------

    def _write_loop(self) -> None:
        while True:
            works, last = self._take()
            if works:
                self._commit(works)
            if last:
                return

    def _take(self) -> tuple[list[_Work], bool]:
        """Wait for one work, then take along what has queued up meanwhile."""
        work = self._queue.get()
        works: list[_Work] = []
        while work is not None:
            works.append(work)
            if len(works) == _BATCH:
                return works, False
            try:
                work = self._queue.get_nowait()
            except Empty:
                return works, False
        return works, True

    def _commit(self, works: list[_Work], tries: int = _TRIES) -> None:
        try:
            results = self._run(works)
        except Exception as error:  # noqa: BLE001  # the seam: one bad work takes no other along
            self._failed(works, error, tries)
            return
        for work, result in zip(works, results, strict=True):
            _settle(work.future, result)

    def _failed(self, works: list[_Work], error: Exception, tries: int) -> None:
        """Say that storage is away to all at once; look for any other fault one by one."""
        if _is_away(error):
            log.error("storage.failed", error=type(error).__name__, works=len(works))
            for work in works:
                work.future.set_exception(StorageUnavailable())
        elif len(works) > 1:
            for work in works:
                self._commit([work], tries)
        elif isinstance(error, DBAPIError) and tries > 1:  # another writer was in between
            self._commit(works, tries - 1)
        else:
            log.error("storage.refused", error=type(error).__name__)
            failed = isinstance(error, SQLAlchemyError)
            works[0].future.set_exception(StorageUnavailable() if failed else error)

    def _run(self, works: list[_Work]) -> list[Any]:
        groups: dict[Handler, list[int]] = {}
        for index, work in enumerate(works):
            groups.setdefault(work.handler, []).append(index)
        results: list[Any] = [None] * len(works)
        with self._write_engine.begin() as connection:
            for handler, indexes in groups.items():
                answers = handler(connection, [works[index].argument for index in indexes])
                for index, answer in zip(indexes, answers, strict=True):
                    results[index] = answer
        return results

    # -- engines ------------------------------------------------------------------------------

    def _engine(self, *, writes: bool) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, pool_size=self._writers + 2, pool_pre_ping=True)
        pool: Any = StaticPool if writes else QueuePool
        if not self.url.database or self.url.database == ":memory:":
            raise ConfigurationError("`database` names no file; an opt-out must survive a restart.")
        # A reader may not make the file: an empty one would look like one that lost everything.
        mode = "rwc" if writes else "ro"
        uri = f"file:{quote(self.url.database)}?mode={mode}"
        engine = create_engine(
            "sqlite://",
            poolclass=pool,
            creator=lambda: sqlite3.connect(uri, uri=True, timeout=1.0, check_same_thread=False),
        )
        event.listen(engine, "connect", _open_writer if writes else _open_reader)
        event.listen(engine, "begin", _begin_immediate if writes else _begin_deferred)
        return engine

    def _assert_durable(self, connection: Connection) -> None:
        if not self.is_sqlite:
            value = str(connection.execute(text("SHOW synchronous_commit")).scalar_one())
            if value == "off":
                raise ConfigurationError(
                    "PostgreSQL has synchronous_commit=off, which loses acknowledged declines; "
                    "set it to on for this role."
                )
            return
        for pragma, (_, expected) in _SQLITE_PRAGMAS.items():
            found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
            if found != expected:
                raise ConfigurationError(
                    f"SQLite refuses PRAGMA {pragma} (it is {found!r}); "
                    "put the database on a local file system."
                )


def _reason(error: DBAPIError) -> str:
    """Return the first line of what the driver said; PostgreSQL's next ones quote values."""
    return str(error.orig).partition("\n")[0].strip()


def _is_away(error: Exception) -> bool:
    """True for what no other work in this batch would survive: locked, full, broken, gone."""
    if isinstance(error, OperationalError):
        return not str(getattr(error.orig, "sqlstate", None) or "").startswith(_CONTENTION)
    return isinstance(error, OSError | InterfaceError)


def _settle(future: "Future[Any]", result: Any) -> None:
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _open_writer(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's is deferred
    for pragma, (value, _) in _SQLITE_PRAGMAS.items():
        connection.execute(f"PRAGMA {pragma} = {value}")


def _open_reader(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only = ON")


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once with SQLITE_BUSY_SNAPSHOT.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
