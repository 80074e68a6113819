"""Retention: facts older than a partner keeps them go, whole blocks at a time, oldest first.

An offer goes with its last fact. One that is on its way, or waits for its time, never does: its
block stays, with all that follow, until it has come to rest.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select, text, update

from proxy import removals, seals
from proxy.database import Database
from proxy.removals import Removal
from proxy.schema import facts, offers
from proxy.seals import Block, Sign

Keep = Callable[[], Mapping[str, int]]  # by partner, how many milliseconds records are kept

_BREATH_S = 0.05  # between two blocks: choices go first
_SHARE = 4  # of the time, one part at most is spent on removing
_PAGE = 200  # blocks looked at in one read
_NAMED = 500  # rows named in one statement
_LOCK = text("SELECT pg_try_advisory_xact_lock(7302110819)")  # one purges; any number of ours

_NOTHING_PERSONAL = {
    "order_reference": None,
    "metadata": "{}",
    "customer": None,
    "customer_key": None,
    "body": None,
}
_HAS_PERSONAL = or_(
    offers.c.order_reference.is_not(None),
    offers.c.metadata != "{}",
    offers.c.customer.is_not(None),
    offers.c.body.is_not(None),
)
_ON_ITS_WAY = ("held", "due", "sending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What has gone of one partner, or would go."""

    partner: str
    blocks: int = 0
    facts: int = 0
    offers: int = 0
    unsettled: int = 0  # of the offers, dead letters and conflicts that nobody has settled
    until: int | None = None  # when the last of the blocks was sealed

    def plus(self, other: "Purged") -> "Purged":
        """Return both together, *other* being the later."""
        return replace(
            self,
            blocks=self.blocks + other.blocks,
            facts=self.facts + other.facts,
            offers=self.offers + other.offers,
            unsettled=self.unsettled + other.unsettled,
            until=other.until or self.until,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """One block to go, and the time since when nothing may have changed in its offers."""

    block: Block
    removal: Removal
    since: int


class Retention:
    """Removes what is past its retention; any number of processes may have one."""

    def __init__(self, database: Database, kid: str, sign: Sign, keep: Keep) -> None:
        self._database = database
        self._kid = kid
        self._sign = sign
        self._keep = keep

    def purge(self, seconds: float = float("inf")) -> tuple[list[Purged], bool]:
        """Remove what is past its retention; return what went, and False if time ran out.

        Each block is a transaction of its own, so a purge that is killed is simply continued.
        Raises StorageUnavailable; what was removed until then stays removed.
        """
        end = time.monotonic() + seconds
        gone: list[Purged] = []
        for partner, kept in self._keep().items():
            went, began = Purged(partner=partner), time.monotonic()
            while (one := self._next(partner, kept)) is not None:
                went, now = went.plus(one), time.monotonic()
                if now >= end:
                    return [*gone, went], False
                time.sleep(max(_BREATH_S, (_SHARE - 1) * (now - began)))
                began = time.monotonic()
            if went.blocks:
                gone.append(went)
        return gone, True

    def _next(self, partner: str, kept: int) -> Purged | None:
        with self._database.read() as connection:
            now = self._database.now(connection)
            block = next(_past(connection, partner, now - kept), None)
            if block is None or _is_held(connection, block):
                return None
        removal = removals.removal_of(block, now=now, kid=self._kid, sign=self._sign)
        planned = _Planned(block=block, removal=removal, since=now - kept)
        went: Purged | None = self._database.write(_remove_each, planned, timeout=60.0)
        return went


def would(database: Database, keep: Mapping[str, int]) -> Iterator[Purged]:
    """Yield what a purge would remove now, writing nothing. Raises StorageUnavailable."""
    for partner, kept in keep.items():
        with database.snapshot() as connection:
            since = database.now(connection) - kept
            went = Purged(partner=partner)
            for block in _past(connection, partner, since):
                if _is_held(connection, block):
                    break
                went = went.plus(_measure(connection, block))
        if went.blocks:
            yield went


def _past(connection: Connection, partner: str, since: int) -> Iterator[Block]:
    """Yield the blocks of *partner* sealed before *since* whose facts are there, oldest first.

    Not the newest block of all: the ids of its facts say where the next one begins.
    """
    newest = seals.latest(connection)
    number = removals.newest(connection, partner)
    while page := seals.after(connection, partner, number, _PAGE):
        for block in page:
            if block.sealed_at >= since or newest is None or block.last_fact == newest.last_fact:
                return
            yield block
        number = page[-1].number


def _is_held(connection: Connection, block: Block) -> bool:
    """True while *block* has the last fact of an offer that has not come to rest."""
    lives = or_(offers.c.report.in_(_ON_ITS_WAY), offers.c.due_at.is_not(None))
    query = select(exists().where(_leaves_with(block), lives))
    return bool(connection.execute(query).scalar())


def _leaves_with(block: Block) -> ColumnElement[bool]:
    later = exists().where(facts.c.offer_id == offers.c.id, facts.c.id > block.last_fact)
    return offers.c.id.in_(_offers_of(block)) & ~later.correlate(offers)


def _facts_of(block: Block) -> ColumnElement[bool]:
    # Not the bare column: SQLite would take the index of messages, and read all of the partner's.
    partner = facts.c.partner.concat("")
    return (partner == block.partner) & facts.c.id.between(block.first_fact, block.last_fact)


def _offers_of(block: Block) -> Any:
    return select(facts.c.offer_id).where(_facts_of(block))


def _measure(connection: Connection, block: Block) -> Purged:
    """Return what goes with *block*."""
    unsettled = or_(offers.c.report == "dead", offers.c.conflicts != "")
    query = select(func.count(), func.count().filter(unsettled)).where(_leaves_with(block))
    count, waiting = connection.execute(query.select_from(offers)).one()
    return Purged(
        partner=block.partner,
        blocks=1,
        facts=block.count,
        offers=count,
        unsettled=waiting,
        until=block.sealed_at,
    )


def _remove_each(connection: Connection, asked: list[_Planned]) -> list[Purged | None]:
    return [_remove(connection, planned) for planned in asked]


def _remove(connection: Connection, planned: _Planned) -> Purged | None:
    """Remove one block's facts in the caller's transaction; None where that may not be (yet)."""
    block = planned.block
    if connection.dialect.name != "sqlite" and not connection.execute(_LOCK).scalar():
        return None  # it removes the very same facts
    if removals.newest(connection, block.partner) != block.number - 1:
        return None  # another was faster
    query = select(offers.c.id).where(offers.c.id.in_(_offers_of(block)))
    rows = connection.execute(query.order_by(offers.c.id).with_for_update()).scalars().all()
    if _is_held(connection, block):
        return None  # something has happened in between
    went = _measure(connection, block)
    removals.write(connection, planned.removal)
    connection.execute(delete(facts).where(_facts_of(block)))
    for first in range(0, len(rows), _NAMED):
        _let_go(connection, rows[first : first + _NAMED], planned.since)
    return went


def _let_go(connection: Connection, rows: Sequence[int], since: int) -> None:
    """Remove the offers of which no fact is left; take what is personal from those as old."""
    told = exists().where(facts.c.offer_id == offers.c.id)
    connection.execute(delete(offers).where(offers.c.id.in_(rows), ~told))
    # Only where there is something: each further block of theirs would write the rows anew.
    old = (offers.c.id.in_(rows), offers.c.updated_at < since, _HAS_PERSONAL)
    connection.execute(update(offers).where(*old).values(_NOTHING_PERSONAL))
