"""What charts and figures need that a template can not work out."""

from collections.abc import Iterable
from itertools import groupby

from flask import Flask

from proxy.funnel import Counts, Line
from proxy.report import between, percent
from proxy.report_page import ticks

_SECOND, _MINUTE = 1_000, 60_000

Point = tuple[int, Counts]  # which one of the series, and what it has


def install(app: Flask) -> None:
    """Give the templates of *app* their filters."""
    app.add_template_filter(percent)
    app.add_template_filter(between)
    app.add_template_filter(ticks)
    app.add_template_filter(runs)
    app.add_template_filter(near)


def runs(series: Iterable[Line]) -> list[list[Point]]:
    """Return the stretches of *series* that have a conversion: a line must not cross a gap."""
    points = enumerate(line.counts for line in series)
    found = groupby(points, key=lambda point: point[1].conversion is not None)
    return [list(stretch) for is_known, stretch in found if is_known]


def near(ms: int) -> str:
    """Return a length of time for a person to compare: in ms below a second, then in s."""
    if ms < _SECOND:
        return f"{ms} ms"
    return f"{ms / _SECOND:.1f} s" if ms < _MINUTE else f"{ms / _MINUTE:.1f} min"
