"""The funnel: what became of the offers that were shown, counted in one moment of the register.

An offer belongs to the UTC day of its first record. One set of statements for both engines; knows
counts and sentences, not how they are shown.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from math import sqrt
from operator import add
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy import exists as exists_where

from proxy import removals
from proxy.schema import facts, offers

SPANS = ("day", "week", "month")
NAMES = ("partner", "upstream", "product")
REPORTS = ("none", "held", "due", "sending", "delivered", "dead", "abandoned", "cancelled")
MARKS = ("purchased", "late", "conflict", "implicit", "reconciled")

# What each column counts, in the words of whoever must explain them.
MEANINGS = {
    "shown": "Offers first recorded in the period: undecided + accepted + declined.",
    "undecided": "The offer was shown; no answer has reached the register.",
    "accepted": "The customer wants the insurance. The latest answer counts, and only that one.",
    "declined": "The customer does not want it: the sum of the eight columns none to cancelled.",
    "conversion": "accepted ÷ (accepted + declined). Undecided offers are left out.",
    "95 % interval": "Wilson's score interval of the conversion: how far chance alone may move it.",
    "none": "Declined after it was accepted and bought: not reported, a person must look.",
    "held": "The report waits until the main product is bought.",
    "due": "The report is to be sent, at once or after a pause.",
    "sending": "A request to the insurer was under way at that moment.",
    "delivered": "The insurer has confirmed the report.",
    "dead": "The report was given up; a person decides.",
    "abandoned": "The main product was never bought, or a person settled it: nothing to report.",
    "cancelled": "The customer accepted in the end. No declined offer stands here: always 0.",
    "purchased": "The main product was bought, whatever the answer.",
    "late": "The answer was given in time and arrived after its session had ended.",
    "conflict": "What is known contradicts itself; a person must look.",
    "implicit": "No answer, counted as declined because the partner says so.",
    "reconciled": "Learned from the shop's list of orders.",
}

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_DAY = literal_column(str(_DAY_MS), BigInteger)  # a bound number would not match in GROUP BY
_PAGE = 1_000  # lines fetched at once
_NAMED = 5  # faults of one kind
_Z = 1.959963984540054  # the normal distribution's 97.5 % point


class Counts(NamedTuple):
    """How many offers stand in each column; the first ten columns exclude each other."""

    undecided: int = 0
    accepted: int = 0
    none: int = 0  # the declined, by where their report stands
    held: int = 0
    due: int = 0
    sending: int = 0
    delivered: int = 0
    dead: int = 0
    abandoned: int = 0
    cancelled: int = 0
    purchased: int = 0  # of which
    late: int = 0
    conflict: int = 0
    implicit: int = 0
    reconciled: int = 0

    @property
    def declined(self) -> int:
        """The sum of the columns that say where a report stands."""
        return sum(getattr(self, name) for name in REPORTS)

    @property
    def shown(self) -> int:
        """The sum of all columns; never a count of its own, so that it can be compared with one."""
        return self.undecided + self.accepted + self.declined

    @property
    def conversion(self) -> float | None:
        """Return accepted ÷ (accepted + declined); None where nothing was answered."""
        answered = self.accepted + self.declined
        return self.accepted / answered if answered else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the conversion; None where nothing was answered."""
        return wilson(self.accepted, self.accepted + self.declined)

    def plus(self, other: "Counts") -> "Counts":
        """Return both counts together."""
        return Counts(*map(add, self, other))


