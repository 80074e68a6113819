"""The shop's orders against the register: what is missing there, what is extra, what contradicts.

Both are read side by side in the order of their offers, so that memory grows with neither. Knows
neither files nor columns, and writes nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, case, func, select

from proxy import removals
from proxy.choices import Choice
from proxy.missing import Told
from proxy.schema import offers

BATCH = 1_000  # declines reported in one commit

_PAGE = 2_000  # rows of the register fetched at once
_AFTERWARDS_MS = 86_400_000  # that an order may be younger than what its offer has last told
_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA cache_size = -16384;
    CREATE TABLE orders (
        offer TEXT PRIMARY KEY, line INTEGER, says TEXT, reference TEXT, at INTEGER, bought INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE missing (offer TEXT PRIMARY KEY) WITHOUT ROWID;
    BEGIN;
"""
_ADD = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_MISSING = "SELECT orders.* FROM missing JOIN orders USING (offer) ORDER BY offer"
# By our clock; for what a list of orders told by the order's, or it would be extra elsewhere.
_MOMENT = case(
    (offers.c.reconciled, func.coalesce(offers.c.chosen_at, offers.c.created_at)),
    else_=offers.c.created_at,
)
_KNOWN = select(
    offers.c.offer,
    offers.c.choice,
    offers.c.implicit,
    offers.c.purchased,
    offers.c.order_reference,
    offers.c.report,
    _MOMENT.label("moment"),
).execution_options(yield_per=_PAGE)

Period = tuple[int, int]


class Difference(StrEnum):
    """What is wrong with one offer, or with one row of the list."""

    MISSING = "missing"  # the orders have an answer, the register has none
    EXTRA = "extra"  # the register has an answer that the orders do not know
    CONTRADICTORY = "contradictory"  # both have one, and not the same; or another order
    BAD = "bad"  # the row can not be read, and is not guessed


class Order(NamedTuple):
    """What one row of the list says of one offer."""

    offer: str
    line: int
    says: Choice | None  # undecided: no answer is given; None: nothing here is believed
    order: str | None = None
    at: int | None = None  # ms
    bought: bool = False


class Bad(NamedTuple):
    """A row that is not taken, and why; the offer it names, so that it does not look unknown."""

    line: int
    why: str
    offer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One difference: a line of the file of cases."""

    kind: Difference
    offer: str | None = None
    order: str | None = None  # as the list has it
    order_hash: str | None = None  # of the register's
    orders: str | None = None  # what they say
    register: str | None = None  # what it says
    report: str | None = None
    line: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Whose offers are compared, and how."""

    partner: str
    upstream: str
    implies: bool  # `unanswered = "declined"`
    hash_of_order: Callable[[str | None], str | None]
    since: int | None = None  # ms; what the register does not know of before may have been removed

    def may_be_removed(self, order: Order) -> bool:
        """True where retention may have taken the offer: told again, it would be reported twice."""
        return self.since is not None and (order.at is None or order.at < self.since)


class Orders:
    """The rows of the list by offer, in a temporary database that nobody else can open."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # a file without a name
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Forget them all."""
        self._database.close()

    def take(self, found: Order | Bad, counts: Counter[str]) -> Iterator[Bad]:
        """Keep *found*; yield what is bad about it, or about it and an earlier row together."""
        if isinstance(found, Bad):
            yield found
        if found.offer is None:
            return
        new = found if isinstance(found, Order) else Order(found.offer, found.line, None)
        if self._database.execute(_ADD, new).rowcount:
            return
        query = "SELECT * FROM orders WHERE offer = ?"
        first = _order(self._database.execute(query, (new.offer,)).fetchone())
        if first.says and _content(first) == _content(new):
            counts["repeated"] += 1
            return
        yield from self._disbelieve(first, new)

    def _disbelieve(self, first: Order, new: Order) -> Iterator[Bad]:
        """Two rows of one offer differ: neither of them is guessed to be right."""
        if first.says:
            self._database.execute("UPDATE orders SET says = NULL WHERE offer = ?", (new.offer,))
            yield Bad(first.line, f"line {new.line} says otherwise of this offer", new.offer)
        if new.says:
            yield Bad(new.line, f"line {first.line} says otherwise of this offer", new.offer)

    def __iter__(self) -> Iterator[Order]:
        """Yield what the list says of every offer, in the order of the offers."""
        return map(_order, self._database.execute("SELECT * FROM orders ORDER BY offer"))

    def __len__(self) -> int:
        """Return how many offers the list names."""
        return int(self._database.execute("SELECT count(*) FROM orders").fetchone()[0])

    def period(self) -> Period | None:
        """Return the first and the last time that is given; None if none is."""
        query = "SELECT min(at), max(at) FROM orders WHERE says IS NOT NULL"
        first, last = self._database.execute(query).fetchone()
        return None if first is None else (first, last)

    def mark(self, order: Order) -> None:
        """Remember that the register is to be told of *order*."""
        self._database.execute("INSERT INTO missing VALUES (?)", (order.offer,))

    def marked(self, terms: Terms, now: int) -> Iterator[list[Told]]:
        """Yield what `mark` has remembered, in batches; *now* stands for a time not given."""
        rows = map(_order, self._database.execute(_MISSING))
        while batch := list(islice(rows, BATCH)):
            yield [_told(order, terms, now) for order in batch]


def _order(row: Sequence[Any]) -> Order:
    offer, line, says, reference, at, bought = row
    return Order(offer, line, Choice(says) if says else None, reference, at, bool(bought))


