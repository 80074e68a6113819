"""The overview: how the whole deployment stands, in two ways.

The funnel is counted over every offer, which takes seconds: `Counting` does it beside the requests.
What a person must know at once is read with bounded work, however much there is on record.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    cast,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from proxy import funnel, seals
from proxy.aside import Aside
from proxy.database import Database
from proxy.funnel import Counts, Line, Wanted
from proxy.schema import buckets, facts, offers
from proxy.seals import Block

DAYS = 90  # of which each is kept apart
MANY = 1_000  # up to here dead letters and conflicts are counted
MINUTE_MS, DAY_MS = 60_000, 86_400_000
_SAMPLE = 500  # deliveries whose lateness is measured
_WINDOW = 20_000  # the newest facts, of which they are taken
_PAIRS = 200  # partners' upstreams that are asked one by one
_TERMS = 50  # of one compound query
_STOPPED = 20  # credentials that are named
_AROUND = 1_000  # facts on each side: writers commit side by side

# Literal, not bound: a partial index serves a query only if its condition is in the text.
_DEAD: ColumnElement[bool] = literal_column("offers.report = 'dead'")
_CONFLICT: ColumnElement[bool] = literal_column("offers.conflicts <> ''")
_DUE: ColumnElement[bool] = literal_column("offers.report = 'due'")
_MADE_DUE = ("choice.recorded", "purchase.recorded", "choice.implied", "delivery.requeued")

Pair = tuple[str, str]  # partner and upstream


# -- counted beside the requests --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Funnel:
    """Every offer, by day for the last `DAYS`, and the older ones together."""

    today: date
    recent: dict[date, dict[Pair, Counts]]
    older: dict[Pair, Counts]
    kept: tuple[tuple[str, date], ...]  # by partner, the first day of which nothing is gone

    @property
    def pairs(self) -> list[Pair]:
        """Return whose offers there are, by name."""
        found = set(self.older)
        for day in self.recent.values():
            found |= set(day)
        return sorted(found)

    def over(self, days: int, partner: str | None, upstream: str | None) -> list[Line]:
        """Return the counts of each of the last *days*, without a gap."""
        first = self.today - timedelta(days=days - 1)
        every = (first + timedelta(days=day) for day in range(days))
        return [Line((day.isoformat(),), self._of(day, partner, upstream)) for day in every]

    def by_pair(self, days: int) -> dict[Pair, Counts]:
        """Return the counts of the last *days* by partner and upstream."""
        first = self.today - timedelta(days=days - 1)
        found: dict[Pair, Counts] = {}
        for day, lines in self.recent.items():
            for pair, counts in lines.items() if day >= first else ():
                found[pair] = found.get(pair, Counts()).plus(counts)
        return found

    def _of(self, day: date, partner: str | None, upstream: str | None) -> Counts:
        return together(
            counts
            for pair, counts in self.recent.get(day, {}).items()
            if partner in (None, pair[0]) and upstream in (None, pair[1])
        )


def together(counts: Iterable[Counts]) -> Counts:
    """Return the sum of *counts*."""
    whole = Counts()
    for one in counts:
        whole = whole.plus(one)
    return whole


def count(aside: Aside) -> Funnel:
    """Count every offer once, in one moment. Raises StorageUnavailable."""
    with aside.snapshot() as connection:
        today = datetime.fromtimestamp(aside.now(connection) / 1000, UTC).date()
        first = (today - timedelta(days=DAYS - 1)).isoformat()
        wanted = funnel.kept(connection, Wanted(by=("day", "partner", "upstream")))
        recent: dict[date, dict[Pair, Counts]] = {}
        older: dict[Pair, Counts] = {}
        for (day, *names), counts in funnel.lines(connection, wanted):
            pair = (names[0], names[1])
            if day < first:
                older[pair] = older.get(pair, Counts()).plus(counts)
            else:
                recent.setdefault(date.fromisoformat(day), {})[pair] = counts
        return Funnel(today=today, recent=recent, older=older, kept=wanted.kept)


# -- read at once -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A credential that may not be used now."""

    bucket: str
    reason: str  # `throttled`, or what the insurer's answer was
    since: int | None  # ms; not known of one that is throttled
    until: int  # ms: when it opens, or is probed
    pairs: tuple[Pair, ...] = ()  # who was refused with it, as far as it is on record

    @property
    def is_paused(self) -> bool:
        """True where a person must look; a throttled one opens by itself."""
        return self.since is not None


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long deliveries took, from the message that made the report due."""

    count: int
    since: int  # ms, of the oldest one
    middle: int  # ms
    most: int  # of 95 in 100, ms
    longest: int  # ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """How the deployment stands at this moment."""

    at: int
    dead: int  # up to MANY and one more
    conflicts: int  # the same
    due: dict[Pair, int] = field(default_factory=dict)  # since when the oldest report is due
    stopped: tuple[Stopped, ...] = ()
    lateness: Lateness | None = None
    claims: dict[Pair, int] = field(default_factory=dict)  # permits used in `claims_ms`
    claims_ms: int = MINUTE_MS
    seal: Block | None = None
    unsealed_since: int | None = None

    @property
    def oldest_due(self) -> tuple[int, Pair] | None:
        """Return since when the oldest of all is due, and whose it is."""
        return min(((at, pair) for pair, at in self.due.items()), default=None)


def read(database: Database, pairs: Sequence[Pair]) -> Now:
    """Return how things stand now; *pairs* are asked for what is due. Raises StorageUnavailable."""
    with database.read() as connection:
        now = database.now(connection)
        top = int(connection.execute(select(func.coalesce(func.max(facts.c.id), 0))).scalar_one())
        claims, claims_ms = _claims(connection, now, top)
        return Now(
            at=now,
            dead=_up_to_many(connection, _DEAD),
            conflicts=_up_to_many(connection, _CONFLICT),
            due=_due(connection, pairs[:_PAIRS], now),
            stopped=tuple(_stopped(connection, now, top)),
            lateness=_lateness(connection, now, top),
            claims=claims,
            claims_ms=claims_ms,
            seal=seals.latest(connection),
            unsealed_since=seals.oldest_unsealed(connection),
        )


def _up_to_many(connection: Connection, condition: ColumnElement[bool]) -> int:
    found = select(offers.c.id).where(condition).limit(MANY + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def _due(connection: Connection, pairs: Sequence[Pair], now: int) -> dict[Pair, int]:
    """Return since when the oldest report of each of *pairs* is due; each is one look-up."""
    found: dict[Pair, int] = {}
    for start in range(0, len(pairs), _TERMS):
        terms = [_oldest(pair) for pair in pairs[start : start + _TERMS]]
        for partner, upstream, at in connection.execute(union_all(*terms)):
            if at is not None and at <= now:
                found[partner, upstream] = at
    return found


def _oldest(pair: Pair) -> Any:
    partner, upstream = pair
    mine = (_DUE, offers.c.partner == partner, offers.c.upstream == upstream)
    first = select(offers.c.due_at).where(*mine).order_by(offers.c.due_at).limit(1)
    names = (cast(literal(name), String) for name in pair)
    return select(*names, first.scalar_subquery())


def _claims(connection: Connection, now: int, top: int) -> tuple[dict[Pair, int], int]:
    """Return how many permits each pair used within the last minute, and of how many ms that is."""
    window = (facts.c.id > top - _WINDOW, facts.c.at >= now - MINUTE_MS)
    oldest = select(facts.c.at).where(facts.c.id > top - _WINDOW).order_by(facts.c.id).limit(1)
    first = connection.execute(oldest).scalar()
    length = MINUTE_MS if first is None or top <= _WINDOW else min(MINUTE_MS, max(1, now - first))
    query = (
        select(offers.c.partner, offers.c.upstream, func.count())
        .join(facts, facts.c.offer_id == offers.c.id)
        .where(*window, facts.c.kind == "delivery.claimed")
        .group_by(offers.c.partner, offers.c.upstream)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}, length


def _lateness(connection: Connection, now: int, top: int) -> Lateness | None:
    """Measure the newest deliveries of a day."""
    ended = (
        select(facts.c.offer_id, facts.c.ordinal, facts.c.at)
        .where(facts.c.id > top - _WINDOW, facts.c.at >= now - DAY_MS)
        .where(facts.c.kind == "attempt.finished", facts.c.report == "delivered")
        .order_by(facts.c.id.desc())
        .limit(_SAMPLE)
        .subquery("ended")
    )
    before = facts.alias("before")
    began = (
        select(func.max(before.c.at))
        .where(before.c.offer_id == ended.c.offer_id, before.c.ordinal < ended.c.ordinal)
        .where(before.c.kind.in_(_MADE_DUE))
        .scalar_subquery()
    )
    rows = connection.execute(select(ended.c.at, began)).all()
    spans = sorted(max(0, at - since) for at, since in rows if since is not None)
    if not spans:
        return None
    return Lateness(
        count=len(spans),
        since=min(at for at, _ in rows),
        middle=spans[len(spans) // 2],
        most=spans[min(len(spans) - 1, len(spans) * 95 // 100)],
        longest=spans[-1],
    )


def _stopped(connection: Connection, now: int, top: int) -> Iterator[Stopped]:
    """Yield the credentials that are paused, longest first, then those that are throttled."""
    stopped = buckets.c.paused_at.is_not(None) | (buckets.c.shut_until > now)
    query = select(buckets).where(stopped).order_by(buckets.c.paused_at.nulls_last())
    for row in connection.execute(query.limit(_STOPPED)).all():
        if row.paused_at is None:
            pairs = _refused(connection, top - _WINDOW, top, facts.c.outcome == "throttled")
            yield Stopped(
                bucket=row.bucket,
                reason="throttled",
                since=None,
                until=row.shut_until,
                pairs=pairs if len(pairs) == 1 else (),  # of which one, nothing says
            )
            continue
        near = _first_since(connection, row.paused_at, top)
        here = facts.c.at == row.paused_at  # the very commit that paused it
        yield Stopped(
            bucket=row.bucket,
            reason=row.reason or "refused",
            since=row.paused_at,
            until=row.probe_at or row.paused_at,
            pairs=_refused(connection, near - _AROUND, near + _AROUND, here),
        )


def _refused(
    connection: Connection, after: int, until: int, condition: ColumnElement[bool]
) -> tuple[Pair, ...]:
    query = (
        select(offers.c.partner, offers.c.upstream)
        .distinct()
        .join(facts, facts.c.offer_id == offers.c.id)
        .where(facts.c.id > after, facts.c.id <= until, condition)
        .where(facts.c.kind == "attempt.finished", facts.c.report == "due")
        .order_by(offers.c.partner, offers.c.upstream)
    )
    return tuple((row[0], row[1]) for row in connection.execute(query))


def _first_since(connection: Connection, at: int, top: int) -> int:
    """Return about which fact was the first since *at*: ids grow with time, which has no index."""
    low, high = 0, top
    while low < high:
        middle = (low + high) // 2
        query = select(facts.c.id, facts.c.at).where(facts.c.id > middle)
        row = connection.execute(query.order_by(facts.c.id).limit(1)).first()
        if row is None or row.at >= at:
            high = middle
        else:
            low = row.id
    return low + 1