class Line(NamedTuple):
    """The counts of one group; *key* has one value per word of `Wanted.by`, in its order."""

    key: tuple[str, ...]
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which offers to count, and by what; None means any."""

    first: date | None = None  # of the UTC days, both included
    last: date | None = None
    partner: str | None = None
    by: tuple[str, ...] = ()  # of SPANS at most one, and of NAMES
    kept: tuple[tuple[str, date], ...] = ()  # by partner, the first day of which nothing is gone

    def holds(self, at: ColumnElement[int], partner: ColumnElement[str]) -> list[Any]:
        """Return the conditions on a row that began at *at* and is of *partner*."""
        conditions: list[Any] = []
        if self.first is not None:
            conditions.append(at >= _midnight(self.first))
        if self.last is not None:
            conditions.append(at < _midnight(self.last) + _DAY_MS)  # no date is later than 9999
        if self.partner is not None:
            conditions.append(partner == self.partner)
        for name, day in self.kept:
            conditions.append(or_(partner != name, at >= _midnight(day)))
        return conditions

    @property
    def offers(self) -> list[Any]:
        """Return the conditions on an offer."""
        return self.holds(offers.c.created_at, offers.c.partner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Whether every offer is counted once, and what is not as it should be."""

    offers: int  # by a count of the register that knows no column
    columns: int  # by adding up the columns
    acknowledged: int  # by the ledger: first facts
    answered: int  # by the ledger: offers with an acknowledged answer
    faults: tuple[str, ...]
    kept: tuple[str, ...] = ()  # whose earlier offers are not counted: retention has taken some

    @property
    def holds(self) -> bool:
        """True when nothing is amiss."""
        return not self.faults

    @property
    def told(self) -> dict[str, Any]:
        """Return all of it for a machine to read."""
        return {"holds": self.holds, "sentence": self.sentence, **asdict(self)}

    @property
    def sentence(self) -> str:
        """Say what holds, or name what does not."""
        if self.faults:
            return f"Not complete: {'; '.join(self.faults)}."
        return " ".join([self._found, *self.kept])

    @property
    def _found(self) -> str:
        if not self.offers:
            return "Complete: neither the register nor the ledger holds an offer of this period."
        return (
            f"Complete: every offer of this period ({self.offers:,}) stands in exactly one column; "
            f"the columns add up to what a separate count of the register finds; the ledger holds "
            f"the first record of just as many offers on every day, and an answer for every offer "
            f"that counts as answered by the customer ({self.answered:,})."
        )


def _stands(report: str) -> ColumnElement[bool]:
    return and_(offers.c.choice == "declined", offers.c.report == report)


# Each offer fits one of the first ten at most; whether it fits one at all is what is judged.
_FITS: dict[str, ColumnElement[bool]] = {
    "undecided": offers.c.choice == "undecided",
    "accepted": offers.c.choice == "accepted",
    "none": and_(_stands("none"), offers.c.conflicts != ""),
    **{report: _stands(report) for report in REPORTS[1:]},
    "purchased": offers.c.purchased.is_(True),
    "late": offers.c.late.is_(True),
    "conflict": offers.c.conflicts != "",
    "implicit": offers.c.implicit.is_(True),
    "reconciled": offers.c.reconciled.is_(True),
}
_COUNTED = [func.count().filter(_FITS[name]).label(name) for name in Counts._fields]
_GROUPS: dict[str, ColumnElement[Any]] = {
    "day": offers.c.created_at // _DAY,
    "partner": offers.c.partner,
    "upstream": offers.c.upstream,
    "product": func.coalesce(offers.c.product, ""),
}


