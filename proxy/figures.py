"""Figures: what stands where in the register, and whether more can be written there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, text

from proxy import seals
from proxy.choices import Report
from proxy.database import CHOICES, Database
from proxy.errors import StorageUnavailable
from proxy.leases import IS_DUE
from proxy.schema import buckets, facts, offers

# Literal, not bound: a partial index serves a query only if its condition is in the text.
_WAITING: dict[str, ColumnElement[bool]] = {
    "conflicts": literal_column("conflicts <> ''"),
    "dead_letters": literal_column("report = 'dead'"),
}
_LEAST_FREE = 100_000_000  # bytes
_TOUCH = text("UPDATE alembic_version SET version_num = version_num")


def ping(database: Database) -> None:
    """Write what is there once more; StorageUnavailable when the database takes no writes."""
    database.write(_ping_all, None, lane=CHOICES)


def _ping_all(connection: Connection, asked: list[None]) -> list[None]:
    connection.execute(_TOUCH)  # a full disk refuses this, and would not refuse an empty commit
    return asked


def is_nearly_full(file: Path) -> bool:
    """True when the disk under *file* has hardly any room left."""
    return shutil.disk_usage(file.parent).free < _LEAST_FREE


def holds_facts(database: Database) -> bool:
    """True when something is on record; False also where no database can be read yet."""
    try:
        with database.read() as connection:
            return connection.execute(select(facts.c.id).limit(1)).first() is not None
    except StorageUnavailable:
        return False


def measure(database: Database) -> dict[str, float]:
    """Return how many offers stand where, what waits or is paused, and the newest seals.

    Raises StorageUnavailable.
    """
    # Not `read`: to count millions of rows from the disk takes longer than a request may.
    with database.snapshot() as connection:
        now = database.now(connection)
        by_report = select(offers.c.report, func.count()).group_by(offers.c.report)
        counts = connection.execute(by_report).all()
        due_at = connection.execute(select(func.min(offers.c.due_at)).where(IS_DUE)).scalar()
        paused = select(func.count()).where(buckets.c.paused_at.is_not(None))
        shut = select(func.count()).where(buckets.c.shut_until > now)
        none = {f"deliveries.{report}": 0.0 for report in Report}
        return {
            **none,
            **{f"deliveries.{report}": float(count) for report, count in counts},
            "oldest_due_seconds": max(0.0, (now - due_at) / 1000) if due_at else 0.0,
            "credentials_paused": float(connection.execute(paused).scalar_one()),
            "credentials_throttled": float(connection.execute(shut).scalar_one()),
            **dict(_measure_waiting(connection)),
            **_measure_seals(connection, now),
        }


def paused(database: Database) -> frozenset[str]:
    """Return the buckets whose credential is paused. Raises StorageUnavailable."""
    with database.read() as connection:
        query = select(buckets.c.bucket).where(buckets.c.paused_at.is_not(None))
        return frozenset(connection.execute(query).scalars())


def due_since(database: Database, row: int, epoch: int) -> int | None:
    """Return when the report of an offer first became due in *epoch*. Raises StorageUnavailable."""
    query = select(func.min(facts.c.at)).where(
        facts.c.offer_id == row, facts.c.epoch == epoch, facts.c.report == str(Report.DUE)
    )
    with database.read() as connection:
        at: int | None = connection.execute(query).scalar()
    return at


def _measure_waiting(connection: Connection) -> Iterator[tuple[str, float]]:
    """Yield how many offers of whom wait for a person."""
    for name, condition in _WAITING.items():
        query = select(offers.c.partner, func.count()).where(condition).group_by(offers.c.partner)
        for partner, count in connection.execute(query):
            yield f"{name}.{partner}", float(count)


def _measure_seals(connection: Connection, now: int) -> dict[str, float]:
    """Whoever stores these figures keeps a trace of each seal that we can not alter."""
    since = seals.oldest_unsealed(connection)
    found = {"oldest_unsealed_seconds": max(0.0, (now - since) / 1000) if since else 0.0}
    for partner in seals.partners(connection):
        if block := seals.newest(connection, partner):
            found[f"seal_number.{partner}"] = float(block.number)
            found[f"seal_timestamp_seconds.{partner}"] = block.sealed_at / 1000
            found[f"seal_hash.{partner}"] = float(int(block.hash.hex()[:12], 16))
    return found
