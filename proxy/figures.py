"""Figures: what stands where in the register, and whether more can be written there."""

from sqlalchemy import Connection, func, select, text

from proxy import seals
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.leases import IS_DUE
from proxy.schema import buckets, facts, offers

_TOUCH = text("UPDATE alembic_version SET version_num = version_num")


def ping(database: Database) -> None:
    """Write what is there once more; StorageUnavailable when the database takes no writes."""
    database.write(_ping_all, None)


def _ping_all(connection: Connection, asked: list[None]) -> list[None]:
    connection.execute(_TOUCH)  # a full disk refuses this, and would not refuse an empty commit
    return asked


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
    with database.read() as connection:
        now = database.now(connection)
        by_report = select(offers.c.report, func.count()).group_by(offers.c.report)
        counts = connection.execute(by_report).all()
        due_at = connection.execute(select(func.min(offers.c.due_at)).where(IS_DUE)).scalar()
        paused = select(func.count()).where(buckets.c.paused_at.is_not(None))
        shut = select(func.count()).where(buckets.c.shut_until > now)
        return {f"deliveries.{report}": float(count) for report, count in counts} | {
            "oldest_due_seconds": max(0.0, (now - due_at) / 1000) if due_at else 0.0,
            "credentials_paused": float(connection.execute(paused).scalar_one()),
            "credentials_throttled": float(connection.execute(shut).scalar_one()),
            **_measure_seals(connection, now),
        }


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
