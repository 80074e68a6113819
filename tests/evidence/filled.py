"""A register full of a season's offers: seeded, so that every run sees the same figures.

Choices and purchases go through the intake, with their facts. Where a report stands afterwards is
written straight into its row: weeks of deliveries would be too slow, and the funnel reads rows.
"""

from collections.abc import Iterator
from random import Random
from uuid import UUID

from sqlalchemy import text

from proxy.choices import Choice, Message, Source
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from tests.core.conftest import AT_PURCHASE, Clock

DAY = 86_400_000
KEY = b"audit key of a test, 32 bytes at least"
SHOPS = (  # partner, upstream, product, offers a day, share that accepts
    ("LAMPLIGHT", "tickets", "event-ticket", 90, 0.31),
    ("LAMPLIGHT", "elements", "event-ticket", 40, 0.27),
    ("NORTHLINE", "travel", "trip-cancellation", 55, 0.42),
    ("NORTHLINE", "travel", "luggage", 25, 0.12),
)

# Which offers, and what becomes of them: only the last day's reports are still on their way.
_STANDS = {
    "choice = 'undecided' AND purchased AND id % 3 = 0": "choice = 'declined', implicit = true",
    "choice = 'declined' AND purchased": "report = 'delivered', due_at = NULL, attempts = 1",
    "report = 'held' AND {earlier}": "report = 'abandoned', due_at = NULL",
    "report = 'delivered' AND id % 211 = 0": "report = 'dead', outcome = 'offer_not_found'",
    "report = 'delivered' AND id % 997 = 0": "report = 'none', conflicts = 'purchase'",
    "choice = 'accepted' AND id % 503 = 0": "conflicts = 'acceptance'",
    "report = 'delivered' AND NOT {earlier} AND id % 5 = 0": "report = 'due', due_at = 0",
    "report = 'due' AND id % 4 = 0": "report = 'sending', due_at = 0",
    "report = 'delivered' AND id % 89 = 0": "reconciled = true",
}


def fill(database: Database, clock: Clock, days: int, scale: float = 1.0) -> None:
    """Record *days* of offers from the clock's day on; *scale* shrinks or grows the shops."""
    dice = Random(7)
    intake = Intake(database, Ledger(KEY), lambda _partner, _upstream: AT_PURCHASE)
    start = clock.now - clock.now % DAY
    for day in range(days):
        for shop in SHOPS:
            clock.now = start + day * DAY + dice.randrange(DAY // 2)
            weekend = 1.4 if day % 7 in (5, 6) else 1.0
            count = int(scale * shop[3] * weekend * dice.uniform(0.85, 1.15))
            intake.record_all(list(_shown(dice, clock.now, shop, count)))
    earlier = f"(created_at < {start + (days - 1) * DAY})"
    with database.begin() as connection:
        for where, change in _STANDS.items():
            statement = f"UPDATE offers SET {change} WHERE {where}"
            connection.execute(text(statement.format(earlier=earlier)))


def _shown(
    dice: Random, now: int, shop: tuple[str, str, str, int, float], count: int
) -> Iterator[Message]:
    """Yield what pages and servers say about *count* offers of one shop on one day."""
    partner, upstream, product, _, share = shop
    for _ in range(count):
        offer = str(UUID(int=dice.getrandbits(128), version=4))
        answers = (Choice.UNDECIDED, Choice.ACCEPTED, Choice.DECLINED)
        (choice,) = dice.choices(answers, (0.22, 0.78 * share, 0.78 * (1 - share)))
        bought = dice.random() < (0.9 if choice is not Choice.UNDECIDED else 0.3)
        late = choice is Choice.DECLINED and dice.random() < 0.01
        yield Message(
            partner=partner,
            upstream=upstream,
            offer=offer,
            choice=choice,
            id=str(UUID(int=dice.getrandbits(128), version=4)),
            seq=now,
            at=now,
            writer="server",
            source=Source.SERVER,
            purchased=bought and not late,
            order=f"ORDER-{offer[:8]}" if bought and not late else None,
            late=late,
            metadata={"product": product},
        )
