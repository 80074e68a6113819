"""One connection style for SQLite and PostgreSQL: transactions, group commit, the single writer.

Knows no table. A *handler* is a function `(connection, [argument, ...]) -> [result, ...]`; what
is submitted for the same handler at the same moment runs in one call and one commit.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from proxy import engines
from proxy.errors import ConfigurationError, StorageUnavailable

log = structlog.get_logger()

Handler = Callable[[Connection, list[Any]], list[Any]]
Clock = Callable[[], int]

_BATCH = 512  # works in one commit at most
_TRIES = 3  # of a work that met another writer
_CONTENTION = "40"  # PostgreSQL's class of serialization failures and deadlocks
_QUEUED = 20_000  # works that may wait before new ones are refused
_READERS = 4
CHOICES, _OTHERS = 0, -1  # on PostgreSQL choices have a writer of their own; SQLite has one writer

# On PostgreSQL, first in a transaction; one query may read more than a request ever does.
_SNAPSHOT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL statement_timeout = 0",
)

_SERVER_TIME = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")

_STALLED_S = 2.0  # in one commit, after which nothing more is taken on
_CLOSE_S = 1.0  # for the last commit when asked to stop
_BROKEN = 74  # exit status: EX_IOERR of sysexits.h


class Work:
    """One thing to be written: it is given up before it has begun, or it ends.

    What a `Future` does for this costs as much as all else that a message needs of the writer.
    """

    __slots__ = ("_ended", "_outcome", "_stay", "_turn", "argument", "handler")

    def __init__(self, handler: Handler, argument: Any, stay: Callable[[], None]) -> None:
        self.handler = handler
        self.argument = argument
        self._stay = stay
        self._outcome: Any = None
        self._turn = threading.Lock()  # whoever takes it first decides whether this is done
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> bool:
        """Return True unless it has been given up."""
        return self._turn.acquire(blocking=False)

    def end(self, outcome: Any) -> None:
        """Hand *outcome* to whoever waits; an exception is raised there."""
        self._outcome = outcome
        self._ended.release()

    def wait(self, timeout: float = -1) -> bool:
        """Wait for its end; False if that takes more than *timeout* seconds."""
        self._stay()
        ended = self._ended.acquire(timeout=timeout)
        if ended:
            self._ended.release()  # whoever else waits goes on too
        return ended

    def result(self, timeout: float = -1) -> Any:
        """Return the outcome when it is committed; TimeoutError after *timeout* seconds.

        What has not begun by then must not happen behind the caller's back, and never will.
        """
        if not self.wait(timeout):
            self._turn.acquire(blocking=False)
            raise TimeoutError
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


class Database:
    """The database of one process; start it after the fork, stop it before the end."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        writers: int = 2,
        server_time: bool | None = None,
        give_up: Callable[[], None] = lambda: os._exit(_BROKEN),
        stay: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = make_url(url)
        self.is_sqlite = engines.is_sqlite(self.url)
        self._clock = clock
        self._give_up = give_up  # whoever supervises this process starts one that reads anew
        self._stay = stay  # has who writes and who waits for it run where requests are answered
        # Several machines must agree on what is due, so PostgreSQL's clock is theirs.
        self._server_time = not self.is_sqlite if server_time is None else server_time
        self._writers = 1 if self.is_sqlite else writers
        self._queues: list[SimpleQueue[Work | None]] = [SimpleQueue() for _ in range(self._writers)]
        self._threads: list[threading.Thread] = []
        self.is_damaged = False  # what is written there may not be found again
        self._began: list[float | None] = [None] * self._writers  # the commit under way
        self._write_engine = engines.writing(self.url, self._writers)
        self._read_engine = engines.reading(self.url, _READERS)

    def start(self) -> None:
        """Check what durability rests on, on PostgreSQL with each connection, and start to write.

        Raises ConfigurationError when SQLite's file is not fit.
        """
        if self.is_sqlite:
            self.check()
        for number in range(self._writers):
            thread = threading.Thread(
                target=self._write_loop, args=(number,), name=f"writer-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def check(self) -> None:
        """Raise ConfigurationError unless what is committed would survive a power cut."""
        try:
            with self._write_engine.connect() as connection:
                engines.assert_durable(connection)
        except DBAPIError as error:
            raise engines.unfit(error) from error

    def damages(self) -> list[str]:
        """Return what SQLite's own check finds wrong with the file, which it only reads.

        Raises ConfigurationError when it can not be read at all.
        """
        try:
            with self._read_engine.connect() as connection:
                return engines.damages(connection)
        except DBAPIError as error:
            raise ConfigurationError(
                f"The database can not be read ({engines.reason(error)})."
            ) from error

    def dispose(self) -> None:
        """Close every connection; none may cross a fork."""
        self._read_engine.dispose()
        self._write_engine.dispose()  # the last one to leave empties SQLite's log into the file

    def stop(self) -> None:
        """Commit what is queued, then close; a database that hangs is not waited for."""
        for number in range(len(self._threads)):
            self._queues[number].put(None)
        end = time.monotonic() + _CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self.dispose()
        self._threads.clear()

    def now(self, connection: Connection) -> int:
        """Return the time that leases and due dates are judged by, in Unix milliseconds."""
        if not self._server_time:
            return self._clock()
        return int(connection.execute(_SERVER_TIME).scalar_one())

    def submit(self, handler: Handler, argument: Any, *, lane: int = _OTHERS) -> Work:
        """Queue *argument* for *handler*; the work ends when it is committed."""
        work = Work(handler, argument, self._stay)
        if self._queues[lane].qsize() >= _QUEUED:
            work.end(StorageUnavailable("too much is waiting to be written"))
        elif self.is_damaged:
            work.end(StorageUnavailable("the database is damaged"))
        elif self._is_stalled(lane):
            work.end(StorageUnavailable("the database does not answer"))
        else:
            self._queues[lane].put(work)
        return work

    def write(
        self, handler: Handler, argument: Any, *, timeout: float = 5.0, lane: int = _OTHERS
    ) -> Any:
        """Run *handler* on *argument* durably; StorageUnavailable when that fails or takes long."""
        try:
            return self.submit(handler, argument, lane=lane).result(timeout)
        except TimeoutError as error:
            raise StorageUnavailable("the database takes too long") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that sees what is committed; on SQLite it can write nothing."""
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError) as error:
            self._look_for_damage(error)
            raise StorageUnavailable("the database can not be read") from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection that sees one moment, however long it reads, and can write nothing.

        The moment is that of its first query; it ends with the transaction.
        """
        with self.read() as connection:
            # SQLite's read transaction sees one moment by itself: its writer writes to the log.
            for statement in () if self.is_sqlite else _SNAPSHOT:
                connection.execute(text(statement))
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a writing transaction of its own; for start-up, when no writer runs yet."""
        with self._write_engine.begin() as connection:
            yield connection

    # -- the writer ---------------------------------------------------------------------------

    def _write_loop(self, number: int) -> None:
        while True:
            works, last = self._take(number)
            wanted = [work for work in works if work.begin()]
            if wanted:
                self._stay()
                self._began[number] = time.monotonic()
                self._commit(wanted)
                self._began[number] = None
            if last:
                return

    def _is_stalled(self, lane: int) -> bool:
        """True when the writer has been in one commit for long: waiting would pile up."""
        began = self._began[lane]
        return began is not None and began < time.monotonic() - _STALLED_S

    def _take(self, number: int) -> tuple[list[Work], bool]:
        """Wait for one work, then take along what has queued up meanwhile."""
        work = self._queues[number].get()
        works: list[Work] = []
        while work is not None:
            works.append(work)
            if len(works) == _BATCH:
                return works, False
            try:
                work = self._queues[number].get_nowait()
            except Empty:
                return works, False
        return works, True

    def _commit(self, works: list[Work], tries: int = _TRIES) -> None:
        try:
            results = self._run(works)
        except Exception as error:  # noqa: BLE001  # the seam: one bad work takes no other along
            self._failed(works, error, tries)
            return
        for work, result in zip(works, results, strict=True):
            work.end(result)

    def _failed(self, works: list[Work], error: Exception, tries: int) -> None:
        """Say that storage is away to all at once; look for any other fault one by one."""
        if engines.is_broken(error):
            log.critical("storage.broken", error=type(error).__name__)
            self._give_up()
        self._look_for_damage(error)
        if self.is_damaged or _is_away(error):
            log.error("storage.failed", error=type(error).__name__, works=len(works))
            for work in works:
                work.end(StorageUnavailable())
        elif _is_contention(error) and tries > 1:
            self._commit(works, tries - 1)
        elif len(works) > 1:
            for work in works:
                self._commit([work])
        elif isinstance(error, DBAPIError) and tries > 1:  # another writer was in between
            self._commit(works, tries - 1)
        else:
            log.error("storage.refused", error=type(error).__name__)
            failed = isinstance(error, SQLAlchemyError)
            works[0].end(StorageUnavailable() if failed else error)

    def _look_for_damage(self, error: Exception) -> None:
        """Take nothing more into a malformed file: it could not be promised to be found again."""
        if engines.is_damaged(error) and not self.is_damaged:
            log.critical("storage.damaged", error=type(error).__name__)
            self.is_damaged = True

    def _run(self, works: list[Work]) -> list[Any]:
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


def _is_away(error: Exception) -> bool:
    """True for what no other work in this batch would survive: locked, full, broken, gone."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, OperationalError):
        return not _is_contention(error)
    return isinstance(error, OSError | InterfaceError | PoolTimeoutError | ConfigurationError)


def _is_contention(error: Exception) -> bool:
    """True when PostgreSQL rolled back because of another writer; the same will go through."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return str(code or "").startswith(_CONTENTION)
