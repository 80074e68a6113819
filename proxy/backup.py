"""Backups of an SQLite database: a copy of one moment, and the way back. PostgreSQL has its own.

What was sent after a backup was made is not in it. So a restored row that may have left carries
the time of the backup as that of an attempt whose answer is unknown, and the rules of `reporting`
do the rest: the same key while the insurer remembers it, a person after that.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, text

from proxy import migrate, store
from proxy.choices import Report, Source
from proxy.database import Clock, Database
from proxy.durable import sync_folder
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.ledger import Fact, Ledger
from proxy.register import Offer
from proxy.reporting import condemn, is_ambiguous, lapse
from proxy.schema import facts, offers

Progress = Callable[[int, int], None]  # pages done, of so many

_PAGES = 2_000  # copied between two steps of the bar: 8 MB
_ROWS = 1_000  # judged in one go
_AHEAD_MS = 5 * 60 * 1000  # what clocks may differ by
# The files of a database, by what follows its name.
_BESIDE_DATA = ("-wal", "-shm", "-journal")
_HOLDING = ("", "-wal", "-journal")  # what was written
_OWN = ("", *_BESIDE_DATA, ".lock", ".sock")


class UnfitError(Exception):
    """A file is no backup, or not whole; the message says what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a copy holds."""

    schema: str
    offers: int
    facts: int
    newest: int | None  # time of the newest fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back, and what became of the rows that may have been sent since."""

    contents: Contents
    gated: int  # dead: the insurer may have forgotten their keys
    again: int  # may be sent again, with the same key
    kept: Path | None  # the database that was there before


def require_embedded(database: Database, instead: str) -> Path:
    """Return the SQLite file of *database*; refuse PostgreSQL, which knows how to do this itself.

    Raises ConfigurationError.
    """
    if not database.is_sqlite:
        raise ConfigurationError(
            "This copies an SQLite file, and the database is PostgreSQL, which only its own tools "
            f"can copy in one moment while it is written; {instead}."
        )
    return Path(database.url.database or "").resolve()


def back_up(database: Database, file: Path, progress: Progress, *, force: bool) -> Contents:
    """Copy one moment of *database* to *file*, also while it is written, and check the copy.

    Raises ConfigurationError for a file that may not be written, UnfitError for a copy that is
    not whole, and OSError or sqlite3.Error where it could not be made.
    """
    source = require_embedded(database, "use `pg_dump`, or `pg_basebackup` with a WAL archive")
    _refuse_own(source, file)
    if file.exists() and not force:
        raise ConfigurationError(f"{file} is there already; --force writes over it.")
    with _unnamed(file) as copy:
        _copy(source, copy, progress)
        contents = inspect(copy)
        _name(copy, file, force=force)
    return contents


def inspect(file: Path) -> Contents:
    """Return what the copy *file* holds, read through. Raises UnfitError."""
    reader = Database(f"sqlite:///{file}", lambda: 0)
    try:
        with reader.snapshot() as connection:
            contents = _contents(connection)
        damages = reader.damages()
    except (StorageUnavailable, ConfigurationError) as error:
        (found, *_) = str(error.__cause__ or error).splitlines()
        raise UnfitError(f"{file} is no backup that can be read: {found}") from error
    finally:
        reader.dispose()
    if damages:
        raise UnfitError(f"{file} is damaged: {damages[0]}")
    return contents


def restore(
    database: Database,
    file: Path,
    ledger: Ledger,
    clock: Clock,
    progress: Progress = lambda _done, _of: None,
) -> Restored:
    """Put the backup *file* in the place of *database*; the caller holds its lock.

    All that must be done to the copy is done before it gets the name: a restore that is killed
    has changed nothing, or is over. Raises what `back_up` raises.
    """
    target = require_embedded(database, "use `pg_restore`, before any `serve` or `work` starts")
    _refuse_own(target, file)
    contents = inspect(file)
    with _unnamed(target) as copy:
        _copy(file.resolve(), copy, progress)
        gated, again = _gate_copy(copy, ledger, clock)
        inspect(copy)
        kept = _set_aside(target)
        copy.replace(target)
        sync_folder(target.parent)
    return Restored(contents=contents, gated=gated, again=again, kept=kept)


# -- the gate ---------------------------------------------------------------------------------


def doubt(offer: Offer, since: int, now: int) -> Offer:
    """Return a waiting *offer* as one that may have left at *since*, when the backup was made.

    Under 47 h after that it goes out with the same key, which the insurer still knows, and a 409
    says that it was delivered. Later it is dead, for a person. One that is held, or may yet count
    as declined, keeps waiting with the doubt: it can have become due after the backup.
    """
    if offer.report is Report.SENDING:
        offer = lapse(offer, now)  # whoever sent it is gone
        if offer.report is not Report.DUE:
            return offer
    offer = offer._replace(unknown_at=min(offer.unknown_at or since, since))
    if offer.report is Report.DUE and is_ambiguous(offer, now):
        return condemn(offer, "ambiguous")
    return offer


def gate(connection: Connection, ledger: Ledger, now: int) -> tuple[int, int]:
    """Doubt every row that waits, with a fact each; return how many died, and how many did not."""
    since = _require_known(connection, ledger, now)
    last, dead, alive = 0, 0, 0
    query = store.OFFERS.where(offers.c.due_at.is_not(None)).order_by(offers.c.id).limit(_ROWS)
    while rows := connection.execute(query.where(offers.c.id > last)).fetchall():
        doubted = [doubt(store.offer_of(row), since, now) for row in rows]
        store.save(connection, ledger, [(one, _fact(one, now)) for one in doubted], now)
        last = doubted[-1].id
        died = sum(one.report is Report.DEAD for one in doubted)
        dead, alive = dead + died, alive + len(doubted) - died
    return dead, alive


