"""The register on disk: offers read, locked and written together with their facts."""

from collections.abc import Collection, Iterable, Sequence
from operator import eq
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, text, update

from proxy.choices import Choice, Report
from proxy.ledger import Fact, Ledger, append
from proxy.prepared import Prepared
from proxy.register import Offer, forget
from proxy.schema import offers

Key = tuple[str, str, str]  # partner, upstream, offer

_NAMES = Offer._fields
_KEPT = ("id", "partner", "upstream", "offer", "created_at")  # by every change
_INSERT = Prepared(insert(offers).values({name: bindparam(name) for name in _NAMES}))
_UPDATE = Prepared(
    update(offers)
    .where(offers.c.id == bindparam("row_id"))
    .values({name: bindparam(name) for name in _NAMES if name not in _KEPT})
)
_LAST = select(func.coalesce(func.max(offers.c.id), 0))
_NEXT = text(
    "SELECT nextval(pg_get_serial_sequence('offers', 'id')) FROM generate_series(1, :count)"
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


def find(connection: Connection, key: Key) -> Offer | None:
    """Return the offer under *key*, if it is known."""
    row = connection.execute(OFFERS.where(*map(eq, _KEY, key))).first()
    return offer_of(row) if row else None


def lock(connection: Connection, keys: Iterable[Key], now: int) -> dict[Key, Offer]:
    """Return every offer of *keys*, locked till the end; new and undecided where it is not known.

    Rows are locked and added in one order, so that two writers can not wait for each other. Of two
    that add the same offer the later one fails and is run again; a new one that is not saved was
    never there.
    """
    wanted = sorted(set(keys))
    found = known(connection, wanted)
    missing = [key for key in wanted if key not in found]
    ids = _free_ids(connection, len(missing)) if missing else ()
    for row, (partner, upstream, offer) in zip(ids, missing, strict=True):
        new = Offer(id=row, partner=partner, upstream=upstream, offer=offer, created_at=now)
        found[partner, upstream, offer] = new
    return found


def known(connection: Connection, keys: Collection[Key]) -> dict[Key, Offer]:
    """Return those offers of *keys* that are on record, locked till the end."""
    names = (part.name for part in _KEY)
    parts = dict(zip(names, map(list, map(set, zip(*keys, strict=True))), strict=True))
    found = {(row[1], row[2], row[3]): row for row in connection.execute(_BY_KEY, parts)}
    return {key: offer_of(found[key]) for key in keys if key in found}


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
    new: set[int] = set()  # whose first fact this is
    sealed: list[dict[str, Any]] = []
    written: list[Offer] = []
    for offer, fact in changed:
        before = rows.get(offer.id)
        if before is None and offer.facts == 0:
            new.add(offer.id)
        moved = _carry(forget(offer), before)
        row, entry = ledger.seal(moved, fact)
        rows[offer.id] = row
        sealed.append(entry)
        written.append(row)
    _INSERT.run(connection, [_columns(rows[row], now) for row in sorted(new)])
    _UPDATE.run(connection, [_columns(rows[row], now) for row in rows.keys() - new])
    append(connection, sealed)
    return written


def _carry(offer: Offer, before: Offer | None) -> Offer:
    """Go on counting facts where the same batch has added some already."""
    if before is None:
        return offer
    return offer._replace(facts=before.facts, digest=before.digest)


def _columns(offer: Offer, now: int) -> dict[str, Any]:
    values = offer._asdict()
    values["choice"] = str(offer.choice)
    values["report"] = str(offer.report)
    values["conflicts"] = " ".join(sorted(offer.conflicts))
    values["row_id"], values["updated_at"] = offer.id, now
    return values


def _free_ids(connection: Connection, count: int) -> Iterable[int]:
    """Return ids for new rows; SQLite has one writer, which can count."""
    if connection.dialect.name == "sqlite":
        last = connection.execute(_LAST).scalar_one()
        return range(last + 1, last + 1 + count)
    return connection.execute(_NEXT, {"count": count}).scalars().all()
