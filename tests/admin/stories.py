"""What becomes of one offer of a filled register: its row, and the facts that tell of it."""

import itertools
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from proxy.ledger import CANONICAL, Ledger
from proxy.schema import offers

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Shop:
    """What one partner sells beside its main product, and how its customers answer."""

    partner: str
    upstream: str
    product: str
    share: int  # of all offers, in per cent
    accepts: float
    at_purchase: bool = False  # its declines are held until the main product is bought
    api: str = "xcover-offers"
    rate: float = 20.0


SHOPS = (
    Shop("LAMPLIGHT", "tickets", "event-ticket", 38, 0.31),
    Shop("LAMPLIGHT", "elements", "event-ticket", 16, 0.27, at_purchase=True, api="xone-offers"),
    Shop("NORTHLINE", "travel", "trip-cancellation", 20, 0.42, at_purchase=True),
    Shop("NORTHLINE", "luggage", "luggage", 9, 0.12),
    Shop("HARBOUR", "ferries", "trip-cancellation", 12, 0.35, api="xcover-bookings"),
    Shop("OAKTREE", "concerts", "event-ticket", 5, 0.22),
)
_OF = list(itertools.accumulate(shop.share for shop in SHOPS))

# Per 10,000 offers of a finished day, what became of them; the rest is on its way, see `_kind`.
_ENDS = (
    ("undecided", 2_150),
    ("accepted", 2_280),
    ("cancelled", 60),
    ("delivered", 5_120),
    ("retried", 160),
    ("implied", 40),
    ("abandoned", 150),
    ("dead", 25),
    ("acceptance", 9),
    ("purchase", 6),
)
_ENDS_AT = list(itertools.accumulate(count for _, count in _ENDS))
PAUSED = "OAKTREE"  # its credential has been refused for forty minutes
THROTTLED = "HARBOUR"

NAMES = tuple(column.name for column in offers.columns)


@dataclass(slots=True)
class Story:
    """One offer while it is told: its row, and its facts in their order."""

    row: dict[str, Any]
    shop: Shop
    told: list[tuple[int, list[Any]]] = field(default_factory=list)


def tell(dice: Random, ledger: Ledger, row: int, at: int, now: int) -> Story:
    """Return what is on record at *now* of an offer that was shown at *at*."""
    shop = SHOPS[bisect(_OF, dice.randrange(100))]
    offer = _uuid(dice.getrandbits(128))
    story = Story(_row(shop, row, offer, at), shop)
    _KINDS[_kind(dice, shop, now - at)](story, dice, at, ledger)
    _finish(story, ledger)
    return story


def turned_away(dice: Random, ledger: Ledger, row: int, at: int, partner: str) -> Story:
    """Return what is on record where the insurer refused, at *at*, what it should have taken."""
    shop = next(shop for shop in SHOPS if shop.partner == partner)
    story = Story(_row(shop, row, _uuid(dice.getrandbits(128)), at - 6_000), shop)
    outcome, status = ("unauthorized", 401) if partner == PAUSED else ("throttled", 429)
    _due(story, dice, at - 6_000, ledger)
    _attempt(story, at - 500)
    _answer(story, at, "due", outcome, status, due=at)
    _finish(story, ledger)
    return story


def _kind(dice: Random, shop: Shop, age: int) -> str:
    """Return what becomes of an offer that was shown *age* ms ago: nothing may lie ahead of now."""
    kind = _ENDS[bisect(_ENDS_AT, dice.randrange(10_000))][0]
    if kind in ("accepted", "delivered"):
        kind = "accepted" if dice.random() < shop.accepts else "delivered"
    if kind == "implied" and age < 2 * HOUR:
        kind = "undecided"
    if kind == "abandoned" and (age <= DAY or not shop.at_purchase):
        kind = "held" if shop.at_purchase else "undecided"
    if kind == "delivered" and shop.at_purchase and age < 20 * HOUR and not dice.randrange(8):
        kind = "held"
    if kind == "delivered" and shop.partner == PAUSED and age < 40 * MINUTE:
        kind = "due"
    if kind not in ("undecided", "accepted") and age < 5 * MINUTE:
        kind = "delivered" if age > 50_000 else "due"
    return "sending" if 15_000 < age < 20_000 else kind  # there is always one


def _row(shop: Shop, row: int, offer: str, at: int) -> dict[str, Any]:
    names = dict.fromkeys(NAMES)
    return names | {
        "id": row,
        "partner": shop.partner,
        "upstream": shop.upstream,
        "offer": offer,
        "choice": "undecided",
        "seq": 0,
        "implicit": False,
        "late": False,
        "reconciled": False,
        "purchased": False,
        "conflicts": "",
        "metadata": "{}",
        "product": shop.product,
        "report": "none",
        "epoch": 1,
        "attempts": 0,
        "claims": 0,
        "facts": 0,
        "created_at": at,
    }


def _say(
    story: Story, dice: Random, at: int, choice: str | None, ledger: Ledger, *, buys: bool = False
) -> None:
    """The page or the partner's server tells a choice, a purchase, or both."""
    row = story.row
    message, writer = _uuid(dice.getrandbits(128)), _uuid(row["id"])
    if choice not in (None, "undecided"):
        row.update(choice=choice, seq=at, message=message, writer=writer, chosen_at=at - 240)
    order = None
    if buys:
        reference = f"ORDER-{row['id']:07}"
        row.update(purchased=True, purchased_seq=at, order_reference=reference)
        order = ledger.hash_of_order(reference)
    _note(
        story,
        at,
        "choice.recorded" if choice else "purchase.recorded",
        "page" if choice else "server",
        message=message,
        said=choice,
        seq=at,
        said_at=at - 240,
        writer=writer if choice else "server",
        purchased=buys,
        tries=1,
        order_hash=order,
    )


