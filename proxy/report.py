"""The report: the funnel of one moment, gathered once for every form in which it is shown."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection

from proxy import export, funnel
from proxy.funnel import Completeness, Counts, Line, Wanted

BY = ("day", "partner", "upstream")  # unless said otherwise
ANSWERS = ("shown", "undecided", "accepted", "declined")
MOST = 5_000  # lines that a person reads; csv and jsonl have no limit


class TooManyLines(ValueError):
    """More than a person reads; the sentence says what to do."""


class Report(NamedTuple):
    """What every format shows, from one moment."""

    wanted: Wanted
    days: tuple[date, date] | None  # of the first and the last offer
    lines_of: Callable[[Wanted], Iterator[Line]]
    total: Counts
    complete: Completeness

    @property
    def lines(self) -> Iterator[Line]:
        """Yield the lines that were asked for."""
        return self.lines_of(self.wanted)

    @property
    def few(self) -> list[Line]:
        """Return the lines for a person to read. Raises TooManyLines."""
        lines = list(islice(self.lines, MOST + 1))
        if len(lines) > MOST:
            raise TooManyLines(
                f"That is more than {MOST:,} lines to read; take csv, or fewer of --by."
            )
        return lines


def report_of(connection: Connection, wanted: Wanted) -> Report:
    """Return the report of *wanted*; *connection* must see one moment (`Database.snapshot`)."""
    wanted = funnel.kept(connection, wanted)
    total = funnel.total(connection, wanted)
    return Report(
        wanted=wanted,
        days=funnel.days(connection, wanted),
        lines_of=partial(funnel.lines, connection),
        total=total,
        complete=funnel.completeness(connection, wanted, total),
    )


def as_csv(report: Report) -> Iterator[bytes]:
    """Yield lines whose last column says of the whole report whether it is complete."""
    columns = [*report.wanted.by, *values(Counts()), "complete"]
    complete = {"complete": report.complete.holds}
    found = (_named(report, line) | values(line.counts) | complete for line in report.lines)
    yield from export.encode(found, columns, "csv")


def as_jsonl(report: Report) -> Iterator[bytes]:
    """Yield an object a line, and one of the totals and the completeness."""
    for line in report.lines:
        yield _json(_named(report, line) | values(line.counts))
    yield _json({"total": values(report.total), "completeness": report.complete.told})


def values(counts: Counts) -> dict[str, Any]:
    """Return every column of *counts* by its name in csv and jsonl."""
    low, high = counts.interval or (None, None)
    return {
        **{name: getattr(counts, name) for name in ANSWERS},
        **{f"declined_{name}": getattr(counts, name) for name in funnel.REPORTS},
        **{name: getattr(counts, name) for name in funnel.MARKS},
        "conversion": _rounded(counts.conversion),
        "conversion_low": _rounded(low),
        "conversion_high": _rounded(high),
    }


def percent(share: float | None) -> str:
    """Return a share as per cent with one place."""
    return "-" if share is None else f"{share:.1%}".replace("%", " %")


def between(interval: tuple[float, float] | None) -> str:
    """Return both ends of an interval in per cent."""
    return "-" if interval is None else f"{interval[0]:.1%} - {interval[1]:.1%}".replace("%", "")


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _named(report: Report, line: Line) -> dict[str, Any]:
    return dict(zip(report.wanted.by, line.key, strict=True))