def _content(order: Order) -> tuple[Any, ...]:
    """Return what must be the same where an offer is in several rows, as with several articles."""
    return order.says, order.order, order.bought


# -- the comparison ---------------------------------------------------------------------------


def within_retention(connection: Connection, terms: Terms) -> Terms:
    """Return *terms* with the time before which retention has taken offers away."""
    end = removals.ends(connection).get(terms.partner)
    return terms if end is None else replace(terms, since=end + _AFTERWARDS_MS)


def period(connection: Connection, orders: Orders, terms: Terms) -> Period | None:
    """Return from when to when the orders are; where they give no time, their offers tell."""
    given = orders.period()
    if given:
        return given
    first = last = None
    for order, row in _side_by_side(iter(orders), _known(connection, terms)):
        if order and order.says and row:
            first = row.moment if first is None else min(first, row.moment)
            last = row.moment if last is None else max(last, row.moment)
    return None if first is None or last is None else (first, last)


def compare(
    connection: Connection,
    orders: Orders,
    terms: Terms,
    within: Period | None,
    counts: Counter[str],
) -> Iterator[Case | None]:
    """Yield every difference in the order of the offers, and None for an offer without one.

    *connection* must see one moment (`Database.snapshot`). What the register is to be told is
    marked in *orders*.
    """
    for order, row in _side_by_side(iter(orders), _known(connection, terms)):
        if order and order.says and row is None and terms.may_be_removed(order):
            counts["too old"] += 1
            yield None
            continue
        found = _judge(order, row, terms, within)
        if found is None:
            counts["alike"] += order is not None and order.says is not None
            yield None
            continue
        kind = found[0]
        counts[kind] += 1
        if kind is Difference.MISSING and order:
            counts[f"missing {order.says}"] += 1
            if order.says is not Choice.ACCEPTED:  # that one, only a page or a server can tell
                orders.mark(order)
        yield _case(found, order, row, terms)


def count(connection: Connection, terms: Terms) -> int:
    """Return how many offers the register knows of this partner and upstream."""
    query = select(func.count()).select_from(offers).where(*_ours(terms))
    return int(connection.execute(query).scalar_one())


def _ours(terms: Terms) -> tuple[ColumnElement[bool], ...]:
    return offers.c.partner == terms.partner, offers.c.upstream == terms.upstream


def _known(connection: Connection, terms: Terms) -> Iterator[Row[Any]]:
    """Yield the register's offers in the order of their bytes, as the list's are."""
    collation = "BINARY" if connection.dialect.name == "sqlite" else "C"
    query = _KNOWN.where(*_ours(terms)).order_by(offers.c.offer.collate(collation))
    return iter(connection.execute(query))


def _side_by_side(
    orders: Iterator[Order], rows: Iterator[Row[Any]]
) -> Iterator[tuple[Order | None, Row[Any] | None]]:
    order, row = next(orders, None), next(rows, None)
    while order is not None or row is not None:
        offer = min(one.offer for one in (order, row) if one is not None)
        here = order if order is not None and order.offer == offer else None
        there = row if row is not None and row.offer == offer else None
        yield here, there
        order = next(orders, None) if here else order
        row = next(rows, None) if there is not None else row


def _judge(
    order: Order | None, row: Row[Any] | None, terms: Terms, within: Period | None
) -> tuple[Difference, str] | None:
    answered = row is not None and row.choice != Choice.UNDECIDED
    if order is None:
        return _EXTRA if answered and _is_in(row, within) else None
    if order.says is None:
        return None
    found = _of_answers(order, row) if answered else _of_silence(order, row, terms)
    if found is None and row and order.order and row.order_reference not in (None, order.order):
        return Difference.CONTRADICTORY, "the order references differ"
    return found


_EXTRA = (Difference.EXTRA, "the orders do not know the offer")


def _of_silence(order: Order, row: Row[Any] | None, terms: Terms) -> tuple[Difference, str] | None:
    """The register has no answer."""
    if order.says is not Choice.UNDECIDED:
        return Difference.MISSING, "the register has no answer"
    if terms.implies and order.bought and not (row and row.purchased):
        return Difference.MISSING, "the register does not know that it was bought"
    return None


def _of_answers(order: Order, row: Any) -> tuple[Difference, str] | None:
    """The register has an answer."""
    if order.says is not Choice.UNDECIDED:
        same = order.says == row.choice
        return None if same else (Difference.CONTRADICTORY, "the answers differ")
    if row.implicit:
        return None
    return Difference.EXTRA, "the orders name the offer and have no answer"


def _is_in(row: Any, within: Period | None) -> bool:
    return within is not None and within[0] <= row.moment <= within[1]


def _case(
    found: tuple[Difference, str], order: Order | None, row: Row[Any] | None, terms: Terms
) -> Case:
    kind, why = found
    return Case(
        kind=kind,
        offer=order.offer if order else row.offer if row else None,
        order=order.order if order else None,
        order_hash=terms.hash_of_order(row.order_reference) if row else None,
        orders=str(order.says) if order else None,
        register=(row.choice + (", implicit" if row.implicit else "")) if row else None,
        report=row.report if row else None,
        line=order.line if order else None,
        why=why,
    )


def _told(order: Order, terms: Terms, now: int) -> Told:
    return Told(
        partner=terms.partner,
        upstream=terms.upstream,
        offer=order.offer,
        choice=str(order.says),
        at=now if order.at is None else order.at,
        purchased=order.bought,
        order=order.order if order.bought else None,
    )
