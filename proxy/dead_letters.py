"""Dead letters: a person makes them due again."""

from sqlalchemy import Connection

from proxy import store
from proxy.choices import Choice, Report, Source
from proxy.database import Database
from proxy.ledger import Fact, Ledger
from proxy.register import Offer
from proxy.reporting import is_ambiguous


class DeadLetters:
    """What was given up; safe to use from many threads."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def requeue(self, row: int, note: str = "") -> bool:
        """Make the dead letter *row* due again; False if it is none or may not be."""
        done: bool = self._database.write(self._requeue_each, (row, note), timeout=60.0)
        return done

    def _requeue_each(self, connection: Connection, asked: list[tuple[int, str]]) -> list[bool]:
        now = self._database.now(connection)
        rows = store.lock_ids(connection, [row for row, _ in asked])
        answers = []
        for row, note in asked:
            offer = rows.get(row)
            allowed = offer is not None and can_requeue(offer, now)
            answers.append(allowed)
            if offer is None or not allowed:
                continue
            rows[row] = offer = requeue(offer, now)
            fact = Fact(kind="delivery.requeued", at=now, source=Source.OPERATOR, note=note or None)
            store.save(connection, self._ledger, [(offer, fact)], now)
        return answers


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
