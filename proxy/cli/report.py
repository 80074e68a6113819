"""`optout-proxy report`: the funnel, to read, to calculate with, or to print and hand over."""

import getpass
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click

from proxy import export, funnel
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.funnel import Line, Wanted
from proxy.report import (
    ANSWERS,
    BY,
    Report,
    TooManyLines,
    as_csv,
    as_jsonl,
    between,
    percent,
    report_of,
)
from proxy.report_page import as_html

_FORMATS = ("text", "csv", "jsonl", "html")
_LINES = {"csv": as_csv, "jsonl": as_jsonl}
_DAYS = click.DateTime(formats=["%Y-%m-%d"])


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
    help=f"What makes a line; may be given several times.  [default: {', '.join(BY)}]",
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
    wanted = as_wanted(by=by or BY, **period)
    settings = configuration_of(config).current
    made = {"by": made_by or _login(), "for": settings.audience}
    with reading(settings) as connection:
        report = report_of(connection, wanted)
        try:
            _put(_said(report, kind, made), out)
        except TooManyLines as error:
            raise Refusal(str(error)) from None
    if out or kind == "csv":
        click.echo(report.complete.sentence, err=True)
    ctx.exit(0 if report.complete.holds else 1)


def _said(report: Report, kind: str, made: dict[str, str]) -> Iterator[bytes]:
    if kind in _LINES:
        return _LINES[kind](report)
    text = as_html(report, made) if kind == "html" else _text(report)
    return (piece.encode() for piece in text)


def _put(text: Iterator[bytes], out: Path | None) -> None:
    if out:
        write(out, text)
        return
    for piece in text:
        click.echo(piece, nl=False)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number only
        return "unknown"


# -- to read ----------------------------------------------------------------------------------


def _text(report: Report) -> Iterator[str]:
    lines = report.few
    yield _table("Offers", report, lines, ANSWERS, rate=True)
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
