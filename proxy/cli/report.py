"""`optout-proxy report`: the funnel, to read, to calculate with, or to print and hand over."""

import getpass
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from io import StringIO
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from proxy import __version__, assets, export, funnel
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.funnel import Completeness, Counts, Line, Wanted

_FORMATS = ("text", "csv", "jsonl", "html")
_BY = ("day", "partner", "upstream")  # unless said otherwise
_MOST = 5_000  # lines that a person reads; the other formats have no limit
_ANSWERS = ("shown", "undecided", "accepted", "declined")
_POINTS = 62  # of a chart, days; a longer period is drawn by weeks, then by months
_GROUPS = 16  # of a chart
_DAYS = click.DateTime(formats=["%Y-%m-%d"])


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


def period_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --from, --to and --partner."""
    for option in (
        click.option("--partner", help="Only this partner's offers."),
        click.option("--to", "last", type=_DAYS, metavar="DAY", help="The last UTC day."),
        click.option("--from", "first", type=_DAYS, metavar="DAY", help="The first UTC day."),
    ):
        command = option(command)
    return command


def as_wanted(
    first: datetime | None, last: datetime | None, partner: str | None, by: tuple[str, ...] = ()
) -> Wanted:
    """Return which offers the options ask for; refuse what makes no sense."""
    if first and last and last < first:
        raise Refusal("--to is before --from.")
    if len(set(by)) < len(by) or len(set(by) & set(funnel.SPANS)) > 1:
        raise Refusal("--by takes each word once, and one of day, week and month.")
    days = (moment.date() if moment else None for moment in (first, last))
    ordered = sorted(by, key=lambda word: word in funnel.NAMES)  # lines come in the order of time
    return Wanted(first=next(days), last=next(days), partner=partner, by=tuple(ordered))


def write(out: Path, lines: Iterable[bytes]) -> export.Written:
    """Write *lines* to the new file *out*; refuse in a sentence where that is impossible."""
    try:
        return export.write(out, lines)
    except FileExistsError:
        raise Refusal(f"{out} exists already; nothing is ever written over it.") from None
    except OSError as error:
        raise Refusal(f"{out} can not be written ({error.strerror or error}).") from None


@click.command("report")
@config_option
@period_options
@click.option(
    "--by",
    multiple=True,
    type=click.Choice([*funnel.SPANS, *funnel.NAMES]),
    help=f"What makes a line; may be given several times.  [default: {', '.join(_BY)}]",
)
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="text", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file.")
@click.option("--made-by", help="Who made it, on the page.  [default: the user's login name]")
@click.pass_context
@in_plain_words
def command(
    ctx: click.Context,
    /,
    config: Path | None,
    by: tuple[str, ...],
    kind: str,
    out: Path | None,
    made_by: str | None,
    **period: Any,
) -> None:
    """Count the offers shown, accepted, declined and reported, and say whether that is all.

    Exits with 1 if the completeness statement does not hold.
    """
    wanted = as_wanted(by=by or _BY, **period)
    settings = configuration_of(config).current
    with reading(settings) as connection:
        wanted = funnel.kept(connection, wanted)
        total = funnel.total(connection, wanted)
        complete = funnel.completeness(connection, wanted, total)
        days = funnel.days(connection, wanted)
        report = Report(wanted, days, partial(funnel.lines, connection), total, complete)
        if kind == "html":
            text = _html(report, {"by": made_by or _login(), "for": settings.audience})
        else:
            text = {"text": _text, "csv": _csv, "jsonl": _jsonl}[kind](report)
        if out:
            write(out, (piece.encode() for piece in text))
        else:
            for piece in text:
                click.echo(piece, nl=False)
    if out or kind == "csv":
        click.echo(complete.sentence, err=True)
    ctx.exit(0 if complete.holds else 1)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number only
        return "unknown"


# -- to calculate with ------------------------------------------------------------------------


def _values(counts: Counts) -> dict[str, Any]:
    low, high = counts.interval or (None, None)
    return {
        **{name: getattr(counts, name) for name in _ANSWERS},
        **{f"declined_{name}": getattr(counts, name) for name in funnel.REPORTS},
        **{name: getattr(counts, name) for name in funnel.MARKS},
        "conversion": _rounded(counts.conversion),
        "conversion_low": _rounded(low),
        "conversion_high": _rounded(high),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _csv(report: Report) -> Iterator[str]:
    """Yield lines whose last column says of the whole report whether it is complete."""
    columns = [*report.wanted.by, *_values(Counts()), "complete"]
    complete = {"complete": report.complete.holds}
    found = (_named(report, line) | _values(line.counts) | complete for line in report.lines)
    yield from (line.decode() for line in export.encode(found, columns, "csv"))


def _jsonl(report: Report) -> Iterator[str]:
    for line in report.lines:
        yield json.dumps(_named(report, line) | _values(line.counts)) + "\n"
    yield json.dumps({"total": _values(report.total), "completeness": report.complete.told}) + "\n"


def _named(report: Report, line: Line) -> dict[str, Any]:
    return dict(zip(report.wanted.by, line.key, strict=True))


# -- to read ----------------------------------------------------------------------------------


def _few(report: Report) -> list[Line]:
    lines = list(islice(report.lines, _MOST + 1))
    if len(lines) > _MOST:
        raise Refusal(f"That is more than {_MOST:,} lines to read; take csv, or fewer of --by.")
    return lines


def _text(report: Report) -> Iterator[str]:
    lines = _few(report)
    yield _table("Offers", report, lines, _ANSWERS, rate=True)
    yield _table("Reports of the declined offers", report, lines, ("declined", *funnel.REPORTS))
    yield _table("Of the offers shown", report, lines, ("shown", *funnel.MARKS))
    yield f"{report.complete.sentence}\n"


def _table(
    title: str, report: Report, lines: list[Line], columns: tuple[str, ...], *, rate: bool = False
) -> str:
    by = report.wanted.by
    rows = [[*by, *columns, *(("conversion", "95 % interval") if rate else ())]]
    total = Line(("total", *[""] * (len(by) - 1)), report.total)
    for key, counts in [*lines, total]:
        shares = [percent(counts.conversion), between(counts.interval)] if rate else []
        rows.append(
            [*(word or "-" * (key is not total.key) for word in key)]
            + [f"{getattr(counts, name):,}" for name in columns]
            + shares
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = StringIO()
    print(title, file=text)
    for row in rows:
        cells = (
            cell.ljust(width) if place < len(by) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join(cells).rstrip(), file=text)
    return text.getvalue() + "\n"


def percent(share: float | None) -> str:
    """Return a share as per cent with one place."""
    return "-" if share is None else f"{share:.1%}".replace("%", " %")


def between(interval: tuple[float, float] | None) -> str:
    """Return both ends of an interval in per cent."""
    return "-" if interval is None else f"{interval[0]:.1%} - {interval[1]:.1%}".replace("%", "")


# -- to print ---------------------------------------------------------------------------------


def _html(report: Report, made: dict[str, str]) -> Iterator[str]:
    wanted = report.wanted
    first, last = report.days or (None, None)
    days = (wanted.first or first, wanted.last or last)
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
    span, series = _series(report, days)
    return environment.get_template("report.html").generate(
        complete=report.complete,
        days=days,
        groups=_groups(report),
        lines=_few(report),
        made=made | {"at": datetime.now(UTC), "with": f"optout-proxy {__version__}"},
        meanings=funnel.MEANINGS,
        names={"answers": _ANSWERS, "reports": funnel.REPORTS, "marks": funnel.MARKS},
        series=series,
        span=span,
        total=report.total,
        wanted=wanted,
    )


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


def ticks(most: float) -> list[float]:
    """Return the values of an axis from 0 to *most* or above, in five round steps at most."""
    step = 1.0
    while 5 * step < most:
        step *= 2.5 if str(step)[0] == "2" else 2
    return [step * count for count in range(max(1, ceil(most / step)) + 1)]


def _day(day: date | None) -> str:
    return f"{day.day} {day:%B %Y}" if day else "the first record"


def _css(text: str) -> Markup:
    """Return *text* for a string of a style sheet, where quotes mean other than in HTML."""
    return Markup("".join(f"\\{ord(char):x} " for char in text))  # noqa: S704  # escaped by number
