"""Offers by what is asked of them, page by page: bounded work over however many there are.

Ids grow with time. Where no index serves a filter, offers are read backwards by id, in windows,
until the page is full or patience ends; then the page says how far back it has looked.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from proxy.schema import offers

SIZE = 50  # rows of a page
PATIENCE_S = 0.1  # of one page's windows
_NARROW, _WIDE = 2_000, 32_000  # ids of a window; it grows while that is quick
_FEW = 4_000  # ids that are read at once where an index names them
_AT_ONCE = 500  # rows by id in one query
_TERMS = 50  # of one compound query
_SLACK_MS = 60_000  # between the order of ids and that of times: writers commit side by side

_SHOWN = (
    offers.c.id,
    offers.c.partner,
    offers.c.upstream,
    offers.c.offer,
    offers.c.choice,
    offers.c.report,
    offers.c.conflicts,
    offers.c.implicit,
    offers.c.late,
    offers.c.reconciled,
    offers.c.purchased,
    offers.c.order_reference,
    offers.c.attempts,
    offers.c.outcome,
    offers.c.status,
    offers.c.due_at,
    offers.c.created_at,
    offers.c.updated_at,
)
# Literal, not bound: a partial index serves a query only if its condition is in the text.
IS_DEAD: ColumnElement[bool] = literal_column("offers.report = 'dead'")
_IS_DUE: ColumnElement[bool] = literal_column("offers.report = 'due'")
_CONFLICTS: ColumnElement[bool] = literal_column("offers.conflicts <> ''")

Pair = tuple[str, str]  # partner and upstream
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which offers to show; None means any."""

    offer: str | None = None  # its id, or how that begins
    order: str | None = None
    partner: str | None = None
    upstream: str | None = None
    report: str | None = None
    choice: str | None = None
    conflict: bool | None = None
    late: bool | None = None
    implicit: bool | None = None
    since: int | None = None  # ms
    until: int | None = None  # ms, not itself
    before: int | None = None  # id: only older ones
    after: int | None = None  # id: only newer ones, the next of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Offers, newest first, and where to go on."""

    rows: Sequence[RowMapping]
    older: int | None = None  # `before` of the next page
    newer: int | None = None  # `after` of the page before
    reached: int | None = None  # ms: patience ended there, and there may be more


def page(
    connection: Connection, wanted: Wanted, *, size: int = SIZE, patience: float = PATIENCE_S
) -> Page:
    """Return the page of offers that fit *wanted*; *patience* is in seconds."""
    low, high = _bounds(connection, wanted)
    is_back = wanted.after is None
    walk = _Walk(connection=connection, query=_filtered(wanted), is_back=is_back, most=size + 1)
    ids = _few(connection, wanted)
    if ids is None:
        rows, rest = walk.through(low, high, patience)
    else:
        rows, rest = walk.among(one for one in ids if low <= one < high), (high, high)
    if not is_back and len(rows) <= size and rest[0] >= rest[1]:  # the newest are not so many
        return page(connection, replace(wanted, after=None), size=size, patience=patience)
    return _paged(connection, wanted, rows, size, rest)


def pairs(connection: Connection) -> list[Pair]:
    """Return each partner and upstream that has offers: one step into the index for each."""
    first = select(func.min(offers.c.partner).label("partner")).cte("firsts", recursive=True)
    following = (
        select(func.min(offers.c.partner))
        .where(offers.c.partner > first.c.partner)
        .scalar_subquery()
    )
    partners = first.union_all(select(following).where(first.c.partner.is_not(None)))
    lowest = select(func.min(offers.c.upstream)).where(offers.c.partner == partners.c.partner)
    both = (
        select(partners.c.partner, lowest.scalar_subquery().label("upstream"))
        .where(partners.c.partner.is_not(None))
        .cte("both_names", recursive=True)
    )
    higher = (
        select(func.min(offers.c.upstream))
        .where(offers.c.partner == both.c.partner, offers.c.upstream > both.c.upstream)
        .scalar_subquery()
    )
    whole = both.union_all(select(both.c.partner, higher).where(both.c.upstream.is_not(None)))
    found = select(whole.c.partner, whole.c.upstream).where(whole.c.upstream.is_not(None))
    return sorted((row[0], row[1]) for row in connection.execute(found))


