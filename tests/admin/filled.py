"""A register of up to a million offers as sixty days leave it, told in facts and sealed.

Seeded: the same number of offers at the same moment gives the same register on both engines. The
intake would take an hour for it, so rows go in by bulk; `audit verify` finds nothing wrong in them.
"""

import base64
import gc
import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Table, func, insert, select

from proxy.database import Database
from proxy.keys import new_secret
from proxy.ledger import Ledger
from proxy.pace import PROBE_AFTER_S
from proxy.receipts import Signer
from proxy.schema import buckets, facts, offers
from proxy.seals import Seals, close
from tests.admin.stories import (
    DAY,
    MINUTE,
    NAMES,
    PAUSED,
    SHOPS,
    THROTTLED,
    Shop,
    tell,
    turned_away,
)

DAYS = 60
MILLION = 1_000_000
KEY = b"audit key of a test, 32 bytes at least"
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
AUDIENCE = "optout-proxy:test"

_REFUSED = {PAUSED: 40 * MINUTE, THROTTLED: MINUTE + 400}  # how long ago a credential was
_HMAC = ("api_key", "api_secret")
_EVENING = 60  # offers of the last ten minutes, however few there are in all
_FACT = tuple(column.name for column in facts.columns)
_SEALED_AT_ONCE = 20_000
_UNTIL = select(func.max(facts.c.id))


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put there."""

    offers: int
    facts: int
    now: int


def fill(
    database: Database, count: int = 2_000, *, now: int, days: int = DAYS, seal: bool = True
) -> Filled:
    """Put *count* offers of the *days* before *now* into the empty register of *database*.

    All but the facts of the last minute are sealed, under `SIGNING`, unless *seal* says not to.
    """
    gc.disable()  # of millions of short lists none is in a cycle
    put = _Sqlite(database) if database.is_sqlite else _Postgres(database)
    written = 0
    try:
        for rows, told in _days(count, now, days):
            put(offers, NAMES, rows)
            put(facts, _FACT, told)
            written += len(told)
    finally:
        put.close()
        gc.enable()
    with database.begin() as connection:
        connection.execute(insert(buckets), _buckets(now))
    if seal:
        _seal(database, now)
    return Filled(offers=count, facts=written, now=now)


def signer() -> Signer:
    """Return what the seals are signed with."""
    return Signer(SIGNING, AUDIENCE)


def lay_keys(folder: Path) -> None:
    """Write the keys that vouch for it to where a deployment in *folder* looks for them."""
    pem = SIGNING.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    keys = {"audit": base64.urlsafe_b64encode(KEY), "signing.pem": pem}
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    for name, content in keys.items():
        file = folder / "secrets" / name
        file.write_bytes(content)
        file.chmod(0o600)


def tables() -> str:
    """Return the settings of the shops, to stand before or after those of others."""
    partners = {shop.partner: shop.partner.lower() for shop in SHOPS}
    heads = [
        f"""[partners.{name}]
origins = ["https://{low}.example"]
signing_keys = [{{ kid = "{low}-1", secret = "{new_secret(test=True)}" }}]
"""
        for name, low in partners.items()
    ]
    return "\n".join([*heads, *map(_table, SHOPS)])


def _table(shop: Shop) -> str:
    names = ("client_id", "client_secret") if shop.api.startswith("xone") else _HMAC
    auth = ", ".join(f'{name} = "{shop.partner} {name}"' for name in names)
    return f"""[partners.{shop.partner}.upstreams.{shop.upstream}]
