"""Pace: one bucket per base host and credential, shared by all workers through the database.

Permits are spaced 1/rate apart with a burst of 1, so no half-open second holds more than
rate + 1. A 429 shuts the bucket, a credential at fault pauses it; a probe opens it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from proxy.choices import Kind, Outcome
from proxy.prepared import Prepared
from proxy.schema import buckets

HORIZON_MS = 200  # how far ahead of its permit a row may be claimed
LONGEST_LEAD_MS = 2_000  # how far ahead permits are booked where commits are slow
PROBE_AFTER_S = 30.0
PROBE_CAP_S = 300.0
LONGEST_SHUT_MS = 15 * 60 * 1000  # what a Retry-After is clamped to
SHUT_S = 2.0  # a 429 that does not say how long

_NAMES = tuple(column.name for column in buckets.columns)
_UPDATE = Prepared(
    update(buckets)
    .where(buckets.c.bucket == bindparam("key"))
    .values({name: bindparam(name) for name in _NAMES if name != "bucket"})
)
_BY_KEY = (
    select(buckets)
    .where(buckets.c.bucket.in_(bindparam("keys", expanding=True)))
    .order_by(buckets.c.bucket)
    .with_for_update()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where the permits of one credential stand."""

    bucket: str
    next_us: int = 0
    shut_until: int = 0
    paused_at: int | None = None
    probe_at: int | None = None
    probe_delay: float | None = None
    suspect: int | None = None
    reason: str | None = None

    def claimable_at(self) -> int:
        """Return the earliest time in ms at which a claim can bring a row."""
        if self.paused_at is not None:
            return max(self.probe_at or 0, self.shut_until - HORIZON_MS)
        return max(self.next_us // 1000, self.shut_until) - HORIZON_MS


def lock(connection: Connection, keys: Iterable[str]) -> dict[str, Bucket]:
    """Return the buckets of *keys*, made where missing, locked till the end of the transaction.

    One that another transaction has made meanwhile is left out: to wait for it with others in hand
    would be out of their order, and so a deadlock.
    """
    wanted = sorted(set(keys))
    found = _by_key(connection.execute(_BY_KEY, {"keys": wanted}))
    missing = [{"bucket": key, "next_us": 0, "shut_until": 0} for key in wanted if key not in found]
    if not missing:
        return found
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    made = dialect.insert(buckets).on_conflict_do_nothing().returning(buckets)
    return found | _by_key(connection.execute(made, missing))


def save(connection: Connection, changed: Iterable[Bucket]) -> None:
    """Write these buckets."""
    rows = [{name: getattr(one, name) for name in _NAMES} for one in changed]
    _UPDATE.run(connection, [row | {"key": row["bucket"]} for row in rows])


def permits(bucket: Bucket, *, rate: float, now: int, most: int) -> list[int]:
    """Return when each of at most *most* permits is usable (ms), within the horizon; takes none."""
    if bucket.shut_until > now + HORIZON_MS:
        return []
    if bucket.paused_at is not None:
        return [now] if most and (bucket.probe_at or 0) <= now else []
    if rate <= 0:
        return [max(now, bucket.shut_until)] * most
    spacing = 1_000_000 / rate
    first = _first(bucket, spacing, now)
    last = (now + HORIZON_MS) * 1000
    usable = 0 if first > last else int((last - first) // spacing) + 1
    return [round(first + number * spacing) // 1000 for number in range(min(most, usable))]


def take(bucket: Bucket, *, rate: float, now: int, count: int) -> Bucket:
    """Return *bucket* after *count* of the permits just offered were taken."""
    if count and bucket.paused_at is not None:  # the next probe, should this one fail
        delay = min(PROBE_CAP_S, 2 * (bucket.probe_delay or PROBE_AFTER_S))
        return replace(bucket, probe_at=now + int(1000 * delay), probe_delay=delay)
    if not count or rate <= 0:
        return bucket
    spacing = 1_000_000 / rate
    return replace(bucket, next_us=round(_first(bucket, spacing, now) + count * spacing))


def _first(bucket: Bucket, spacing: float, now: int) -> float:
    """Return when the next permit is usable, in microseconds.

    Permits are never booked further ahead than lead and horizon: a time beyond it comes from a
    clock that was set back since, and must not stop deliveries until it is reached again.
    """
    furthest = (now + LONGEST_LEAD_MS + HORIZON_MS) * 1000 + spacing
    booked = bucket.next_us if bucket.next_us <= furthest else 0
    return max(booked, now * 1000, bucket.shut_until * 1000)


def learn(bucket: Bucket, row: int, outcome: Outcome, now: int) -> tuple[Bucket, int | None]:
    """Return *bucket* after *outcome* on *row*, and the row that alone was refused, if any."""
    match outcome.kind:
        case Kind.THROTTLED:
            shut = now + int(1000 * (outcome.retry_after or SHUT_S))
            return replace(bucket, shut_until=max(bucket.shut_until, shut)), None
        case Kind.SETUP:
            return _pause(bucket, outcome.reason, None, now), None
        case Kind.FORBIDDEN:
            return _forbidden(bucket, row, outcome, now), None
        case Kind.TRANSIENT:
            return bucket, None  # says nothing about the credential
        case _:
            return _works(bucket, row)


def _forbidden(bucket: Bucket, row: int, outcome: Outcome, now: int) -> Bucket:
    """One 403 is the row's or the credential's fault: a probe on another row tells."""
    if bucket.paused_at is None:
        return _pause(bucket, outcome.reason, row, now)
    confirmed = bucket.suspect is not None and bucket.suspect != row
    return _pause(bucket, outcome.reason, None if confirmed else bucket.suspect, now)


def _pause(bucket: Bucket, reason: str, suspect: int | None, now: int) -> Bucket:
    if bucket.paused_at is not None:  # what was in flight when it paused, or a probe that failed
        return replace(bucket, suspect=suspect, reason=reason)
    return replace(
        bucket,
        paused_at=now,
        probe_at=now + int(1000 * PROBE_AFTER_S),
        probe_delay=PROBE_AFTER_S,
        suspect=suspect,
        reason=reason,
    )


def _works(bucket: Bucket, row: int) -> tuple[Bucket, int | None]:
    if bucket.paused_at is None:
        return bucket, None
    condemned = bucket.suspect if bucket.suspect != row else None
    opened = replace(
        bucket, paused_at=None, probe_at=None, probe_delay=None, suspect=None, reason=None
    )
    return opened, condemned


def sane(bucket: Bucket, now: int) -> Bucket:
    """Return *bucket* without times that only a clock that was set back since can have written."""
    if bucket.shut_until > now + LONGEST_SHUT_MS:
        bucket = replace(bucket, shut_until=now)
    if bucket.probe_at is not None and bucket.probe_at > now + 1000 * PROBE_CAP_S:
        bucket = replace(bucket, probe_at=now)
    return bucket


def _by_key(rows: Iterable[Row[Any]]) -> dict[str, Bucket]:
    return {row[0]: Bucket(**dict(zip(_NAMES, row, strict=True))) for row in rows}
