"""The report as one page to read, to print, or to hand over."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from math import ceil

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proxy import __version__, assets, funnel
from proxy.funnel import Counts, Line
from proxy.report import ANSWERS, Report, between, percent

_POINTS = 62  # of a chart, days; a longer period is drawn by weeks, then by months
_GROUPS = 16  # of a chart


def as_html(report: Report, made: dict[str, str], nonce: str | None = None) -> Iterator[str]:
    """Yield the page; *made* says by whom and for which deployment.

    *nonce* is that of the policy under which a server sends it. Raises TooManyLines.
    """
    wanted = report.wanted
    first, last = report.days or (None, None)
    days = (wanted.first or first, wanted.last or last)
    span, series = _series(report, days)
    yield from (
        _environment()
        .get_template("report.html")
        .generate(
            complete=report.complete,
            days=days,
            groups=_groups(report),
            lines=report.few,
            made=made | {"at": datetime.now(UTC), "with": f"optout-proxy {__version__}"},
            meanings=funnel.MEANINGS,
            names={"answers": ANSWERS, "reports": funnel.REPORTS, "marks": funnel.MARKS},
            nonce=nonce,
            series=series,
            span=span,
            total=report.total,
            wanted=wanted,
        )
    )


def ticks(most: float) -> list[float]:
    """Return the values of an axis from 0 to *most* or above, in five round steps at most."""
    step = 1.0
    while 5 * step < most:
        step *= 2.5 if str(step)[0] == "2" else 2
    return [step * count for count in range(max(1, ceil(most / step)) + 1)]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(assets.folder("templates") / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "between": between, "day": _day, "ticks": ticks}
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["css"] = _css
    return environment


def _series(report: Report, days: tuple[date | None, date | None]) -> tuple[str, list[Line]]:
    """Return the counts over time, in days, weeks or months; without a gap where none was shown."""
    first, last = days
    if first is None or last is None:
        return "day", []
    length = (last - first).days + 1
    span = "day" if length <= _POINTS else "week" if length <= 7 * _POINTS else "month"
    span = next((word for word in report.wanted.by if word in ("week", "month")), span)
    wanted = replace(report.wanted, by=(span,))
    counted = {line.key[0]: line.counts for line in report.lines_of(wanted)}
    names = dict.fromkeys(funnel.label(span, first + timedelta(days=day)) for day in range(length))
    return span, [Line((name,), counted.get(name, Counts())) for name in names]


def _groups(report: Report) -> list[Line]:
    """Return the counts by name alone, the most shown first; too many make no chart."""
    names = tuple(word for word in report.wanted.by if word in funnel.NAMES)
    if not names:
        return []
    wanted = replace(report.wanted, by=names)
    lines = list(islice(report.lines_of(wanted), _GROUPS + 1))
    if not 1 < len(lines) <= _GROUPS:
        return []
    return sorted(lines, key=lambda line: -line.counts.shown)


def _day(day: date | None) -> str:
    return f"{day.day} {day:%B %Y}" if day else "the first record"


def _css(text: str) -> Markup:
    """Return *text* for a string of a style sheet, where quotes mean other than in HTML."""
    return Markup("".join(f"\\{ord(char):x} " for char in text))  # noqa: S704  # escaped by number