def _paged(
    connection: Connection,
    wanted: Wanted,
    rows: Sequence[RowMapping],
    size: int,
    rest: tuple[int, int],
) -> Page:
    """Return *rows* as a page; *rest* is what was not looked at, if they are not more than fit."""
    low, high = rest
    is_more, rows = len(rows) > size, rows[:size]
    is_back = wanted.after is None
    tired = not is_more and low < high
    edge = rows[-1]["id"] if is_more else (high if is_back else low - 1)
    onward = edge if is_more or tired else None
    reached = _time_at(connection, high if is_back else low) if tired else None
    if is_back:
        newer = None if wanted.before is None else (rows[0]["id"] if rows else wanted.before - 1)
        return Page(rows=rows, older=onward, newer=newer, reached=reached)
    older = rows[0]["id"] if rows else low
    return Page(rows=rows[::-1], older=older, newer=onward, reached=reached)


# -- which ---------------------------------------------------------------------------------------


def _filtered(wanted: Wanted) -> Select[Any]:
    """Return the query for rows that fit, but for where it begins and ends."""
    query = select(*_SHOWN)
    if wanted.offer is not None:
        begins = func.substr(offers.c.offer, 1, len(wanted.offer))  # LIKE has no one meaning
        query = query.where(begins == wanted.offer)
    equal = {
        offers.c.order_reference: wanted.order,
        # Not the bare columns: SQLite would read an upstream's whole index for each window.
        offers.c.partner.concat(""): wanted.partner,
        offers.c.upstream.concat(""): wanted.upstream,
        offers.c.report: wanted.report,
        offers.c.choice: wanted.choice,
    }
    query = query.where(*(column == value for column, value in equal.items() if value is not None))
    flags = {offers.c.late: wanted.late, offers.c.implicit: wanted.implicit}
    query = query.where(*(column.is_(on) for column, on in flags.items() if on is not None))
    if wanted.conflict is not None:
        query = query.where(_CONFLICTS if wanted.conflict else offers.c.conflicts == "")
    if wanted.since is not None:
        query = query.where(offers.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(offers.c.created_at < wanted.until)
    return query


def _few(connection: Connection, wanted: Wanted) -> list[int] | None:
    """Return the ids among which all that fit are, where an index names them and they are few."""
    for query in _probes(connection, wanted):
        ids = list(connection.execute(query.limit(_FEW + 1)).scalars())
        if len(ids) <= _FEW:
            return ids
    return _named(connection, wanted) if wanted.offer else None


def _probes(connection: Connection, wanted: Wanted) -> Iterator[Select[Any]]:
    query = select(offers.c.id)
    waits = {"dead": IS_DEAD, "due": _IS_DUE}
    if wanted.report in waits:
        yield query.where(waits[wanted.report])
    if wanted.conflict:
        yield query.where(_CONFLICTS)
    if wanted.partner is not None:
        query = query.where(offers.c.partner == wanted.partner)
        if wanted.upstream is not None:
            query = query.where(offers.c.upstream == wanted.upstream)
        yield query
    elif wanted.upstream is not None:
        having = [pair for pair in pairs(connection) if pair[1] == wanted.upstream]
        if not having:
            yield query.where(literal(value=False))


def _named(connection: Connection, wanted: Wanted) -> list[int] | None:
    """Return the ids of the offer that is named, or else of those whose ids begin so."""
    having = [
        pair
        for pair in pairs(connection)
        if wanted.partner in (None, pair[0]) and wanted.upstream in (None, pair[1])
    ]
    name = wanted.offer or ""
    found = list(_each(connection, having, [offers.c.offer == name]))
    if found or not _goes_by_bytes(connection):
        return found or None
    begins = [offers.c.offer >= name, offers.c.offer < f"{name}~"]  # after all that an id may hold
    found = list(_each(connection, having, begins))
    return found if len(found) <= _FEW else None


def _each(
    connection: Connection, having: Sequence[Pair], also: list[ColumnElement[bool]]
) -> Iterator[int]:
    """Yield the ids of what fits, of each pair in turn: that is how the unique index is ordered."""
    for some in _batches(having, _TERMS):
        terms = [
            select(offers.c.id).where(
                offers.c.partner == partner, offers.c.upstream == upstream, *also
            )
            for partner, upstream in some
        ]
        yield from connection.execute(union_all(*terms).limit(_FEW + 1)).scalars()


def _goes_by_bytes(connection: Connection) -> bool:
    """True where text is ordered as bytes: then ids that begin alike stand together."""
    return bool(connection.execute(select(literal("B") < literal("a"))).scalar())


# -- how far -------------------------------------------------------------------------------------


def _bounds(connection: Connection, wanted: Wanted) -> tuple[int, int]:
    """Return the lowest id to look at, and the one after the highest."""
    least = connection.execute(select(func.min(offers.c.id))).scalar() or 0
    most = connection.execute(select(func.max(offers.c.id))).scalar() or 0
    low, high = least, most + 1
    if wanted.since is not None:
        low = _first_since(connection, wanted.since - _SLACK_MS, low, high)
    if wanted.until is not None:
        high = _first_since(connection, wanted.until + _SLACK_MS, low, high)
    if wanted.before is not None:
        high = min(high, wanted.before)
    if wanted.after is not None:
        low = max(low, wanted.after + 1)
    return low, high


def _first_since(connection: Connection, at: int, low: int, high: int) -> int:
    """Return the first id whose offer was made known at *at* or later, by halving."""
    query = select(offers.c.id, offers.c.created_at).order_by(offers.c.id).limit(1)
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(query.where(offers.c.id >= middle)).first()
        if found is None or found.created_at >= at:
            high = middle
        else:
            low = found.id + 1
    return low


def _time_at(connection: Connection, row: int) -> int | None:
    query = select(offers.c.created_at).where(offers.c.id >= row).order_by(offers.c.id).limit(1)
    return connection.execute(query).scalar()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """A way through the ids from one end, backwards or not, until so many rows are found."""

    connection: Connection
    query: Select[Any]
    is_back: bool
    most: int

    def through(
        self, low: int, high: int, patience: float
    ) -> tuple[list[RowMapping], tuple[int, int]]:
        """Return what fits of *low* to below *high*, and what of that was not looked at."""
        began = since = time.monotonic()
        found: list[RowMapping] = []
        width = _NARROW
        while low < high and len(found) < self.most:
            first = max(low, high - width) if self.is_back else low
            last = high if self.is_back else min(high, low + width)
            found += self._some([offers.c.id >= first, offers.c.id < last], len(found))
            low, high = (low, first) if self.is_back else (last, high)
            took, since = time.monotonic() - since, time.monotonic()
            if since - began >= patience:
                break
            width = min(2 * width, _WIDE) if took < patience / 8 else max(width // 2, _NARROW)
        return found, (low, high)

    def among(self, ids: Iterable[int]) -> list[RowMapping]:
        """Return what fits of *ids*."""
        found: list[RowMapping] = []
        for some in _batches(sorted(ids, reverse=self.is_back), _AT_ONCE):
            if len(found) < self.most:
                found += self._some([offers.c.id.in_(some)], len(found))
        return found

    def _some(self, which: list[ColumnElement[bool]], found: int) -> Sequence[RowMapping]:
        order = offers.c.id.desc() if self.is_back else offers.c.id
        query = self.query.where(*which).order_by(order).limit(self.most - found)
        return self.connection.execute(query).mappings().all()


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[start : start + size] for start in range(0, len(values), size))
