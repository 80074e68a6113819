"""Offers of the test's partner on record, brought to where a test needs them."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from proxy.audit import verify
from proxy.choices import Kind, Outcome
from proxy.clocks import wall
from proxy.leases import Lane, Wanted
from proxy.ledger import Ledger
from proxy.schema import actions, facts, offers
from proxy.upstreams import APIS
from tests.admin.dashboard import Dashboard
from tests.core.conftest import DELIVERED, REFUSED, TIMED_OUT, a_message

PAIR = ("ACME", "tickets")
LANE = Lane(bucket="bucket-1", rate=0.0, apis={PAIR: APIS["xcover-offers"]})
REFUSED_WITH = Outcome(
    kind=Kind.PERMANENT, reason="refused", status=422, detail="customer.email is wrong"
)
__all__ = ["DELIVERED", "REFUSED", "REFUSED_WITH", "TIMED_OUT"]


def say(dashboard: Dashboard, offer: str, choice: str | None = "declined", **only: Any) -> int:
    """Record a message about an offer; return its row."""
    now = wall()
    values = {"upstream": "tickets", "seq": now, "at": now} | only
    dashboard.service.intake.record(a_message(offer, choice, **values))
    found = dashboard.rows("SELECT id FROM offers WHERE offer = :offer", offer=offer)
    return int(found[0]["id"])


def attempt(dashboard: Dashboard, row: int, outcome: Outcome | None = None) -> None:
    """Send *row* at once, and have it end so; without an outcome it is under way."""
    dashboard.execute("UPDATE offers SET due_at = 0 WHERE id = :row", row=row)
    taken = dashboard.service.outbox.claim(Wanted(lanes=[LANE], free=1, lease_ms=30_000))
    (delivery,) = taken.deliveries
    assert delivery.row == row
    if outcome:
        assert dashboard.service.outbox.finish(delivery, LANE.bucket, outcome)


def dead(dashboard: Dashboard, offer: str, outcome: Outcome = REFUSED, **only: Any) -> int:
    """Put a dead letter on record."""
    row = say(dashboard, offer, **only)
    attempt(dashboard, row, outcome)
    return row


def offer(dashboard: Dashboard, row: int) -> dict[str, Any]:
    """Return the row."""
    with dashboard.database.read() as connection:
        found = connection.execute(select(offers).where(offers.c.id == row)).mappings().one()
    return dict(found)


def told(dashboard: Dashboard, kind: str) -> list[tuple[str | None, str | None]]:
    """Return who wrote the facts of a kind, and the notes in them."""
    query = select(facts.c.writer, facts.c.note).where(facts.c.kind == kind).order_by(facts.c.id)
    with dashboard.database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]


def done(dashboard: Dashboard, action: str) -> Iterator[tuple[str, str | None]]:
    """Yield who did *action*, and to what."""
    query = select(actions.c.user, actions.c.subject).where(actions.c.action == action)
    with dashboard.database.read() as connection:
        yield from ((row[0], row[1]) for row in connection.execute(query))


def is_intact(dashboard: Dashboard) -> bool:
    """Tell whether every fact is as it was sealed."""
    with dashboard.database.snapshot() as connection:
        return not list(verify(connection, Ledger(dashboard.service.audit_key)))