def kept(connection: Connection, wanted: Wanted) -> Wanted:
    """Return *wanted* without the days of which retention has taken offers away."""
    ends = removals.ends(connection)
    if wanted.partner is not None:
        ends = {name: end for name, end in ends.items() if name == wanted.partner}
    days = ((name, _date(end // _DAY_MS + 1)) for name, end in sorted(ends.items()))
    return replace(wanted, kept=tuple(days))


def total(connection: Connection, wanted: Wanted) -> Counts:
    """Count all offers together."""
    row = connection.execute(select(*_COUNTED).where(*wanted.offers)).one()
    return Counts(*row)


def lines(connection: Connection, wanted: Wanted) -> Iterator[Line]:
    """Yield one line per group, in the order of time, then of the names.

    Memory grows with the groups of one day, week or month, never with the offers.
    """
    span = next((word for word in wanted.by if word in SPANS), None)
    names = [word for word in wanted.by if word in NAMES]
    groups = [_GROUPS[word] for word in (["day", *names] if span else names)]
    query = select(*groups, *_COUNTED).where(*wanted.offers).group_by(*groups)
    rows = connection.execute(
        query.order_by(*groups[:1]).execution_options(yield_per=_PAGE)  # one page at a time
    )
    for moment, page in groupby(rows, lambda row: label(span, _date(row[0])) if span else ""):
        folded: dict[tuple[str, ...], Counts] = {}
        for row in page:
            named = dict(zip(names, row[1 if span else 0 :], strict=False)) | {span: moment}
            key = tuple(str(named[word]) for word in wanted.by)
            folded[key] = folded.get(key, Counts()).plus(Counts(*row[len(groups) :]))
        yield from (Line(key, folded[key]) for key in sorted(folded))


def days(connection: Connection, wanted: Wanted) -> tuple[date, date] | None:
    """Return the days of the first and the last offer that is counted; None if there is none."""
    at = offers.c.created_at
    first, last = connection.execute(select(func.min(at), func.max(at)).where(*wanted.offers)).one()
    return None if first is None else (_date(first // _DAY_MS), _date(last // _DAY_MS))


def completeness(connection: Connection, wanted: Wanted, counts: Counts) -> Completeness:
    """Judge *counts*, the sum of what is shown, by counts that know nothing of the columns.

    *connection* must see one moment (`Database.snapshot`).
    """
    known = _by_day(connection, offers.c.created_at, offers.c.partner, wanted)
    told = _by_day(connection, facts.c.at, facts.c.partner, wanted, facts.c.ordinal == 1)
    answer = exists_where().where(
        facts.c.offer_id == offers.c.id, facts.c.said.in_(["accepted", "declined"])
    )
    query = select(func.count()).select_from(offers).where(*wanted.offers, answer)
    answered = int(connection.execute(query).scalar_one())
    faults = [*_outside(connection, wanted, known.total() - counts.shown), *_unequal(known, told)]
    standing = known.total() - counts.undecided - counts.implicit
    if answered != standing:
        faults.append(
            f"offers with an answer in the ledger: {answered:,}, counted as answered: {standing:,}"
        )
    if counts.cancelled:
        faults.append(f"declined offers at cancelled, where none should be: {counts.cancelled:,}")
    return Completeness(
        offers=known.total(),
        columns=counts.shown,
        acknowledged=told.total(),
        answered=answered,
        faults=tuple(faults),
        kept=tuple(_limits(wanted)),
    )


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """Return the 95 % score interval of *hits* among *of*; None where there is nothing.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927), 209-212; without continuity correction.
    """
    if not of:
        return None
    share, scale = hits / of, 1 + _Z * _Z / of
    middle = (share + _Z * _Z / (2 * of)) / scale
    half = _Z / scale * sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def _limits(wanted: Wanted) -> Iterator[str]:
    for partner, day in wanted.kept:
        if wanted.first is None or wanted.first < day:
            yield f"Of {partner} only offers from {day} on are counted: earlier ones are removed."


def _by_day(
    connection: Connection,
    at: ColumnElement[int],
    partner: ColumnElement[str],
    wanted: Wanted,
    *conditions: ColumnElement[bool],
) -> Counter[tuple[int, str]]:
    day = at // _DAY
    query = select(day, partner, func.count()).group_by(day, partner)
    rows = connection.execute(query.where(*wanted.holds(at, partner), *conditions))
    return Counter({(row[0], row[1]): row[2] for row in rows})


def _outside(connection: Connection, wanted: Wanted, missing: int) -> Iterator[str]:
    """Name what the columns leave out, with the first such offer."""
    if not missing:
        return
    fits = [_FITS[name] for name in ("undecided", "accepted", *REPORTS)]
    query = select(offers).where(*wanted.offers, *(~fit for fit in fits)).order_by(offers.c.id)
    row = connection.execute(query.limit(1)).one_or_none()
    first = ""
    if row is not None:
        first = f", the first: {row.offer} of {row.partner} ({row.choice}, report {row.report})"
    yield f"offers that stand in no column: {missing:,}{first}"


def _unequal(known: Counter[tuple[int, str]], told: Counter[tuple[int, str]]) -> Iterator[str]:
    """Name the days on which the register and the ledger know of different numbers of offers."""
    differing = sorted(key for key in known | told if known[key] != told[key])
    for key in differing[:_NAMED]:
        day, partner = key
        yield (
            f"{partner} on {_date(day)}: {told[key]:,} first records in the ledger, "
            f"{known[key]:,} in the register"
        )
    if len(differing) > _NAMED:
        yield f"days on which they differ as well: {len(differing) - _NAMED:,}"


def label(span: str, day: date) -> str:
    """Return the name of the *span* that *day* belongs to; weeks are those of ISO 8601."""
    match span:
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{day:%Y-%m}"
        case _:
            return day.isoformat()


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