api = "{shop.api}"
base_url = "http://127.0.0.1:9"
partner_code = "{shop.partner}"
rate_per_second = {shop.rate}
report_on = "{"purchase" if shop.at_purchase else "decline"}"
{"hmac" if names is _HMAC else "oauth"} = {{ {auth} }}
"""


def _days(count: int, now: int, days: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield the rows of offers and of facts, a day at a time, in the order of their ids."""
    dice = Random(7)
    ledger = Ledger(KEY)
    fact_ids = itertools.count(1)
    offer_ids = itertools.count(1)
    for end, share in _spread(count, now, days):
        begin = end - DAY
        times = [begin + int(DAY * dice.random()) for _ in range(share)]
        if end == now:
            times[:_EVENING] = [now - 7_000 - 10_000 * nth for nth in range(min(share, _EVENING))]
        refused = {now - ago: partner for partner, ago in _REFUSED.items()} if end == now else {}
        times[len(times) - len(refused) :] = list(refused)
        stories = [
            turned_away(dice, ledger, next(offer_ids), at, refused[at])
            if at in refused
            else tell(dice, ledger, next(offer_ids), at, now)
            for at in sorted(times)
        ]
        told = sorted((fact for story in stories for fact in story.told), key=lambda one: one[0])
        rows = [[story.row[name] for name in NAMES] for story in stories]
        yield rows, [[next(fact_ids), *values] for _, values in told]


def _spread(count: int, now: int, days: int) -> Iterator[tuple[int, int]]:
    """Yield each day's end and its number of offers: more at the weekend, and growing."""
    weights = [(1.35 if day % 7 in (5, 6) else 1.0) * (1 + day / days) for day in range(days)]
    total, before, along = sum(weights), 0, 0.0
    for day, weight in enumerate(weights):
        along += weight
        upto = count if day == days - 1 else round(count * along / total)
        yield now - (days - 1 - day) * DAY, upto - before
        before = upto


# -- the database -----------------------------------------------------------------------------


class _Sqlite:
    """Rows into SQLite's file, past the pool and without a sync."""

    def __init__(self, database: Database) -> None:
        self._connection = sqlite3.connect(database.url.database or "")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA cache_size = -400000")

    def __call__(self, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(names))
        query = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
        self._connection.executemany(query, rows)
        self._connection.commit()

    def close(self) -> None:
        """Leave nothing in the log."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class _Postgres:
    """Rows into PostgreSQL by COPY, as a superuser who need not check foreign keys."""

    def __init__(self, database: Database) -> None:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(url)
        self._connection.execute("SET session_replication_role = replica")

    def __call__(self, table: Table, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        query = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                copy.write_row(row)

    def close(self) -> None:
        """Let the next id follow ours, and the planner know what is there."""
        for table in ("offers", "facts"):
            serial = f"pg_get_serial_sequence('{table}', 'id')"
            query = f"SELECT setval({serial}, (SELECT max(id) FROM {table}))"
            self._connection.execute(query)
        self._connection.commit()
        self._connection.autocommit = True
        self._connection.execute("VACUUM ANALYZE")
        self._connection.close()


def _buckets(now: int) -> list[dict[str, Any]]:
    """Return the pace of three credentials: one in order, one shut by a 429, one refused."""
    names = dict.fromkeys(column.name for column in buckets.columns)
    fine = names | {"next_us": (now - 30) * 1000, "shut_until": 0}
    paused_at = now - _REFUSED[PAUSED]
    refused = {"paused_at": paused_at, "probe_at": now + 90_000, "probe_delay": 8 * PROBE_AFTER_S}
    return [
        fine | {"bucket": _bucket("LAMPLIGHT")},
        fine | {"bucket": _bucket(THROTTLED), "shut_until": now + 4 * MINUTE},
        fine | refused | {"bucket": _bucket(PAUSED), "reason": "unauthorized"},
    ]


def _bucket(partner: str) -> str:
    return hashlib.sha256(partner.encode()).hexdigest()[:32]


def _seal(database: Database, now: int) -> None:
    """Close all but the last minute's facts into blocks, each as old as its last fact."""
    seals = Seals(signer().kid, SIGNING.sign)
    with database.begin() as connection:
        until = connection.execute(_UNTIL.where(facts.c.at < now - MINUTE)).scalar() or 0
        sealed = 0
        while sealed < until:
            upto = min(until, sealed + _SEALED_AT_ONCE)
            at = connection.execute(select(facts.c.at).where(facts.c.id == upto)).scalar_one()
            plan = seals.plan(connection, until=upto, now=at + 900, most=_SEALED_AT_ONCE)
            assert close(connection, [plan]) == [True]
            sealed = upto
