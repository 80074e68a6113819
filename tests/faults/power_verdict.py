"""Judge what a power cut left of the database by what the world had been told before it."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Connection
from sqlalchemy.exc import DBAPIError

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.receipts import load_audit_key
from proxy.schema import facts
from tests.faults.power_recording import Told

_NAMES = [column.name for column in facts.columns]
_FLAGS = {column.name for column in facts.columns if isinstance(column.type, Boolean)}

Row = tuple[Any, ...]
Fact = dict[str, Any]  # by column, and its `offer`


@dataclass
class World:
    """What was said, acknowledged and reported up to the cut, by records outside the database."""

    told: Mapping[str, Told]
    acknowledged: set[str] = field(default_factory=set)
    reported: Counter[str] = field(default_factory=Counter)


class Judge:
    """Opens databases as the product does; remembers which facts it has verified."""

    def __init__(self) -> None:
        self._verified: set[tuple[bytes, str, Row]] = set()

    def faults(self, folder: Path, world: World) -> list[str]:
        """Return what is wrong with the database in *folder*; nothing if the promise was kept."""
        database = Database(f"sqlite:///{folder}/optout.db", wall)
        try:
            key = b"".join(load_audit_key(path)[0] for path in folder.rglob("audit"))
            database.check()
            if not _is_migrated(database):
                migrate.upgrade(database)
            with database.begin() as connection:
                return list(self._faults(connection, world, key))
        except (ConfigurationError, DBAPIError) as error:
            return [f"it can not be opened: {error}"]
        finally:
            database.dispose()

    def _faults(self, connection: Connection, world: World, key: bytes) -> Iterator[str]:
        checked = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        if checked != ["ok"]:
            yield f"it is damaged: {checked[0]}"
            return
        query = f"SELECT {', '.join(_NAMES)} FROM facts ORDER BY offer_id, ordinal"
        rows = [tuple(row) for row in connection.exec_driver_sql(query).all()]
        query = "SELECT id, offer, choice, seq, message, report, facts, digest FROM offers"
        offers = {row.id: row for row in connection.exec_driver_sql(query).all()}
        found = [dict(zip(_NAMES, row, strict=True)) for row in rows]
        for fact in found:
            of = offers.get(fact["offer_id"])
            fact["offer"] = of.offer if of else None
        said = {fact["message"]: fact for fact in found if fact["message"]}
        yield from self._unsealed(rows, {row: of.offer for row, of in offers.items()}, key)
        yield from _chains(found, offers)
        yield from _messages(said, world)
        yield from _registers(said, offers, world)
        yield from _reports(found, world)

    def _unsealed(self, rows: list[Row], offers: Mapping[int, str], key: bytes) -> Iterator[str]:
        ledger = Ledger(key)
        for row in rows:
            fact = dict(zip(_NAMES, row, strict=True))
            offer = offers.get(fact["offer_id"], "")
            if (key, offer, row) in self._verified:
                continue
            fact |= {name: bool(fact[name]) for name in _FLAGS}
            if ledger.digest(fact, "tickets", offer) == fact["digest"]:
                self._verified.add((key, offer, row))
            else:
                yield f"fact {fact['id']} does not verify"


def _is_migrated(database: Database) -> bool:
    with database.read() as connection:
        query = "SELECT count(*) FROM sqlite_schema WHERE name = 'alembic_version'"
        return bool(connection.exec_driver_sql(query).scalar())


def _chains(found: list[Fact], offers: Mapping[int, Any]) -> Iterator[str]:
    """Facts are without a gap, and the offer knows their number and the last one's digest."""
    chains = {
        offer_id: list(group)
        for offer_id, group in itertools.groupby(found, key=lambda fact: fact["offer_id"])
    }
    for offer_id in sorted(chains.keys() - offers.keys()):
        yield f"facts of offer {offer_id}, which is not there"
    for offer_id, offer in offers.items():
        chain = chains.get(offer_id, [])
        if [fact["ordinal"] for fact in chain] != list(range(1, offer.facts + 1)):
            yield f"{offer.offer} has {offer.facts} facts, but not these {len(chain)}"
        elif chain and chain[-1]["digest"] != offer.digest:
            yield f"{offer.offer} does not know its last fact"


def _messages(said: Mapping[str, Fact], world: World) -> Iterator[str]:
    """What was acknowledged is there as it was said, and nothing that nobody said."""
    for id_ in sorted(world.acknowledged - said.keys()):
        told = world.told[id_]
        yield f"lost: {told.choice} {told.offer}, acknowledged"
    for id_, fact in said.items():
        kept = Told(id_, fact["offer"], fact["said"], fact["seq"], fact["said_at"])
        if world.told.get(id_) != kept:
            yield f"invented: {kept}"


def _registers(said: Mapping[str, Fact], offers: Mapping[int, Any], world: World) -> Iterator[str]:
    """The latest word of those that are there is the register's."""
    latest: dict[str, Told] = {}
    for told in sorted((world.told[id_] for id_ in said.keys() & world.told.keys()), key=_seq):
        latest[told.offer] = told
    for row in offers.values():
        told_last = latest.get(row.offer)
        if told_last is None:
            yield f"invented: {row.offer}"
        elif (row.choice, row.seq, row.message) != (told_last.choice, told_last.seq, told_last.id):
            yield f"{row.offer} is {row.choice}, but the latest word is {told_last.choice}"
        elif row.choice == "accepted" and row.report in ("due", "held"):
            yield f"{row.offer} was accepted and is still {row.report}"


def _seq(told: Told) -> int:
    return told.seq


def _reports(found: list[Fact], world: World) -> Iterator[str]:
    """What the insurer may have seen is known to have been claimed."""
    claims = Counter(fact["offer"] for fact in found if fact["kind"] == "delivery.claimed")
    for offer, times in world.reported.items():
        if claims[offer] < times:
            yield f"{offer} was reported {times} times and claimed {claims[offer]} times"
