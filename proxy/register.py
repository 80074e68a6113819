"""The register: what a message or a span of time does to one offer. Pure; knows no storage.

The table of design section 4, one function per column. Every function takes the row as it is
and returns the row as it should be.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from proxy.choices import Choice, Message, Report, Source

MAX_AHEAD_MS = 5 * 60 * 1000  # a `seq` further ahead of our clock counts as the time of receipt
ACCEPTANCE = "acceptance"  # accepted after a report may have left
ORDER = "order"  # two orders claim the same offer
PURCHASE = "purchase"  # declined after the offer was accepted and bought
UPSTREAM = "upstream"  # the insurer's answer contradicts what we know


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a partner's upstream wants to hear of a decline; spans in milliseconds."""

    on_purchase: bool
    settle_ms: int
    hold_ms: int
    implied_ms: int | None  # after the purchase, no answer counts as a decline; None: never


class Offer(NamedTuple):
    """One row of the register with the state of its report."""

    id: int
    partner: str
    upstream: str
    offer: str
    choice: Choice = Choice.UNDECIDED
    seq: int = 0
    message: str | None = None
    writer: str | None = None
    chosen_at: int | None = None
    implicit: bool = False
    late: bool = False
    reconciled: bool = False
    purchased: bool = False
    purchased_seq: int | None = None
    order_reference: str | None = None
    conflicts: frozenset[str] = frozenset()
    metadata: str = "{}"
    product: str | None = None
    customer: bytes | None = None
    customer_key: str | None = None
    report: Report = Report.NONE
    epoch: int = 1
    due_at: int | None = None
    claim: str | None = None
    attempts: int = 0
    claims: int = 0
    attempt_at: int | None = None
    unknown_at: int | None = None
    body: str | None = None
    outcome: str | None = None
    status: int | None = None
    facts: int = 0
    digest: bytes | None = None
    created_at: int = 0
    updated_at: int = 0

    @property
    def order(self) -> str | None:
        """The order reference, in the words of the answers."""
        return self.order_reference

    @property
    def conflict(self) -> bool:
        """True when a person must look."""
        return bool(self.conflicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The row after a message, and whether the message lost to a newer one."""

    offer: Offer
    superseded: bool


def say(offer: Offer, message: Message, policy: Policy, now: int, sent: int = 0) -> Said:
    """Apply *message* as received at *now*: its choice first, then its purchase.

    *sent* is the `seq` of the choice that stands as its writer sent it; 0 where that is not known.
    """
    said = _choose(offer, message, policy, now, sent)
    if message.purchased and not message.late:
        return replace(said, offer=_purchase(said.offer, message, policy, now))
    return said


def effective_seq(seq: int, now: int) -> int:
    """Return *seq*, or *now* where the writer's clock runs too far ahead of ours."""
    return now if seq > now + MAX_AHEAD_MS else seq


def _choose(offer: Offer, message: Message, policy: Policy, now: int, sent: int) -> Said:
    choice = message.choice
    if choice is None or choice is Choice.UNDECIDED:
        return Said(offer=offer, superseded=choice is not None and offer.choice is not choice)
    seq = effective_seq(message.seq, now)
    # A clock that runs too far ahead is wrong about the time, but right about its own order.
    order = (seq, offer.seq) if seq == message.seq else (message.seq, sent or offer.seq)
    if not _wins(offer, message, *order):
        return Said(offer=offer, superseded=True)
    before = offer.choice
    offer = offer._replace(
        choice=choice,
        seq=seq,
        message=message.id,
        writer=message.writer,
        chosen_at=message.at,
        implicit=False,
        late=message.late,
        reconciled=message.source is Source.RECONCILED,
    )
    accepted = choice is Choice.ACCEPTED
    offer = _accept(offer) if accepted else _decline(offer, before, policy, now)
    return Said(offer=offer, superseded=False)


def _wins(offer: Offer, message: Message, seq: int, last: int) -> bool:
    """The highest seq wins, acceptance wins a tie, and no other writer's acceptance is dropped."""
    if offer.choice is Choice.UNDECIDED or offer.implicit:
        return True
    if message.source is Source.RECONCILED:
        return False  # a list of orders says nothing over an answer
    corrects = message.choice is Choice.ACCEPTED and offer.choice is Choice.DECLINED
    return seq > last or (corrects and (seq == last or message.writer != offer.writer))


def _decline(offer: Offer, before: Choice, policy: Policy, now: int) -> Offer:
    match offer.report:
        case Report.NONE if PURCHASE in offer.conflicts or _bought_insured(offer, before):
            return offer._replace(conflicts=offer.conflicts | {PURCHASE})
        case Report.NONE:
            return _start(offer, policy, now)
        case Report.CANCELLED | Report.ABANDONED:
            return _start(_next_epoch(offer), policy, now)
        case Report.SENDING | Report.DELIVERED:
            return offer._replace(conflicts=offer.conflicts - {ACCEPTANCE})
        case _:
            return offer


def _bought_insured(offer: Offer, before: Choice) -> bool:
    """Accepted and purchased, and the decline was made after the purchase."""
    return (
        before is Choice.ACCEPTED
        and offer.purchased
        and offer.purchased_seq is not None
        and offer.seq > offer.purchased_seq
    )


def _start(offer: Offer, policy: Policy, now: int) -> Offer:
    if policy.on_purchase and not offer.purchased:
        return offer._replace(report=Report.HELD, due_at=now + policy.hold_ms)
    return offer._replace(report=Report.DUE, due_at=now + policy.settle_ms)


def _next_epoch(offer: Offer) -> Offer:
    """A new epoch has a new idempotency key, so nothing of the old one's attempts counts."""
    return offer._replace(
        epoch=offer.epoch + 1,
        attempts=0,
        claims=0,
        attempt_at=None,
        unknown_at=None,
        body=None,
    )


def _accept(offer: Offer) -> Offer:
    match offer.report:
        case Report.HELD | Report.ABANDONED:
            return cancel(offer)
        case Report.DUE | Report.DEAD:
            return cancel(offer, conflict=offer.unknown_at is not None)
        case Report.SENDING | Report.DELIVERED:
            return offer._replace(conflicts=offer.conflicts | {ACCEPTANCE})
        case Report.NONE:
            return offer._replace(due_at=None)  # an answer before the implied decline replaces it
        case _:
            return offer


def cancel(offer: Offer, *, conflict: bool = False) -> Offer:
    """Nothing is sent any more; *conflict* when a report may have left already."""
    conflicts = offer.conflicts | {ACCEPTANCE} if conflict else offer.conflicts
    return offer._replace(report=Report.CANCELLED, due_at=None, claim=None, conflicts=conflicts)


def _purchase(offer: Offer, message: Message, policy: Policy, now: int) -> Offer:
    if message.order and offer.order_reference and message.order != offer.order_reference:
        offer = offer._replace(conflicts=offer.conflicts | {ORDER})
    offer = offer._replace(order_reference=offer.order_reference or message.order)
    if offer.purchased:
        return offer
    seq = effective_seq(message.seq, now)
    told = offer.reconciled or message.source is Source.RECONCILED
    offer = offer._replace(purchased=True, purchased_seq=seq, reconciled=told)
    return _BOUGHT.get(offer.report, _unchanged)(offer, policy, now)


def forget(offer: Offer) -> Offer:
    """Erase what only a report needs, once there is none to send: metadata, customer, body."""
    ended = offer.report in _ENDED
    accepted = offer.choice is Choice.ACCEPTED and offer.report is not Report.SENDING
    if not ended and not accepted:
        return offer
    return offer._replace(metadata="{}", customer=None, customer_key=None, body=None)


_ENDED = frozenset({Report.DELIVERED, Report.CANCELLED, Report.ABANDONED})


def _unchanged(offer: Offer, _policy: Policy, _now: int) -> Offer:
    return offer


def _bought_held(offer: Offer, _policy: Policy, now: int) -> Offer:
    return offer._replace(report=Report.DUE, due_at=now)


def _bought_abandoned(offer: Offer, _policy: Policy, now: int) -> Offer:
    return _next_epoch(offer)._replace(report=Report.DUE, due_at=now)


def _bought_none(offer: Offer, policy: Policy, now: int) -> Offer:
    """The implicit rule: only where the partner says that no answer is a decline."""
    if offer.choice is not Choice.UNDECIDED or policy.implied_ms is None:
        return offer
    return offer._replace(due_at=now + policy.implied_ms)


_BOUGHT: dict[Report, Callable[[Offer, Policy, int], Offer]] = {
    Report.NONE: _bought_none,
    Report.HELD: _bought_held,
    Report.ABANDONED: _bought_abandoned,
}
