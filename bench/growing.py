"""A database with millions of rows: a few that the program has written, and copies of them.

The intake would take hours. What is copied differs in what the indexes hold: ids, names of offers
and of messages, and when a report is due. Digests and hashes are copies too, and fit nothing.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy import migrate
from proxy.choices import Choice, Kind, Message, Outcome, Source
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.leases import Lane, Wanted
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.register import Policy
from proxy.schema import blocks, facts, offers
from proxy.sealer import Sealer
from proxy.seals import MOST, Seals
from proxy.upstreams import APIS

KEY = b"a key of the bench, 32 bytes at least"
LEDGER = Ledger(KEY)
SIGN = ("bench", Ed25519PrivateKey.generate().sign)
DAY = 86_400_000
DONE = Outcome(kind=Kind.DELIVERED, reason="delivered", status=204)
LANE = Lane(bucket="bucket", rate=0.0, apis={("ACME", "tickets"): APIS["xcover-offers"]})
DELIVERED = 5  # one in so many finished offers was declined and delivered; it has three facts
AGO = 400 * DAY  # that finished offers have not changed
AT_ONCE = Policy(on_purchase=False, settle_ms=0, hold_ms=1, implied_ms=None)
_TEMPLATES = 2  # offers that are copied, at most
_SPACE = 2**32  # of the first eight digits of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What is on record already."""

    due: int = 0
    finished: int = 0


def message(choice: Choice = Choice.DECLINED) -> Message:
    """Return what a shop's server tells of an offer that nobody has heard of."""
    now = wall()
    return Message(
        partner="ACME",
        upstream="tickets",
        offer=str(uuid4()),
        choice=choice,
        id=str(uuid4()),
        seq=now,
        at=now,
        writer="server",
        source=Source.SERVER,
    )


def grow(url: str, growth: Growth) -> None:
    """Make the database of *url*, and put there what *growth* says; finished is past retention."""
    ago = AGO if growth.finished else 0
    database = Database(url, lambda: wall() - ago, server_time=False)
    migrate.upgrade(database)
    database.start()
    try:
        _write_templates(database, growth)
    finally:
        database.stop()
    if growth == Growth():
        return
    put = _sqlite if database.is_sqlite else _postgres
    put(database, list(_copies(growth, "printf" if database.is_sqlite else "to_hex")))


def _write_templates(database: Database, growth: Growth) -> None:
    """Let the program write what is to be copied: offer 1, and 2 where some are delivered."""
    intake, outbox = Intake(database, LEDGER, lambda *_: AT_ONCE), Outbox(database, LEDGER)
    intake.record(message(Choice.DECLINED if growth.due else Choice.ACCEPTED))
    if growth.finished:
        intake.record(message())
        (delivery,) = outbox.claim(Wanted(lanes=[LANE], free=1, lease_ms=30_000)).deliveries
        outbox.finish(delivery, LANE.bucket, DONE)
    Sealer(database, Seals(*SIGN)).seal()


def _copies(growth: Growth, how: str) -> Iterator[str]:
    """Yield the statements that copy; in no index do they jump to and fro."""
    count = growth.due or growth.finished
    name = _name(how, count)
    same = f"CASE WHEN n % {DELIVERED} = 0 THEN 2 ELSE 1 END" if growth.finished else "1"
    own = {"id": f"n + {_TEMPLATES} + 1", "offer": name, "message": name}
    if growth.due:
        own |= {"due_at": f"t.due_at - {count} + n"}
    yield _copy(offers, own, f"t.id = {same}", count, how)
    own = {"id": "n + 10", "offer_id": f"n + {_TEMPLATES} + 1", "message": name}
    yield _copy(facts, own, f"t.offer_id = {same} AND t.ordinal = 1", count, how)
    for ordinal in (2, 3) if growth.finished else ():
        own = {
            "id": f"n / {DELIVERED} + {count + 10} + {(ordinal - 2) * (count // DELIVERED + 1)}",
            "offer_id": f"n + {_TEMPLATES} + 1",
        }
        which = f"n % {DELIVERED} = 0 AND t.offer_id = 2 AND t.ordinal = {ordinal}"
        yield _copy(facts, own, which, count, how)
    own = {
        "number": "n + 2",
        "first_fact": f"n * {MOST} + 10",
        "last_fact": f"n * {MOST} + {MOST + 9}",
        "count": str(MOST),
        "total": f"(n + 1) * {MOST}",
    }
    written = count + 2 * (count // DELIVERED if growth.finished else 0)
    yield _copy(blocks, own, "t.number = 1", written // MOST, how)


def _name(how: str, count: int) -> str:
    """Return an expression: names spread as evenly as random ones are, in two ascending passes.

    The second pass comes in between the first one's names, two behind each five of them. So each
    page of an index is split once and left at 70 per cent, as random names leave it; after a single
    pass all pages would be full, and whatever comes next would split one.
    """
    first = count * 5 // 7
    second = f"(n - {first}) / 2 * 7 + 5 + (n - {first}) % 2"
    place = f"CASE WHEN n < {first} THEN n / 5 * 7 + n % 5 ELSE {second} END"
    start = f"({place}) * {_SPACE // (count + 7)}"
    if how == "printf":
        return f"printf('%08x-0000-4000-8000-%012x', {start}, n)"
    digits = f"lpad(to_hex({start}), 8, '0')"
    return f"{digits} || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0')"


def _copy(table: Any, own: dict[str, str], which: str, count: int, how: str) -> str:
    """Return what puts copies of the rows that *which* names, for n from 0 to *count* - 1."""
    names = [column.name for column in table.columns]
    values = ", ".join(own.get(name, f"t.{name}") for name in names)
    made = f"generate_series(0, {count - 1}::bigint) AS s (n)"
    if how == "printf":
        steps = f"SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count - 1}"  # noqa: S608  # our own names
        made = f"(WITH RECURSIVE s (n) AS ({steps}) SELECT n FROM s) AS s"  # noqa: S608  # our own names
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    return f"{into} SELECT {values} FROM {made} CROSS JOIN {table.name} AS t WHERE {which}"  # noqa: S608  # our own names


def _sqlite(database: Database, statements: list[str]) -> None:
    """Write to the file without a log, and without waiting for the disk."""
    file = database.url.database or ""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            connection.execute(f"PRAGMA {pragma}")
        for statement in statements:
            connection.execute(statement)


def _postgres(database: Database, statements: list[str]) -> None:
    """Write as a superuser who need not check foreign keys; let the next ids follow ours."""
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]  # made here, of our own words
        for table in ("offers", "facts"):
            serial = f"pg_get_serial_sequence('{table}', 'id')"
            query = f"SELECT setval({serial}, (SELECT max(id) FROM {table}))"  # noqa: S608  # our own names
            connection.execute(query)
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
