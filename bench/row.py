"""One row of the table, and how a figure is written: the median, the least and the most."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured, what came out, and what was to be reached."""

    what: str
    figure: str
    reach: str = ""
    met: bool | None = None  # None: nothing was to be reached
    values: tuple[float, ...] = ()  # one per round; a picture shows their median
    chart: str = ""  # the picture that has a bar of this row: docs/images/performance-<chart>.svg
    bar: str = ""  # what the bar is called

    @property
    def verdict(self) -> str:
        """In the table's last column."""
        return "" if self.met is None else "yes" if self.met else "no"


def measured(
    what: str,
    values: Sequence[float],
    unit: str = "",
    *,
    digits: int = 2,
    at_least: float | None = None,
    at_most: float | None = None,
    chart: str = "",
    bar: str = "",
) -> Row:
    """Return the row of *values*, one per round; its median is what must reach the bound."""
    middle, unit = statistics.median(values), f" {unit}" if unit else ""
    reach, met = "", None
    if at_least is not None:
        reach, met = f">= {at_least:,g}{unit}", middle >= at_least
    if at_most is not None:
        reach, met = f"<= {at_most:,g}{unit}", middle <= at_most
    return Row(
        what=what,
        figure=spread(values, digits) + unit,
        reach=reach,
        met=met,
        values=tuple(values),
        chart=chart,
        bar=bar,
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, and the least and the most if there is more than one."""
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least of *values* that so many per cent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
