"""Connections to SQLite and PostgreSQL, each checked for what the promise rests on."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from proxy.errors import ConfigurationError

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

# A server that has died, or a peer that sleeps with our locks in its hand, must be noticed.
_POSTGRES_CONNECTION = {
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "optout-proxy",
    "client_encoding": "utf8",  # of a database in SQL_ASCII we would be given bytes
}
_SESSION = {
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
}
_POOL_TIMEOUT_S = 2.0
_READ_ONLY = "25006"  # PostgreSQL's code: this server has become a standby


def is_sqlite(url: URL) -> bool:
    """True for the embedded engine."""
    return url.get_backend_name() == "sqlite"


def writing(url: URL, connections: int) -> Engine:
    """Return an engine for *connections* writers; each connection is checked when it is made."""
    if is_sqlite(url):
        return _sqlite(url, writes=True)
    engine = _postgres(url, connections + 1)
    event.listen(engine, "connect", _open_durable)
    return engine


def reading(url: URL, connections: int) -> Engine:
    """Return an engine that sees what is committed; on SQLite it can write nothing."""
    return _sqlite(url, writes=False) if is_sqlite(url) else _postgres(url, connections + 1)


def assert_durable(connection: Connection) -> None:
    """Raise ConfigurationError unless SQLite keeps what is committed; PostgreSQL is asked above."""
    if connection.dialect.name != "sqlite":
        return
    for pragma, (_, expected) in _SQLITE_PRAGMAS.items():
        found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
        if found != expected:
            raise ConfigurationError(
                f"SQLite refuses PRAGMA {pragma} (it is {found!r}); "
                "put the database on a local file system."
            )
    version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    connection.exec_driver_sql(f"PRAGMA user_version = {version}")  # fails where none may write
    connection.commit()


def unfit(error: DBAPIError) -> ConfigurationError:
    """Return the sentence on a database that can not be written."""
    return ConfigurationError(f"The database can not be opened for writing ({reason(error)}).")


def reason(error: DBAPIError) -> str:
    """Return the first line of what the driver said; PostgreSQL's next ones quote values."""
    return str(error.orig).partition("\n")[0].strip()


def is_broken(error: BaseException) -> bool:
    """True when SQLite met an I/O error: what it believes to be on disk may not be there.

    Nothing may be asked of that process again: after a failed fsync the kernel may have dropped
    the pages and say nothing the next time ("Can Applications Recover from fsync Failures?").
    """
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_IOERR


def is_damaged(error: BaseException) -> bool:
    """True when SQLite found its file malformed, or no database at all."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damages(connection: Connection, most: int = 20) -> list[str]:
    """Return what SQLite's own check finds wrong with the file; PostgreSQL has `pg_amcheck`."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.exec_driver_sql(f"PRAGMA integrity_check({most})").scalars().all()
    return [line for text in found if text != "ok" for line in text.splitlines()]


# -- SQLite -----------------------------------------------------------------------------------


def _sqlite(url: URL, *, writes: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("`database` names no file; an opt-out must survive a restart.")
    path, pool = Path(url.database), StaticPool if writes else QueuePool
    # A reader may not make the file: an empty one would look like one that lost everything.
    uri = f"file:{quote(url.database)}?mode={'rwc' if writes else 'ro'}"
    engine = create_engine(
        "sqlite://",
        hide_parameters=True,  # an error is printed, and they are what customers and shops said
        poolclass=pool,
        creator=lambda: _connect(path, uri, makes=writes),
    )
    event.listen(engine, "connect", _open_writer if writes else _open_reader)
    event.listen(engine, "begin", _begin_immediate if writes else _begin_deferred)
    return engine


def _connect(path: Path, uri: str, *, makes: bool) -> sqlite3.Connection:
    """Connect, unless SQLite would take an empty file for a new database and drop the log.

    The log beside it holds acknowledged choices, and may be all that is left of them.
    """
    log = path.with_name(f"{path.name}-wal")
    if _size(log) and not _size(path):
        raise sqlite3.OperationalError(
            f"{path.name} is empty or gone, and {log.name} beside it holds what was written last; "
            "move both away and restore a backup"
        )
    if makes:  # for nobody else's eyes; what SQLite lays beside it will be as it is
        with suppress(OSError):  # one that is there stays closed: that would give up its locks
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(uri, uri=True, timeout=1.0, check_same_thread=False)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


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


# -- PostgreSQL -------------------------------------------------------------------------------


def _postgres(url: URL, connections: int) -> Engine:
    ours = {key: value for key, value in _POSTGRES_CONNECTION.items() if key not in url.query}
    engine = create_engine(
        url,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=connections,
        pool_pre_ping=True,
        pool_timeout=_POOL_TIMEOUT_S,
        connect_args=ours,
    )
    event.listen(engine, "connect", _open_session)
    event.listen(engine, "handle_error", _leave_standby)
    return engine


def _open_session(connection: Any, _record: Any) -> None:
    _ask(connection, [f"set_config('{name}', '{v}', false)" for name, v in _SESSION.items()])


def _open_durable(connection: Any, _record: Any) -> None:
    """Refuse a server that would forget what it has acknowledged, also one we failed over to."""
    asked = ["current_setting('synchronous_commit')", "current_setting('fsync')"]
    synchronous_commit, fsync, is_standby = _ask(connection, [*asked, "pg_is_in_recovery()"])
    if synchronous_commit == "off":
        raise ConfigurationError(
            "PostgreSQL has synchronous_commit=off, which loses acknowledged declines; "
            "set it to on for this role."
        )
    if fsync == "off":
        raise ConfigurationError(
            "PostgreSQL has fsync=off, which loses acknowledged declines; set it to on."
        )
    if is_standby:
        raise ConfigurationError(
            "The database is a standby that takes no writes; name the primary, or all of them "
            "with `target_session_attrs=read-write`."
        )


def _ask(connection: Any, expressions: list[str]) -> Any:
    with connection.cursor() as cursor:
        row = cursor.execute("SELECT " + ", ".join(expressions)).fetchone()
    connection.commit()
    return row


def _leave_standby(context: ExceptionContext) -> None:
    """Drop connections to a server that was the primary and is not any more."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True