def _note(story: Story, at: int, kind: str, source: str, **told: Any) -> None:
    """Write down a fact, with the register as it is after it."""
    row = story.row
    row["facts"] += 1
    row["updated_at"] = at
    values = {
        "partner": row["partner"],
        "offer_id": row["id"],
        "ordinal": row["facts"],
        "kind": kind,
        "at": at,
        "source": source,
        "purchased": False,
        "choice": row["choice"],
        "report": row["report"],
        "epoch": row["epoch"],
        "conflicts": row["conflicts"],
        "superseded": False,
        **told,
    }
    story.told.append((at, [values.get(name) for name in CANONICAL]))


def _finish(story: Story, ledger: Ledger) -> None:
    """Seal the facts; the last one's digest is the row's."""
    head = [story.row["upstream"], story.row["offer"]]
    for _, values in story.told:
        values.append(ledger.digest_of([*head, *values]))
    story.row["digest"] = story.told[-1][1][-1]


def _attempt(story: Story, at: int) -> None:
    row = story.row
    row.update(report="sending", attempts=row["attempts"] + 1, attempt_at=at, due_at=at + 30_000)
    row.update(claim=f"{row['id']:032x}", claims=row["claims"] + 1, body="{}")
    _note(story, at, "delivery.claimed", "worker", attempt=row["attempts"], outcome=row["outcome"])


def _answer(
    story: Story, at: int, report: str, outcome: str, status: int | None, *, due: int | None = None
) -> None:
    row = story.row
    row.update(report=report, outcome=outcome, status=status, claim=None, claims=0, due_at=due)
    if report == "delivered":
        row["body"] = None
    kind = "delivery.dead" if report == "dead" else "attempt.finished"
    attempt = row["attempts"]
    _note(story, at, kind, "worker", attempt=attempt, outcome=outcome, status=status)


def _undecided(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _say(story, dice, at, "undecided", ledger)


def _accepted(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _say(story, dice, at, "accepted", ledger, buys=dice.random() < 0.9)


def _declined(story: Story, dice: Random, at: int, ledger: Ledger) -> int:
    """Decline, and buy what the report waits for; return when the report is due."""
    row = story.row
    row["late"] = dice.random() < 0.01
    if story.shop.at_purchase:
        row.update(report="held", due_at=at + DAY)
        _say(story, dice, at, "declined", ledger)
        bought = at + 2_000 + dice.randrange(40_000)
        row.update(report="due", due_at=bought)
        _say(story, dice, bought, None, ledger, buys=True)
        return bought
    row.update(report="due", due_at=at + 5_000)
    _say(story, dice, at, "declined", ledger, buys=dice.random() < 0.6)
    return at + 5_000


def _delivered(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    due = _declined(story, dice, at, ledger)
    if not dice.randrange(60):
        story.row["reconciled"] = True
    sent = due + 20 + dice.randrange(900)
    _attempt(story, sent)
    _answer(story, sent + 90 + dice.randrange(400), "delivered", "delivered", 204)


def _retried(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    sent = _declined(story, dice, at, ledger) + 40
    _attempt(story, sent)
    again = sent + 20_000 + dice.randrange(9_000)
    story.row["unknown_at"] = sent
    _answer(story, sent + 20_000, "due", "timed_out", None, due=again)
    _attempt(story, again)
    _answer(story, again + 300, "delivered", "delivered", 204)


def _implied(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _say(story, dice, at, "undecided", ledger, buys=True)
    story.row.update(choice="declined", implicit=True, report="due", due_at=at + HOUR)
    _note(story, at + HOUR, "choice.implied", "timer")
    _attempt(story, at + HOUR + 50)
    _answer(story, at + HOUR + 250, "delivered", "delivered", 204)


def _abandoned(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _held(story, dice, at, ledger)
    story.row.update(report="abandoned", due_at=None)
    _note(story, at + DAY, "report.abandoned", "timer")


def _held(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    story.row.update(report="held", due_at=at + DAY)
    _say(story, dice, at, "declined", ledger)


def _due(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    story.row.update(report="due", due_at=at + 5_000)
    _say(story, dice, at, "declined", ledger)


def _sending(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _due(story, dice, at, ledger)
    _attempt(story, at + 5_020)


def _dead(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    sent = _declined(story, dice, at, ledger) + 60
    _attempt(story, sent)
    outcome, status = dice.choice((("offer_not_found", 404), ("refused", 422), ("offer_gone", 410)))
    _answer(story, sent + 200, "dead", outcome, status)


def _cancelled(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _due(story, dice, at, ledger)
    story.row.update(report="cancelled", due_at=None)
    _say(story, dice, at + 2_500, "accepted", ledger, buys=True)


def _acceptance(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _delivered(story, dice, at, ledger)
    story.row["conflicts"] = "acceptance"
    _say(story, dice, story.told[-1][0] + 30_000, "accepted", ledger)


def _purchase(story: Story, dice: Random, at: int, ledger: Ledger) -> None:
    _say(story, dice, at, "accepted", ledger, buys=True)
    story.row["conflicts"] = "purchase"
    _say(story, dice, at + 90_000, "declined", ledger)


_KINDS: dict[str, Callable[[Story, Random, int, Ledger], object]] = {
    "undecided": _undecided,
    "accepted": _accepted,
    "cancelled": _cancelled,
    "delivered": _delivered,
    "retried": _retried,
    "implied": _implied,
    "abandoned": _abandoned,
    "dead": _dead,
    "acceptance": _acceptance,
    "purchase": _purchase,
    "due": _due,
    "sending": _sending,
    "held": _held,
}


def _uuid(bits: int) -> str:
    """Return a UUID of these *bits*; the class of that name takes ten times as long."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"
