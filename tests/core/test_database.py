"""Group commit, isolation, durability, migrations, the lock."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, insert, make_url, select, text

from proxy import migrate
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.lock import FileLock
from proxy.schema import metadata, open_tokens
from tests.core.conftest import Clock


def _row(jti: str) -> dict[str, Any]:
    return {"partner": "ACME", "jti": jti, "offer": "o", "created_at": 1}


def _insert_all(connection: Connection, names: list[str]) -> list[int]:
    """Write one row per name; `boom` fails."""
    if "boom" in names:
        raise RuntimeError("boom")
    connection.execute(insert(open_tokens), [_row(name) for name in names])
    return [len(names)] * len(names)


def _names(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(open_tokens.c.jti)).scalars())


def test_what_queues_up_shares_a_commit(database: Database) -> None:
    """While one commit is under way the next ones gather."""
    inside, go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection, asked: list[None]) -> list[None]:
        inside.set()
        go_on.wait()
        return asked

    holders = [database.submit(hold, None) for _ in range(2 if not database.is_sqlite else 1)]
    inside.wait()
    waiting = [database.submit(_insert_all, f"name-{number}") for number in range(20)]
    go_on.set()
    [holder.result() for holder in holders]

    assert max(work.result() for work in waiting) > 1
    assert len(_names(database)) == 20


def test_one_bad_work_takes_no_other_along(database: Database) -> None:
    """The commit is tried again one by one; only the bad one fails."""
    inside, go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection, asked: list[None]) -> list[None]:
        inside.set()
        go_on.wait()
        return asked

    holders = [database.submit(hold, None) for _ in range(2 if not database.is_sqlite else 1)]
    inside.wait()
    good = [database.submit(_insert_all, f"good-{number}") for number in range(3)]
    bad = database.submit(_insert_all, "boom")
    go_on.set()
    [holder.result() for holder in holders]

    with pytest.raises(RuntimeError, match="boom"):
        bad.result()
    assert [work.result() for work in good]
    assert _names(database) == {"good-0", "good-1", "good-2"}


def test_a_snapshot_sees_one_moment(database: Database) -> None:
    """What is committed after its first query is seen by the next one only."""
    with database.snapshot() as connection:
        names = select(open_tokens.c.jti)
        assert connection.execute(names).all() == []
        database.write(_insert_all, "meanwhile")
        assert connection.execute(names).all() == []
    with database.snapshot() as connection:
        assert connection.execute(names).scalars().all() == ["meanwhile"]


def test_a_snapshot_can_write_nothing(database: Database) -> None:
    """Neither engine lets it."""
    with pytest.raises(StorageUnavailable), database.snapshot() as connection:
        connection.execute(insert(open_tokens), [_row("refused")])

    assert _names(database) == set()


def test_only_a_snapshot_may_read_for_long(postgres: str, clock: Clock) -> None:
    """The limit of time is lifted for its transaction, not for the connection in the pool."""
    database = Database(postgres, clock)
    limit = text("SHOW statement_timeout")
    with database.snapshot() as connection:
        assert connection.execute(limit).scalar_one() == "0"
    with database.read() as connection:
        assert connection.execute(limit).scalar_one() == "10s"
    database.dispose()


def test_a_failing_database_is_unavailable(database: Database) -> None:
    """Whatever the driver says, callers hear that nothing was stored."""

    def fail(connection: Connection, _asked: list[None]) -> list[None]:
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))
        return []

    with pytest.raises(StorageUnavailable):
        database.write(fail, None)


def test_a_locked_file_is_unavailable_and_heals(tmp_path: Path, clock: Clock) -> None:
    """Another program holds the file: 503 within the busy timeout, then all is well again."""
    database = Database(f"sqlite:///{tmp_path / 'optout.db'}", clock)
    migrate.upgrade(database)
    database.start()
    other = sqlite3.connect(tmp_path / "optout.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageUnavailable):
        database.write(_insert_all, "refused")
    other.execute("ROLLBACK")
    other.close()
    assert database.write(_insert_all, "taken") == 1
    database.stop()


def test_a_locked_file_refuses_everybody_at_once(tmp_path: Path, clock: Clock) -> None:
    """What queued up behind one wait does not wait once more each."""
    database = Database(f"sqlite:///{tmp_path / 'optout.db'}", clock)
    migrate.upgrade(database)
    database.start()
    other = sqlite3.connect(tmp_path / "optout.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    attempts: list[int] = []

    def count(connection: Connection, names: list[str]) -> list[int]:
        attempts.append(len(names))
        return _insert_all(connection, names)

    works = [database.submit(count, f"name-{number}") for number in range(20)]
    for work in works:
        with pytest.raises(StorageUnavailable):
            work.result()
    other.execute("ROLLBACK")
    other.close()
    database.stop()

    assert attempts == []  # BEGIN itself was refused, twice at most


def test_a_reader_can_not_write(tmp_path: Path, clock: Clock) -> None:
    """Only the writer's connection changes anything."""
    database = Database(f"sqlite:///{tmp_path / 'optout.db'}", clock)
    migrate.upgrade(database)
    with pytest.raises(StorageUnavailable), database.read() as connection:
        connection.execute(insert(open_tokens), [_row("never")])
    database.dispose()