def _fact(offer: Offer, now: int) -> Fact:
    return Fact(
        kind="delivery.gated" if offer.report is Report.DEAD else "delivery.restored",
        at=now,
        source=Source.OPERATOR,
        attempt=offer.attempts,
        outcome=offer.outcome,
    )


def _require_known(connection: Connection, ledger: Ledger, now: int) -> int:
    """Return the time of the newest fact. ConfigurationError if it is not ours, or not past."""
    query = select(facts, offers.c.upstream, offers.c.offer).join(offers)
    row = connection.execute(query.order_by(facts.c.id.desc()).limit(1)).mappings().first()
    if row is None:
        return now
    fact = dict(row)
    if ledger.digest(fact, fact["upstream"], fact["offer"]) != fact["digest"]:
        raise ConfigurationError(
            "The backup was written under another audit key; restore that file too, "
            "where `audit_key_file` says."
        )
    newest = int(fact["at"])
    if newest > now + _AHEAD_MS:  # by such a clock nothing would be old enough
        raise ConfigurationError("The backup holds facts of the future; set this machine's clock.")
    return newest


def _gate_copy(copy: Path, ledger: Ledger, clock: Clock) -> tuple[int, int]:
    database = Database(f"sqlite:///{copy}", clock)
    try:
        migrate.upgrade(database)
        with database.begin() as connection:
            counts = gate(connection, ledger, clock())
    finally:
        database.dispose()
    _seal_off(copy)
    return counts


# -- files ------------------------------------------------------------------------------------


def _refuse_own(database: Path, file: Path) -> None:
    """A copy must not be written over what it is a copy of, or over a file beside it."""
    if file.resolve() in _with(database, _OWN):
        raise ConfigurationError(f"{file} belongs to the database itself; name another file.")


@contextmanager
def _unnamed(file: Path) -> Iterator[Path]:
    """Yield a new empty file in the folder of *file*, mode 0600; what is left of it goes."""
    real = file.resolve()
    _sweep(real)
    copy = real.with_name(f".{real.name}.{secrets.token_hex(8)}")
    held = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield copy
    finally:
        _remove(copy)
        os.close(held)


def _sweep(file: Path) -> None:
    """Take away what killed ones left: each as large as the database, and erased from by nobody.

    One that is still made is locked before anything is in it.
    """
    for copy in file.parent.glob(f".{escape(file.name)}.{'[0-9a-f]' * 16}"):
        written = [one for one in _with(copy, _HOLDING) if one.exists() and one.stat().st_size]
        with suppress(OSError), copy.open("rb") as left:
            if written:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(copy)


def _remove(copy: Path) -> None:
    for one in _with(copy, ("", *_BESIDE_DATA)):
        one.unlink(missing_ok=True)


def _copy(file: Path, copy: Path, progress: Progress) -> None:
    """Copy what the database *file* holds at one moment."""
    database = Database(f"sqlite:///{file}", lambda: 0)

    def tell(_status: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    try:
        with database.snapshot() as connection, closing(sqlite3.connect(copy)) as target:
            # The first query opens the snapshot. Without one, each write meanwhile would make
            # SQLite begin the copy anew: https://www.sqlite.org/c3ref/backup_finish.html
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema")
            source: Any = connection.connection.driver_connection
            source.backup(target, pages=_PAGES, progress=tell)
    finally:
        database.dispose()
    _seal_off(copy)


def _seal_off(copy: Path) -> None:
    """Make *copy* one file that needs none beside it, on the disk to the last byte."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def _contents(connection: Connection) -> Contents:
    newest = select(facts.c.at).order_by(facts.c.id.desc()).limit(1)
    return Contents(
        schema=str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar()),
        offers=connection.execute(select(func.count()).select_from(offers)).scalar_one(),
        facts=connection.execute(select(func.count()).select_from(facts)).scalar_one(),
        newest=connection.execute(newest).scalar(),
    )


def _name(copy: Path, file: Path, *, force: bool) -> None:
    if force:
        copy.replace(file)
    else:
        _link(copy, file)
    sync_folder(file.resolve().parent)


def _link(copy: Path, file: Path) -> None:
    """Name *copy* unless the name is taken: `replace` would not ask."""
    try:
        os.link(copy, file)
    except FileExistsError:
        raise ConfigurationError(f"{file} is there already; --force writes over it.") from None


def _set_aside(database: Path) -> Path | None:
    """Give the old database a second name, with what only its log holds, and take its log away.

    Its own name it keeps until the copy takes that: there is no moment without a database. A log
    that stayed would be played into the copy.
    """
    old = [one for one in _with(database, _HOLDING) if one.exists() and one.stat().st_size]
    kept = _free(database.with_name(f"{database.name}.before-restore"))
    for one in old:
        os.link(one, kept.with_name(kept.name + one.name.removeprefix(database.name)))
    sync_folder(database.parent)
    if database in old:  # so that it misses nothing while its log is gone and the copy not there
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for one in _with(database, _BESIDE_DATA):
        one.unlink(missing_ok=True)
    return kept if old else None


def _free(name: Path) -> Path:
    """Return *name*, or it with the first number that makes it new."""
    number, free = 1, name
    while any(one.exists() for one in _with(free, _HOLDING)):
        number += 1
        free = name.with_name(f"{name.name}-{number}")
    return free


def _with(database: Path, ends: tuple[str, ...]) -> list[Path]:
    return [database.with_name(database.name + end) for end in ends]
