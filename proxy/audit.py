"""The audit: every fact and every offer recomputed from what is on disk, with the audit key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, select

from proxy.ledger import Ledger
from proxy.schema import facts, offers

_PAGE = 2_000  # rows read at once
_STATE = ("choice", "report", "epoch", "conflicts")  # of an offer, told again by its last fact

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One row that is not what was written."""

    offer_id: int
    ordinal: int | None  # of the fact; None: the offer's own row
    why: str


def count(connection: Connection) -> int:
    """Return how many offers there are to verify."""
    return int(connection.execute(select(func.count()).select_from(offers)).scalar_one())


def verify(
    connection: Connection, ledger: Ledger, progress: Progress = lambda _offers: None
) -> Iterator[Wrong]:
    """Yield every row that is wrong, in the order of the offers; *progress* counts offers.

    *connection* must see one moment (`Database.snapshot`): offers and facts are read in turn.
    """
    last = 0
    while page := _page(connection, last):
        last = page[-1]["id"]
        chains = _chains(connection, page)
        for offer in page:
            yield from _judge(ledger, offer, chains.pop(offer["id"], []))
        progress(len(page))
    yield from _orphans(connection)


def _page(connection: Connection, after: int) -> list[RowMapping]:
    query = select(offers).where(offers.c.id > after).order_by(offers.c.id).limit(_PAGE)
    return list(connection.execute(query).mappings())


def _chains(connection: Connection, page: list[RowMapping]) -> dict[int, list[dict[str, Any]]]:
    query = (
        select(facts)
        .where(facts.c.offer_id.between(page[0]["id"], page[-1]["id"]))
        .order_by(facts.c.offer_id, facts.c.ordinal)
    )
    rows = (dict(row) for row in connection.execute(query).mappings())
    return {key: list(chain) for key, chain in groupby(rows, lambda row: row["offer_id"])}


def _judge(ledger: Ledger, offer: RowMapping, chain: list[dict[str, Any]]) -> Iterator[Wrong]:
    for expected, fact in enumerate(chain, start=1):
        if fact["ordinal"] != expected:
            yield Wrong(offer_id=offer["id"], ordinal=expected, why="the fact is missing")
            return
        if ledger.digest(fact, offer["upstream"], offer["offer"]) != fact["digest"]:
            yield Wrong(offer_id=offer["id"], ordinal=expected, why="the digest is wrong")
    for why in _faults_of_row(ledger, offer, chain):
        yield Wrong(offer_id=offer["id"], ordinal=None, why=why)


def _faults_of_row(ledger: Ledger, offer: RowMapping, chain: list[dict[str, Any]]) -> Iterator[str]:
    if offer["facts"] != len(chain):
        yield f"{offer['facts']} facts were written, {len(chain)} are there"
    if not chain:
        return
    last = chain[-1]
    if offer["digest"] != last["digest"]:
        yield "its last digest is not its last fact's"
    differing = [name for name in _STATE if offer[name] != last[name]]
    if differing:
        yield f"not what its last fact says: {', '.join(differing)}"
    told = {fact["order_hash"] for fact in chain} | {None}
    if ledger.hash_of_order(offer["order_reference"]) not in told:
        yield "no fact tells of its order reference"


def _orphans(connection: Connection) -> Iterator[Wrong]:
    known = exists().where(offers.c.id == facts.c.offer_id)
    query = select(facts.c.offer_id, facts.c.ordinal).where(~known)
    for row in connection.execute(query.order_by(facts.c.id)):
        yield Wrong(offer_id=row.offer_id, ordinal=row.ordinal, why="its offer is missing")
