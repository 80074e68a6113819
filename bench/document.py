"""docs/performance.md: its tables and pictures, each written by the run that measured it.

A table stands between two comments with the name of its part; what is outside of them is a
person's. A part that was not run keeps its table.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bars import Bar, bars, told
from bench.row import Row

SUMMARY = "figures"  # every row that had something to reach, of these parts under their headings
SUMMED = {
    "accept": "Accepting",
    "deliver": "Delivering",
    "lateness": "Lateness",
    "growth": "Growth",
    "pace": "Pace",
    "snippet": "Snippet",
    "cost": "Cost",
    "demo": "Demo",
    "peers": "Peers",
}
HEAD = "| what | measured | to reach | met |\n|---|---|---|---|\n"
SUMMARY_HEAD = "| part | what | measured | to reach | met |\n|---|---|---|---|---|\n"
NONE = "\N{EN DASH}"
NOTHING = "Not measured yet.\n"


@dataclass(frozen=True, slots=True)
class Chart:
    """What stands on a picture besides its bars."""

    title: str
    unit: str
    reach: float | None = None


CHARTS = {
    "accepted": Chart("Choices accepted per second, 32 connections", "/s"),
    "accepted-p99": Chart("99 of 100 choices are answered within, 32 connections", "ms"),
    "delivered": Chart("Declines delivered per second", "/s"),
    "lateness": Chart("95 of 100 declines are at the insurer within", "ms", reach=50),
    "growth": Chart("CPU of a choice, times that with nothing on record", "times", reach=1.2),
    "peers-accepted": Chart("Choices accepted per second, all in one run", "/s"),
    "peers-p99": Chart("99 of 100 choices are answered within, all in one run", "ms"),
    "peers-delivered": Chart("Declines delivered per second, all in one run", "/s"),
}


def write(part: str, rows: Sequence[Row], facts: str, docs: Path) -> None:
    """Write what *part* found into its table, and draw its pictures."""
    page, drawn = docs / "performance.md", dict(_drawn(rows))
    text = replaced(page.read_text("utf-8"), part, _section(rows, drawn, facts))
    for name, picture in drawn.items():
        chart = _chart(name)
        svg = bars(chart.title, chart.unit, picture, reach=chart.reach)
        (docs / "images" / f"performance-{name}.svg").write_text(svg, "utf-8")
    page.write_text(replaced(text, SUMMARY, summary(text)), "utf-8")


def replaced(text: str, name: str, content: str) -> str:
    """Return *text* with *content* between the comments of *name*; ValueError without them."""
    found = _between(name).search(text)
    if found is None:
        raise ValueError(f"the page has no place for {name}")
    return f"{text[: found.start(1)]}\n{content}\n{text[found.end(1) :]}"


def summary(text: str) -> str:
    """Return the rows of all tables in *text* that had something to reach."""
    found = [
        f"| [{heading}](#{heading.lower()}) {line}\n"
        for part, heading in SUMMED.items()
        for line in _judged(_content(text, part))
    ]
    return SUMMARY_HEAD + "".join(found) if found else NOTHING


def _judged(section: str) -> Iterator[str]:
    for line in section.splitlines():
        if line.endswith(("| yes |", "| no |")):
            yield line


def _content(text: str, name: str) -> str:
    found = _between(name).search(text)
    return found[1] if found else ""


def _between(name: str) -> re.Pattern[str]:
    return re.compile(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", re.DOTALL)


def _drawn(rows: Sequence[Row]) -> Iterator[tuple[str, list[Bar]]]:
    """Yield the bars of each picture, in the order of the rows."""
    for name in dict.fromkeys(row.chart for row in rows if row.chart):
        yield name, [Bar(row.bar, row.values) for row in rows if row.chart == name]


def _section(rows: Sequence[Row], drawn: dict[str, list[Bar]], facts: str) -> str:
    lines = "".join(_line(row) for row in rows)
    pictures = "".join(
        f"\n![{_chart(name).title}: {told(_chart(name).unit, picture)}]"
        f"(images/performance-{name}.svg)\n"
        for name, picture in drawn.items()
    )
    return f"{HEAD}{lines}\nMeasured {facts}\n{pictures}"


def _chart(name: str) -> Chart:
    return CHARTS.get(name, Chart(name, ""))


def _line(row: Row) -> str:
    """Return one line of a table."""
    reach = row.reach.replace(">=", "≥").replace("<=", "≤")
    cells = (cell.replace("|", "\\|") for cell in (row.what, row.figure, reach, row.verdict))
    return f"| {' | '.join(cell or NONE for cell in cells)} |\n"
