"""The register on disk: offers read, locked and written together with their facts."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from operator import eq
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from proxy.choices import Choice, Report
from proxy.ledger import Fact, Ledger, append
from proxy.register import Offer, forget
from proxy.schema import offers

Key = tuple[str, str, str]  # partner, upstream, offer

_NAMES = tuple(field.name for field in fields(Offer))
_WRITTEN = tuple(name for name in _NAMES if name not in ("id", "partner", "upstream", "offer"))
_UPDATE = (
    update(offers)
    .where(offers.c.id == bindparam("row_id"))
    .values({name: bindparam(name) for name in _WRITTEN if name != "created_at"})
)
OFFERS = select(*(offers.c[name] for name in _NAMES))  # in the order that `offer_of` reads
_LOCKED = OFFERS.order_by(offers.c.id).with_for_update()
_BY_ID = _LOCKED.where(offers.c.id.in_(bindparam("ids", expanding=True)))
_KEY = (offers.c.partner, offers.c.upstream, offers.c.offer)
# Not as triples: SQLite reads the whole table for two of them.
_BY_KEY = _LOCKED.where(*(part.in_(bindparam(part.name, expanding=True)) for part in _KEY))


def offer_of(row: Row[Any]) -> Offer:
    """Return the offer that *row* of `OFFERS` holds."""
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["choice"] = Choice(values["choice"])
    values["report"] = Report(values["report"])
    values["conflicts"] = frozenset(values["conflicts"].split())
    return Offer(**values)


def values_of(offer: Offer) -> dict[str, Any]:
    """Return the columns of *offer*, all but its id and key."""
    values = {name: getattr(offer, name) for name in _WRITTEN}
    values["choice"] = str(offer.choice)
    values["report"] = str(offer.report)
    values["conflicts"] = " ".join(sorted(offer.conflicts))
    return values


def find(connection: Connection, key: Key) -> Offer | None:
    """Return the offer under *key*, if it is known."""
    row = connection.execute(OFFERS.where(*map(eq, _KEY, key))).first()
    return offer_of(row) if row else None


def lock(connection: Connection, keys: Iterable[Key], now: int) -> dict[Key, Offer]:
    """Return every offer of *keys*, made known as undecided where it is not, locked till the end.

    Rows are locked in one order, so that two writers can not wait for each other.
    """
    wanted = sorted(set(keys))
    found = _select(connection, wanted)
    missing = [key for key in wanted if key not in found]
    if not missing:
        return found
    _make_known(connection, missing, now)
    return found | _select(connection, missing)


def lock_ids(connection: Connection, ids: Sequence[int]) -> dict[int, Offer]:
    """Return the offers with these *ids*, locked till the end of the transaction."""
    rows = connection.execute(_BY_ID, {"ids": list(ids)})
    return {row[0]: offer_of(row) for row in rows}


def save(
    connection: Connection, ledger: Ledger, changed: Sequence[tuple[Offer, Fact]], now: int
) -> list[Offer]:
    """Write each offer as it now is and append its fact; return the offers as written.

    An offer may occur several times: each occurrence adds a fact, the last one is the row.
    """
    rows: dict[int, Offer] = {}
    sealed: list[dict[str, Any]] = []
    written: list[Offer] = []
    for offer, fact in changed:
        before = rows.get(offer.id)
        moved = _carry(forget(offer), before)
        row, entry = ledger.seal(moved, fact)
        rows[offer.id] = row
        sealed.append(entry)
        written.append(row)
    if rows:
        connection.execute(_UPDATE, [_parameters(offer, now) for offer in rows.values()])
        append(connection, sealed)
    return written


def unmake(connection: Connection, rows: Iterable[Offer]) -> None:
    """Take away what was made known only for messages that were then refused."""
    ids = [row.id for row in rows if row.facts == 0]
    if ids:
        connection.execute(delete(offers).where(offers.c.id.in_(ids)))


def _carry(offer: Offer, before: Offer | None) -> Offer:
    """Go on counting facts where the same batch has added some already."""
    if before is None:
        return offer
    return replace(offer, facts=before.facts, digest=before.digest)


def _parameters(offer: Offer, now: int) -> dict[str, Any]:
    values = values_of(offer)
    del values["created_at"]
    return values | {"row_id": offer.id, "updated_at": now}


def _select(connection: Connection, keys: Sequence[Key]) -> dict[Key, Offer]:
    names = (part.name for part in _KEY)
    parts = dict(zip(names, map(list, map(set, zip(*keys, strict=True))), strict=True))
    found = {(row[1], row[2], row[3]): row for row in connection.execute(_BY_KEY, parts)}
    return {key: offer_of(found[key]) for key in keys if key in found}


def _make_known(connection: Connection, keys: Sequence[Key], now: int) -> None:
    rows = []
    for partner, upstream, offer in keys:
        known = Offer(id=0, partner=partner, upstream=upstream, offer=offer)
        values = values_of(known) | {"created_at": now, "updated_at": now}
        rows.append(values | {"partner": partner, "upstream": upstream, "offer": offer})
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(offers).on_conflict_do_nothing(), rows)
