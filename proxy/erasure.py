"""Erasure: the personal data of one offer goes, its choice, its report and its evidence stay.

A fact holds of order and metadata only a keyed hash, so that nothing on record must be altered.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, and_, or_, select, update

from proxy import store
from proxy.choices import Report, Source
from proxy.database import Database
from proxy.ledger import Fact, Ledger
from proxy.register import Offer
from proxy.reporting import AMBIGUOUS_AFTER_MS
from proxy.schema import offers

Patience = Callable[[str, str], int]  # by partner and upstream: ms in which a report may come

_HIGHEST_ID = 2**63 - 1
_DEAD_MS = 7 * 86_400_000  # that a dead letter keeps what a requeue would send
_PAGE = 500  # rows in one commit
_TRIES = 20  # to empty the log; a reader may be in the way
_WAIT_S = 0.1  # of each: while it waits nobody else can write
_PAUSE_S = 0.2


class Erased(StrEnum):
    """What became of one offer."""

    ERASED = "erased"
    NOTHING = "nothing"  # there was nothing personal
    SENDING = "sending"  # a request is under way: try again
    UNANSWERED = "unanswered"  # it may be sent again, with its key and so with its body
    UNKNOWN = "unknown"  # there is no such offer


class Found(NamedTuple):
    """An offer whose personal data may be erased."""

    id: int
    upstream: str
    offer: str


_Seen = tuple[int, int]  # a row, and when it last changed
_RESTS = or_(
    offers.c.report == str(Report.DEAD),
    and_(offers.c.report == str(Report.NONE), offers.c.due_at.is_(None)),
)
_KEPT = (
    select(offers.c.id, offers.c.partner, offers.c.upstream, offers.c.report, offers.c.updated_at)
    .where(_RESTS)
    .where(
        or_(
            offers.c.customer.is_not(None),
            offers.c.body.is_not(None),
            offers.c.metadata != "{}",
        )
    )
    .order_by(offers.c.id)
    .limit(_PAGE)
)


class _Asked(NamedTuple):
    rows: list[int]
    note: str
    by: str | None


class Erasures:
    """What a person erases, and what time does; safe to use from many threads."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def erase(
        self, rows: list[int], note: str = "", *, by: str | None = None
    ) -> tuple[list[Erased], bool]:
        """Erase the personal data of *rows*; False where SQLite's log could not be emptied of it.

        *by* names the user who asks for it. Raises ValueError for a row that can not be one, and
        StorageUnavailable.
        """
        if not all(0 < row <= _HIGHEST_ID for row in rows):
            raise ValueError("an id is a positive number")
        asked = _Asked(rows, note, by)
        came: list[Erased] = self._database.write(self._erase_each, asked, timeout=60.0)
        return came, self.empty_log()

    def forget_old(self, patience: Patience) -> int:
        """Take customer, metadata and body from what is not reported any more; say of how many.

        A dead letter keeps them for 7 days, an offer without a report as long as one may come.
        Adds no fact: it is what was promised when they were given. Raises StorageUnavailable.
        """
        count = 0
        for page in self._old(patience):
            count += int(self._database.write(_forget_each, page, timeout=60.0))
        return count

    def empty_log(self) -> bool:
        """Leave nothing of old pages in SQLite's log; False while a reader is in the way."""
        return not self._database.is_sqlite or _empty_log(self._database.url.database or "")

    def _old(self, patience: Patience) -> Iterator[list[_Seen]]:
        """Yield what is past its time, page by page; read beside the writer, it may be much."""
        last = 0
        while True:
            with self._database.read() as connection:
                now = self._database.now(connection)
                rows = connection.execute(_KEPT.where(offers.c.id > last)).all()
            old = [
                (row.id, row.updated_at)
                for row in rows
                if now - row.updated_at
                >= (_DEAD_MS if row.report == "dead" else patience(row.partner, row.upstream))
            ]
            if old:
                yield old
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def _erase_each(self, connection: Connection, asked: list[_Asked]) -> list[list[Erased]]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [row for one in asked for row in one.rows])
        answers = []
        for one in asked:
            fact = Fact(
                kind="offer.erased",
                at=now,
                source=Source.OPERATOR,
                writer=one.by,
                note=one.note or None,
            )
            answers.append([self._erase(connection, rows, row, fact) for row in one.rows])
        return answers

    def _erase(
        self, connection: Connection, rows: dict[int, Offer], row: int, fact: Fact
    ) -> Erased:
        offer = rows.get(row)
        came = foreseen(offer, fact.at)
        if offer is None or came is not Erased.ERASED:
            return came
        (rows[row],) = store.save(connection, self._ledger, [(erase(offer), fact)], fact.at)
        return came


def _forget_each(connection: Connection, pages: list[list[_Seen]]) -> list[int]:
    return [_forget(connection, page) for page in pages]


def _forget(connection: Connection, page: list[_Seen]) -> int:
    rows, changed = zip(*page, strict=True)
    forgotten = update(offers).values(metadata="{}", customer=None, customer_key=None, body=None)
    # Not as pairs: SQLite reads the whole table for them. What has changed since has a new time.
    seen = offers.c.id.in_(rows) & offers.c.updated_at.in_(set(changed))
    return connection.execute(forgotten.where(_RESTS, seen)).rowcount


def foreseen(offer: Offer | None, now: int) -> Erased:
    """Return what would become of *offer* if its personal data were erased now."""
    if offer is None:
        return Erased.UNKNOWN
    if offer.report is Report.SENDING:
        return Erased.SENDING
    if _is_unanswered(offer, now):
        return Erased.UNANSWERED
    return Erased.NOTHING if erase(offer) == offer else Erased.ERASED


def erase(offer: Offer) -> Offer:
    """Return *offer* without personal data; what is still to be sent is made anew without it."""
    return offer._replace(
        metadata=_product_of(offer.metadata),
        order_reference=None,
        customer=None,
        customer_key=None,
        body=None,
    )


def _is_unanswered(offer: Offer, now: int) -> bool:
    """True while a request that may have arrived can be repeated: one key never has two bodies."""
    if offer.unknown_at is None or offer.report not in (Report.DUE, Report.DEAD):
        return False
    return now - offer.unknown_at < AMBIGUOUS_AFTER_MS


def _product_of(metadata: str) -> str:
    kept = {name: value for name, value in json.loads(metadata).items() if name == "product"}
    return json.dumps(kept)


def matching(
    connection: Connection,
    partner: str,
    *,
    offer: str | None = None,
    upstream: str | None = None,
    order: str | None = None,
) -> list[Found]:
    """Return what *partner* has under an offer's id, or under an order reference."""
    query = select(offers.c.id, offers.c.upstream, offers.c.offer).where(
        offers.c.partner == partner
    )
    wanted = {offers.c.offer: offer, offers.c.upstream: upstream, offers.c.order_reference: order}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    return [Found(*row) for row in connection.execute(query.order_by(offers.c.id))]


def _empty_log(file: str) -> bool:
    """Move what SQLite's log holds into the database, and cut the log to nothing.

    Old pages in it hold what was erased. The writer can not do this: it is in a transaction.
    """
    with closing(sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None)) as connection:
        for _ in range(_TRIES):
            (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return True
            time.sleep(_PAUSE_S)
    return False