def test_a_reader_makes_no_file(tmp_path: Path, clock: Clock) -> None:
    """An empty database would look like one that lost everything."""
    database = Database(f"sqlite:///{tmp_path / 'none.db'}", clock)

    with pytest.raises(StorageUnavailable), database.read():
        pass
    assert not (tmp_path / "none.db").exists()


def test_sqlite_is_set_up_to_survive_a_power_cut(tmp_path: Path, clock: Clock) -> None:
    """WAL and FULL, on the very connection that writes."""
    database = Database(f"sqlite:///{tmp_path / 'optout.db'}", clock)
    with database.begin() as connection:
        pragmas = ("journal_mode", "synchronous", "secure_delete", "recursive_triggers")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    database.dispose()

    assert found == ["wal", 2, 1, 1]


def test_a_database_in_memory_is_refused(clock: Clock) -> None:
    """An opt-out must survive a restart."""
    with pytest.raises(ConfigurationError, match="names no file"):
        Database("sqlite://", clock)


def test_the_migrations_make_the_schema(database: Database) -> None:
    """What Alembic built is what the code believes, on each engine."""
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_an_old_schema_is_refused_with_the_way_to_mend_it(url: str, clock: Clock) -> None:
    """Nothing is guessed from a schema of another version."""
    database = Database(url, clock)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))

    with pytest.raises(ConfigurationError, match="optout-proxy migrate"):
        migrate.require_current(database)
    database.dispose()


def test_a_newer_schema_is_refused(url: str, clock: Clock) -> None:
    """A downgrade must not write what it does not understand."""
    database = Database(url, clock)
    migrate.upgrade(database)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigurationError, match="newer version"):
        migrate.require_current(database)
    database.dispose()


def test_one_process_per_file(tmp_path: Path) -> None:
    """A second one waits, then refuses."""
    first, second = FileLock(tmp_path / "optout.db"), FileLock(tmp_path / "optout.db")
    first.take()

    with pytest.raises(ConfigurationError, match=r"Another optout-proxy serves optout\.db"):
        second.take(wait_s=0.2)
    first.release()
    second.take(wait_s=0.2)
    second.release()


def test_a_link_leads_to_the_same_lock(tmp_path: Path) -> None:
    """One file under two names is still one file."""
    (tmp_path / "optout.db").touch()
    (tmp_path / "other.db").symlink_to(tmp_path / "optout.db")
    first, second = FileLock(tmp_path / "optout.db"), FileLock(tmp_path / "other.db")
    first.take()

    with pytest.raises(ConfigurationError, match="Another optout-proxy"):
        second.take(wait_s=0.1)
    first.release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """After a kill nothing needs to be cleaned up by hand."""
    code = (
        "import sys, time; from pathlib import Path; from proxy.lock import FileLock;"
        "lock = FileLock(Path(sys.argv[1])); lock.take(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "optout.db")], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        child.kill()
        child.wait()
    FileLock(tmp_path / "optout.db").take(wait_s=1.0)


def test_a_database_without_an_encoding_will_do(postgres: str, clock: Clock) -> None:
    """SQL_ASCII is what `initdb` gives where there is no locale."""
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        )
    engine.dispose()
    url = make_url(postgres).set(database="ascii").render_as_string(hide_password=False)
    database = Database(url, clock)
    migrate.upgrade(database)

    migrate.require_current(database)
    database.dispose()


def test_a_new_file_is_for_nobody_elses_eyes(tmp_path: Path, clock: Clock) -> None:
    """Whatever the process's umask: it holds what customers chose."""
    path = tmp_path / "optout.db"
    database = Database(f"sqlite:///{path}", clock)
    before = os.umask(0o022)
    try:
        migrate.upgrade(database)
        database.start()
        modes = {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
        database.stop()

    assert modes == {0o600}
