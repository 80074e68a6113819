"""The audit: every fact, offer and block recomputed from what is on disk.

With the audit key for facts, with the public signing keys for blocks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, column, exists, func, select
from sqlalchemy.exc import DBAPIError

from proxy import removals, seals
from proxy.ledger import CANONICAL, Ledger
from proxy.removals import Removal
from proxy.schema import blocks, facts, offers
from proxy.seals import Block

_PAGE = 2_000  # offers read at once
_MANY = 10_000  # facts, where only their digests are read

Progress = Callable[[int], None]

_Row = Sequence[Any]


def _as_stored(table: Table, names: Iterable[str]) -> Any:
    """Select columns without their types: one for each value would cost more than a fact's hash."""
    return select(*map(column, names)).select_from(table)


_TRUTH = {0: False, 1: True}  # in SQLite; whatever else somebody has written there stays wrong
_FACT = (*CANONICAL, "digest")
_OFFER_ID, _ORDINAL = _FACT.index("offer_id"), _FACT.index("ordinal")
_ORDER, _PURCHASED, _SUPERSEDED = map(_FACT.index, ("order_hash", "purchased", "superseded"))
_FACTS = _as_stored(facts, _FACT)
# What an index holds SQLite reads from there, though the row itself may say something else: only
# which rows to read, and in which order, comes from one.
_FOUND = select(facts.c.id.label("row"), facts.c.offer_id.label("of"), facts.c.ordinal.label("nth"))
_DIGESTS = _as_stored(facts, ("id", "partner", "digest")).order_by(facts.c.id)

_TOLD = ("partner", "choice", "report", "epoch", "conflicts", "digest")  # by an offer's last fact
_told = itemgetter(*map(_FACT.index, _TOLD))


class _Offer(NamedTuple):
    """What an offer's row says of itself."""

    id: int
    upstream: str
    offer: str
    facts: Any  # a number, unless somebody has written something else there
    order_reference: str | None
    purchased: int
    created_at: Any
    told: tuple[Any, ...]


