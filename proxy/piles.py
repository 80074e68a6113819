"""Dead letters in piles: those with the same reason at the same upstream. Bounded work each time.

A person decides for a pile as a whole. It is named by its reason, not by ids: what a form could
hold is little against what an insurer's wrong answer can leave behind in a night.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, case, func, or_, select

from proxy.browse import IS_DEAD
from proxy.reporting import AMBIGUOUS_AFTER_MS
from proxy.schema import offers

COUNTED = 20_000  # dead letters that are counted into piles

_NAMES = ("partner", "upstream", "outcome", "status")

Mark = tuple[int, int]  # when a dead letter last changed, and its id: the order within a pile
BEGIN: Mark = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pile:
    """Which dead letters: those of which all four are so."""

    partner: str
    upstream: str
    outcome: str | None
    status: int | None


def heaps(connection: Connection, now: int, *, most: int = COUNTED) -> tuple[list[RowMapping], int]:
    """Return each pile with its size, the largest first, and how many were counted in all.

    Where that is *most* there may be more.
    """
    columns = [offers.c[name] for name in (*_NAMES, "updated_at")]
    some = select(*columns, _is_stuck(now).label("stuck")).where(IS_DEAD).limit(most).subquery()
    of = [some.c[name] for name in _NAMES]
    size = func.count().label("size")
    query = select(
        *of,
        size,
        func.sum(case((some.c.stuck, 1), else_=0)).label("stuck"),
        func.min(some.c.updated_at).label("oldest"),
        func.max(some.c.updated_at).label("newest"),
    )
    found = connection.execute(query.group_by(*of).order_by(size.desc(), *of)).mappings().all()
    return list(found), sum(heap["size"] for heap in found)


def letters(
    connection: Connection, pile: Pile, now: int, *, after: Mark = BEGIN, limit: int
) -> Sequence[RowMapping]:
    """Return dead letters of *pile* past *after*, in order, and whether each is stuck."""
    query = _of(_shown(now), pile, after).order_by(*_ORDER).limit(limit)
    return connection.execute(query).mappings().all()


def named(connection: Connection, rows: Sequence[int], now: int) -> Sequence[RowMapping]:
    """Return those of *rows* that are dead letters."""
    query = _shown(now).where(offers.c.id.in_(rows), offers.c.report == "dead")
    return connection.execute(query.order_by(offers.c.id)).mappings().all()


def marks(connection: Connection, pile: Pile, *, after: Mark, until: int, limit: int) -> list[Mark]:
    """Return the next of *pile* past *after* that were dead at the time *until*."""
    query = _of(select(*_ORDER), pile, after).where(offers.c.updated_at <= until)
    found = connection.execute(query.order_by(*_ORDER).limit(limit))
    return [(row[0], row[1]) for row in found]


def size(connection: Connection, pile: Pile, *, after: Mark = BEGIN, most: int = COUNTED) -> int:
    """Return how many of *pile* lie past *after*; *most* may mean more."""
    some = _of(select(offers.c.id), pile, after).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _shown(now: int) -> Select[Any]:
    names = (*_NAMES, "id", "offer", "attempts", "unknown_at", "updated_at", "choice")
    return select(*(offers.c[name] for name in names), _is_stuck(now).label("stuck"))


_ORDER = (offers.c.updated_at, offers.c.id)  # of the partial index, within a partner


def _of(query: Select[Any], pile: Pile, after: Mark) -> Select[Any]:
    # `==` of None is IS NULL, which is meant.
    same = [offers.c[name] == getattr(pile, name) for name in ("outcome", "status")]
    # Not the bare column: SQLite would read all that the upstream ever had for what is dead of it.
    ours = [offers.c.partner == pile.partner, offers.c.upstream.concat("") == pile.upstream]
    at, row = after
    past = or_(offers.c.updated_at > at, offers.c.id > row)
    return query.where(IS_DEAD, *ours, *same, offers.c.updated_at >= at, past)


def _is_stuck(now: int) -> ColumnElement[bool]:
    """Nobody may send it again: its customer declines no more, or its key may be forgotten."""
    forgotten = and_(
        offers.c.unknown_at.is_not(None), offers.c.unknown_at <= now - AMBIGUOUS_AFTER_MS
    )
    return or_(offers.c.choice != "declined", forgotten)
