"""The report of one decline: what a claim, an outcome or a span of time does to it.

Pure; knows no storage. The outcome classes are those of design section 10.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from proxy.choices import Choice, Kind, Outcome, Report
from proxy.register import ACCEPTANCE, UPSTREAM, Offer, cancel

AMBIGUOUS_AFTER_MS = 47 * 3600 * 1000  # the insurer remembers idempotency keys for 48 h
MAX_CLAIMS = 50  # claims in a row without an answer: the row itself must be what kills the worker
BACKOFF_MS = 2_000
BACKOFF_CAP_MS = 15 * 60 * 1000

Dice = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim gives a row: the fence, when it may leave and until when it is ours."""

    claim: str
    body: str
    send_at: int
    lease_until: int


def claim(offer: Offer, claimed: Claimed) -> Offer:
    """A request may leave from now on; the attempt is counted before it is sent."""
    return offer._replace(
        report=Report.SENDING,
        claim=claimed.claim,
        due_at=claimed.lease_until,
        attempts=offer.attempts + 1,
        claims=offer.claims + 1,
        attempt_at=claimed.send_at,
        body=offer.body or claimed.body,
    )


def finish(offer: Offer, outcome: Outcome, now: int, dice: Dice = random.random) -> Offer:
    """Write down how the attempt ended; the row is `sending` under this claim."""
    offer = offer._replace(
        claim=None, claims=0, outcome=outcome.reason, status=outcome.status, due_at=None
    )
    if outcome.kind is Kind.DELIVERED or _is_replay(offer, outcome):
        return offer._replace(report=Report.DELIVERED)
    if outcome.unknown:
        offer = _unknown(offer)
    if outcome.kind is Kind.REPEATED:
        offer = offer._replace(conflicts=offer.conflicts | {UPSTREAM})
    if offer.choice is not Choice.DECLINED:
        return _withdrawn(offer)
    if outcome.kind in (Kind.PERMANENT, Kind.REPEATED):
        return offer._replace(report=Report.DEAD)
    return _again(offer, outcome, now, dice)


def _withdrawn(offer: Offer) -> Offer:
    """The customer accepted meanwhile: a conflict only if the insurer may have heard of it.

    In a later epoch the conflict may be that of an earlier one, so a person looks.
    """
    if offer.epoch == 1:
        offer = offer._replace(conflicts=offer.conflicts - {ACCEPTANCE})
    return cancel(offer, conflict=offer.unknown_at is not None)


def _is_replay(offer: Offer, outcome: Outcome) -> bool:
    """A 409 tells that the key was used: by us, if an earlier attempt's answer is unknown."""
    return outcome.kind is Kind.REPEATED and offer.unknown_at is not None


def _unknown(offer: Offer) -> Offer:
    return offer._replace(unknown_at=offer.unknown_at or offer.attempt_at)


def _again(offer: Offer, outcome: Outcome, now: int, dice: Dice) -> Offer:
    if is_ambiguous(offer, now):
        return offer._replace(report=Report.DEAD, outcome="ambiguous")
    offer = offer._replace(report=Report.DUE)
    match outcome.kind:
        case Kind.TRANSIENT:
            return offer._replace(due_at=now + backoff_ms(offer.attempts, outcome, dice))
        case Kind.THROTTLED:  # the bucket waits, the row keeps its place and its attempt
            return offer._replace(due_at=now, attempts=max(0, offer.attempts - 1))
        case _:  # the credential pauses, the row keeps its place
            return offer._replace(due_at=now)


def is_ambiguous(offer: Offer, now: int) -> bool:
    """True when the insurer may soon have forgotten the key of an attempt we know nothing of."""
    return offer.unknown_at is not None and now - offer.unknown_at >= AMBIGUOUS_AFTER_MS


def backoff_ms(attempts: int, outcome: Outcome, dice: Dice) -> int:
    """Full jitter below a doubling ceiling of 2 s to 15 min, never before `Retry-After`."""
    ceiling = min(BACKOFF_CAP_MS, BACKOFF_MS << min(max(attempts - 1, 0), 20))
    wished = int((outcome.retry_after or 0) * 1000)
    return max(int(ceiling * dice()), min(wished, BACKOFF_CAP_MS))


def release(offer: Offer, now: int) -> Offer:
    """Hand back a claimed row that was never sent; its attempt does not count."""
    offer = offer._replace(
        claim=None,
        due_at=None,
        attempts=offer.attempts - 1,
        claims=max(0, offer.claims - 1),
    )
    if offer.choice is not Choice.DECLINED:
        return _withdrawn(offer)
    return offer._replace(report=Report.DUE, due_at=now)


def lapse(offer: Offer, now: int) -> Offer:
    """The lease ran out without a finish: the request may have left, its answer is unknown."""
    offer = _unknown(offer._replace(claim=None, due_at=None))
    if offer.choice is not Choice.DECLINED:
        return _withdrawn(offer)
    if offer.claims >= MAX_CLAIMS:
        return offer._replace(report=Report.DEAD, outcome="poison")
    if is_ambiguous(offer, now):
        return offer._replace(report=Report.DEAD, outcome="ambiguous")
    return offer._replace(report=Report.DUE, due_at=now)


def tick(offer: Offer, now: int) -> Offer:
    """Do what the row's `due_at` announced: lapse, abandon or imply."""
    match offer.report:
        case Report.SENDING:
            return lapse(offer, now)
        case Report.HELD:
            return offer._replace(report=Report.ABANDONED, due_at=None)
        case Report.NONE if offer.choice is Choice.UNDECIDED and offer.purchased:
            return offer._replace(
                choice=Choice.DECLINED, implicit=True, report=Report.DUE, due_at=now
            )
        case _:
            return offer._replace(due_at=None)


def condemn(offer: Offer, reason: str) -> Offer:
    """Make a waiting row a dead letter: only it was refused, not the credential."""
    return offer._replace(report=Report.DEAD, outcome=reason, due_at=None, claim=None)