_PLAIN = len(_Offer._fields) - 1
_OFFERS = _as_stored(offers, (*_Offer._fields[:_PLAIN], *_TOLD)).order_by(offers.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One row that is not what was written: of an offer, of its fact *ordinal*, or a block."""

    why: str
    offer_id: int | None = None
    ordinal: int | None = None  # of the fact; None: the offer's own row
    partner: str | None = None
    block: int | None = None


@dataclass(slots=True)
class Tally:
    """How much was seen while blocks were verified."""

    blocks: int = 0
    sealed: int = 0  # facts
    removed: int = 0  # of them, past their retention
    newer: int = 0  # facts that the next block will hold


def count(connection: Connection) -> int:
    """Return how many offers there are to verify."""
    return int(connection.execute(select(func.count()).select_from(offers)).scalar_one())


def count_blocks(connection: Connection) -> int:
    """Return how many blocks there are to verify."""
    return int(connection.execute(select(func.count()).select_from(blocks)).scalar_one())


def _rows(connection: Connection, query: Any) -> Sequence[_Row]:
    """Return what *query* finds, also where a text is none any more: the row can be named then."""
    try:
        return connection.execute(query).fetchall()
    except DBAPIError:
        if not _take_any_text(connection):
            raise
        return connection.execute(query).fetchall()


def _take_any_text(connection: Connection) -> bool:
    """Have SQLite hand out bytes that are no UTF-8, marked as such; False on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return False  # which lets no such text in
    driver: Any = connection.connection.driver_connection
    driver.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
    return True


# -- offers and their facts -------------------------------------------------------------------


def verify(
    connection: Connection, ledger: Ledger, progress: Progress = lambda _offers: None
) -> Iterator[Wrong]:
    """Yield every row that is wrong, in the order of the offers; *progress* counts offers.

    *connection* must see one moment (`Database.snapshot`): offers and facts are read in turn.
    """
    last = 0
    ends = removals.ends(connection)
    while page := _page(connection, last):
        chains = _chains(connection, last, page[-1].id)
        last = page[-1].id
        for offer in page:
            chain = chains.get(offer.id, [])
            yield from _judge(ledger, offer, chain, _removed(offer, chain, ends))
        progress(len(page))
    yield from _orphans(connection)


def _page(connection: Connection, after: int) -> list[_Offer]:
    rows = _rows(connection, _OFFERS.where(offers.c.id > after).limit(_PAGE))
    return [_Offer._make((*row[:_PLAIN], tuple(row[_PLAIN:]))) for row in rows]


def _chains(connection: Connection, after: int, until: int) -> dict[int, list[_Row]]:
    found = _FOUND.where(facts.c.offer_id > after, facts.c.offer_id <= until).subquery("found")
    query = _FACTS.join(found, facts.c.id == found.c.row).order_by(found.c.of, found.c.nth)
    chains: dict[int, list[_Row]] = {}
    for fact in _rows(connection, query):
        chains.setdefault(fact[_OFFER_ID], []).append(fact)
    return chains


def _removed(offer: _Offer, chain: list[_Row], ends: dict[str, int]) -> int:
    """Return how many of the offer's first facts went with blocks past their retention.

    That they lay in such blocks, and no others, is what the blocks that are left prove: an offer
    younger than the last block removed has lost none.
    """
    first: Any = chain[0][_ORDINAL] if chain else 1
    end = ends.get(offer.told[0], -1)  # of its partner
    if not isinstance(first, int) or not isinstance(offer.created_at, int):
        return 0
    return first - 1 if first > 1 and offer.created_at <= end else 0


def _judge(ledger: Ledger, offer: _Offer, chain: list[_Row], removed: int) -> Iterator[Wrong]:
    for fact in chain:
        if _digest(ledger, offer, fact) != fact[-1]:
            yield Wrong(offer_id=offer.id, ordinal=fact[_ORDINAL], why="the digest is wrong")
    there = {fact[_ORDINAL] for fact in chain}
    written = offer.facts if isinstance(offer.facts, int) else removed + len(chain)
    missing = next((n for n in range(removed + 1, written + 1) if n not in there), None)
    if missing is not None:
        yield Wrong(offer_id=offer.id, ordinal=missing, why="the fact is missing")
    for why in _faults_of_row(ledger, offer, chain, removed):
        yield Wrong(offer_id=offer.id, why=why)


def _digest(ledger: Ledger, offer: _Offer, fact: _Row) -> bytes | None:
    """Return the digest that *fact* should have; None if no fact was ever written like that."""
    values = list(fact[:-1])
    values[_PURCHASED] = _TRUTH.get(values[_PURCHASED], values[_PURCHASED])
    values[_SUPERSEDED] = _TRUTH.get(values[_SUPERSEDED], values[_SUPERSEDED])
    try:
        return ledger.digest_of([offer.upstream, offer.offer, *values])
    except TypeError:
        return None  # bytes where a text was


def _faults_of_row(ledger: Ledger, offer: _Offer, chain: list[_Row], removed: int) -> Iterator[str]:
    if offer.facts != removed + len(chain):
        yield f"{offer.facts} facts were written, {len(chain)} are there"
    if not chain:
        yield "no fact tells of it"
        return
    told = _told(chain[-1])
    if offer.told != told:
        pairs = zip(_TOLD, offer.told, told, strict=True)
        differing = [name for name, ours, last in pairs if ours != last]
        yield f"not what its last fact says: {', '.join(differing)}"
    if removed:
        return  # what its order reference and its purchase rest on may be gone
    reference = offer.order_reference
    if reference is not None and ledger.hash_of_order(reference) not in {
        fact[_ORDER] for fact in chain
    }:
        yield "no fact tells of its order reference"
    if offer.purchased != 0 and not any(fact[_PURCHASED] for fact in chain):
        yield "no fact tells of its purchase"


def _orphans(connection: Connection) -> Iterator[Wrong]:
    known = exists().where(offers.c.id == facts.c.offer_id)
    query = select(facts.c.offer_id, facts.c.ordinal).where(~known)
    for row in connection.execute(query.order_by(facts.c.id)):
        yield Wrong(offer_id=row.offer_id, ordinal=row.ordinal, why="its offer is missing")


# -- blocks -----------------------------------------------------------------------------------


def verify_blocks(
    connection: Connection,
    public_keys: dict[str, Any],
    tally: Tally,
    progress: Progress = lambda _blocks: None,
) -> Iterator[Wrong]:
    """Yield every block that is wrong, and every fact that was left out of one; fill *tally*.

    *connection* must see one moment. A block that was changed by one who has the signing key is
    known by the one after it, or by a seal that is kept elsewhere.
    """
    _take_any_text(connection)
    latest = seals.latest(connection)
    sealed_to = latest.last_fact if latest else 0
    chains = {one: _Chain(connection, one, public_keys) for one in seals.partners(connection)}
    for row, partner, digest in _digests(connection):
        chain = chains.get(partner)
        if chain:
            yield from chain.move(row)
        if chain and chain.holds(row):
            chain.digests.append(digest)
        elif row > sealed_to:
            tally.newer += 1
        else:
            yield _left_out(connection, row)
        if chain and chain.done:
            progress(chain.done)
            chain.done = 0
    for chain in chains.values():
        yield from chain.end()
        progress(chain.done)
    tally.blocks = sum(chain.seen for chain in chains.values())
    tally.sealed = sum(chain.sealed for chain in chains.values())
    tally.removed = sum(chain.removed for chain in chains.values())


def verify_kept(connection: Connection, kept: Iterable[Block]) -> Iterator[Wrong]:
    """Yield every block that is not what a seal *kept* elsewhere says, or is not there any more."""
    for seal in kept:
        found = seals.find(connection, seal.partner, seal.number)
        if found != seal:
            why = "it is not what the kept seal says" if found else "it is gone: the tail was cut"
            yield Wrong(partner=seal.partner, block=seal.number, why=why)


class _Chain:
    """One partner's blocks in their order, while the facts pass by."""

    def __init__(self, connection: Connection, partner: str, public_keys: dict[str, Any]) -> None:
        self._connection = connection
        self._partner = partner
        self._public_keys = public_keys
        self._page: list[Block] = []  # the next blocks, last first
        self._before: Block | None = None
        self.digests: list[bytes] = []
        self.done = 0  # blocks judged since somebody asked
        self.seen = 0
        self.sealed = 0
        self.removed = 0
        self._is_kept = False  # the block before
        self._gone: dict[int, Removal] = {}  # of the page at hand, by block
        self._block = self._next(0)

    def holds(self, row: int) -> bool:
        """True if the fact *row* lies in the block at hand."""
        return self._block is not None and row >= self._block.first_fact

    def move(self, row: int) -> Iterator[Wrong]:
        """Judge the blocks that end before the fact *row*."""
        while self._block and row > self._block.last_fact:
            yield from self._finish(self._block)

    def end(self) -> Iterator[Wrong]:
        """Judge what blocks are left when there are no more facts."""
        while self._block:
            yield from self._finish(self._block)

    def _finish(self, block: Block) -> Iterator[Wrong]:
        expected = self._before.number + 1 if self._before else 1
        if block.number != expected:
            yield Wrong(partner=self._partner, block=expected, why="the block is missing")
        removal = self._gone.pop(block.number, None)
        faults = list(self._faults(block, removal))
        if faults:
            yield Wrong(partner=self._partner, block=block.number, why="; ".join(faults))
        self.seen, self.done = self.seen + 1, self.done + 1
        self.sealed += len(self.digests)
        self.removed += block.count if removal else 0
        self._is_kept = removal is None
        self.digests = []
        self._before, self._block = block, self._next(block.number)

    def _faults(self, block: Block, removal: Removal | None) -> Iterator[str]:
        before = self._before
        if block.previous != (before.hash if before else None):
            yield "it does not follow from the block before"
        if removal:
            yield from self._faults_of_removal(block, removal)
        elif block.count != len(self.digests):
            yield f"{block.count} facts were sealed, {len(self.digests)} are there"
        elif not self._fits(block):
            yield "its facts are not those that were sealed, or not in that order"
        if block.total != block.count + (before.total if before else 0):
            yield "its total is wrong"
        if block.hash != seals.hash_of(block.payload):
            yield "its hash is wrong"
        if not block.is_signed(self._public_keys):
            yield "no key of ours has signed it"

    def _faults_of_removal(self, block: Block, removal: Removal) -> Iterator[str]:
        if self.digests:
            yield f"it was removed, and {len(self.digests)} of its facts are there"
        if not removal.is_of(block):
            yield "what was removed is not this block"
        if not removal.is_signed(self._public_keys):
            yield "no key of ours has signed its removal"
        if self._is_kept:
            yield "it was removed before an older one"

    def _fits(self, block: Block) -> bool:
        try:
            return seals.digest_of(self.digests) == block.digest
        except TypeError:
            return False  # something else than bytes was written there

    def _next(self, number: int) -> Block | None:
        if not self._page:
            self._page = seals.after(self._connection, self._partner, number, _PAGE)[::-1]
            gone = removals.after(self._connection, self._partner, number, _PAGE)
            self._gone |= {removal.number: removal for removal in gone}
        return self._page.pop() if self._page else None


def _digests(connection: Connection) -> Iterator[_Row]:
    last = 0
    while rows := _rows(connection, _DIGESTS.where(facts.c.id > last).limit(_MANY)):
        yield from rows
        last = rows[-1][0]


def _left_out(connection: Connection, row: int) -> Wrong:
    found = connection.execute(
        select(facts.c.offer_id, facts.c.ordinal).where(facts.c.id == row)
    ).one()
    why = "it lies in no block, though later facts are sealed"
    return Wrong(offer_id=found.offer_id, ordinal=found.ordinal, why=why)
