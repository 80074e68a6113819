"""Buckets that several workers lock at once, on PostgreSQL; SQLite has one writer."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from proxy import pace
from proxy.database import Database
from tests.acceptance.deployment import until

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def lock(database: Database, *keys: str) -> set[str]:
    """Lock buckets, in a transaction of its own; return which it got."""
    with database.begin() as connection:
        return set(pace.lock(connection, keys))


def queued(database: Database, count: int) -> None:
    """Wait until so many transactions wait for a lock."""

    def waiting() -> bool:
        with database.begin() as connection:
            return bool(connection.execute(_WAITING).scalar_one() == count)

    until(waiting, f"{count} that wait")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_who_locks_what_is_made_meanwhile_blocks_nobody(database: Database) -> None:
    """A worker that knew of one bucket only waits for the other one while it holds none of them.

    PostgreSQL would find the deadlock after a second, and let one of the two begin anew.
    """
    lock(database, "later")
    with ThreadPoolExecutor(2) as pool:
        with database.begin() as connection:
            pace.lock(connection, ["later"])
            early = pool.submit(lock, database, "earlier", "later")
            queued(database, 1)
            lock(database, "earlier")
            late = pool.submit(lock, database, "earlier", "later")
            queued(database, 2)
        got = early.result(), late.result()

    assert got == ({"later"}, {"earlier", "later"})
    assert lock(database, "earlier", "later") == {"earlier", "later"}


def test_what_is_missing_is_made(database: Database) -> None:
    """Whoever makes a bucket has it."""
    assert lock(database, "one") == {"one"}
    assert lock(database, "two", "one") == {"one", "two"}
