"""Dead letters: a person makes them due again."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from proxy import store
from proxy.choices import Choice, Report, Source
from proxy.database import Database
from proxy.ledger import Fact, Ledger
from proxy.register import Offer
from proxy.reporting import is_ambiguous


class _Asked(NamedTuple):
    rows: Sequence[int]
    note: str
    by: str | None


class DeadLetters:
    """What was given up; safe to use from many threads."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def requeue(self, row: int, note: str = "", *, by: str | None = None) -> bool:
        """Make the dead letter *row* due again; False if it is none or may not be."""
        (done,) = self.requeue_all([row], note, by=by)
        return done

    def requeue_all(
        self, rows: Sequence[int], note: str = "", *, by: str | None = None
    ) -> list[bool]:
        """Make each of *rows* due again in one commit; False for each that may not be.

        *by* names the user who asks for it.
        """
        asked = _Asked(rows, note, by)
        done: list[bool] = self._database.write(self._requeue_each, asked, timeout=60.0)
        return done

    def _requeue_each(self, connection: Connection, asked: list[_Asked]) -> list[list[bool]]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [row for one in asked for row in one.rows])
        changed: list[tuple[Offer, Fact]] = []
        answers = []
        for one in asked:
            ours = {row for row in one.rows if row in rows and can_requeue(rows[row], now)}
            for row in sorted(ours):
                rows[row] = requeue(rows[row], now)
                changed.append((rows[row], _fact(one, now)))
            answers.append([row in ours for row in one.rows])
        store.save(connection, self._ledger, changed, now)
        return answers


def _fact(asked: _Asked, now: int) -> Fact:
    return Fact(
        kind="delivery.requeued",
        at=now,
        source=Source.OPERATOR,
        writer=asked.by,
        note=asked.note or None,
    )


def can_requeue(offer: Offer, now: int) -> bool:
    """Only a dead letter whose customer still declines, and not past what the insurer remembers."""
    if offer.report is not Report.DEAD or offer.choice is not Choice.DECLINED:
        return False
    return not is_ambiguous(offer, now)


def requeue(offer: Offer, now: int) -> Offer:
    """Make a dead letter due again: a new epoch after a definite answer, else the old key."""
    offer = offer._replace(report=Report.DUE, due_at=now, claims=0, claim=None)
    if offer.unknown_at is not None:
        return offer
    return offer._replace(epoch=offer.epoch + 1, attempts=0, attempt_at=None, body=None)
