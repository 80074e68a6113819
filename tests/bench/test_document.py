"""docs/performance.md and its pictures: each part writes its own place and nothing else."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import document
from bench.bars import Bar, bars
from bench.row import Row, measured
from bench.run import PARTS

PAGE = """# Performance
<!-- figures -->
<!-- /figures -->
Before.
<!-- accept -->
old
<!-- /accept -->
Between.
<!-- deliver -->
| kept | 1 | ≥ 1 | yes |
<!-- /deliver -->
"""
ROWS = [
    measured("accepted, of bare", [0.7, 0.75, 0.9], at_least=0.8),
    measured("bare", [900.0, 1_000.0], "/s", digits=0, chart="accepted", bar="bare"),
    measured("ours", [700.0, 800.0], "/s", digits=0, chart="accepted", bar="optout-proxy & on"),
    Row(what="after kill -9", figure="0 | 1 lost"),
]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with the page, and without a picture."""
    (tmp_path / "images").mkdir()
    (tmp_path / "performance.md").write_text(PAGE, "utf-8")
    return tmp_path


def test_a_part_replaces_only_its_own_table(docs: Path) -> None:
    """What a person wrote, and what another part measured, stays."""
    document.write("accept", ROWS, "today, on this machine.", docs)

    page = (docs / "performance.md").read_text("utf-8")
    assert "| accepted, of bare | 0.75 (0.70 to 0.90) | ≥ 0.8 | no |" in page
    assert f"| after kill -9 | 0 \\| 1 lost | {document.NONE} | {document.NONE} |" in page
    assert "Measured today, on this machine." in page
    assert "old" not in page
    for kept in ("# Performance\n", "Before.\n", "Between.\n", "\n| kept | 1 | ≥ 1 | yes |\n"):
        assert kept in page


def test_the_same_figures_write_the_same_page(docs: Path) -> None:
    """Nothing grows from run to run."""
    document.write("accept", ROWS, "today.", docs)
    once = {path: path.read_bytes() for path in docs.rglob("*.*")}

    document.write("accept", ROWS, "today.", docs)

    assert {path: path.read_bytes() for path in docs.rglob("*.*")} == once


def test_the_summary_has_what_any_table_was_to_reach(docs: Path) -> None:
    """Those of parts that did not run too; rows without a bound are not in it."""
    document.write("accept", ROWS, "today.", docs)

    page = (docs / "performance.md").read_text("utf-8")
    summary = page[: page.index("Before.")]
    assert "| [Accepting](#accepting) | accepted, of bare | 0.75 (0.70 to 0.90) |" in summary
    assert "| [Delivering](#delivering) | kept | 1 | ≥ 1 | yes |" in summary
    assert "kill -9" not in summary


def test_each_chart_of_a_part_is_drawn_and_shown(docs: Path) -> None:
    """With its figures as text for who can not see it."""
    document.write("accept", ROWS, "today.", docs)

    assert [path.name for path in (docs / "images").iterdir()] == ["performance-accepted.svg"]
    page = (docs / "performance.md").read_text("utf-8")
    (alternative,) = re.findall(r"!\[(.*)\]\(images/performance-accepted.svg\)", page)
    assert "bare 950 /s; optout-proxy & on 750 /s." in alternative


def test_a_page_without_the_place_is_not_written(docs: Path) -> None:
    """Nor are its pictures."""
    with pytest.raises(ValueError, match="no place for demo"):
        document.write("demo", ROWS, "today.", docs)

    assert (docs / "performance.md").read_text("utf-8") == PAGE
    assert list((docs / "images").iterdir()) == []


def test_bars_have_their_names_and_figures_as_text() -> None:
    """Whatever characters a name has; and all of it in words."""
    drawn = [Bar("bare & <plain>", [4.0]), Bar("optout-proxy", [2.0, 1.0, 3.0])]

    picture = ET.fromstring(bars("Title", "ms", drawn, reach=2.5))  # noqa: S314  # our own

    texts = [node.text for node in picture.iter(f"{SVG}text")]
    assert texts == [
        "Title",
        "bare & <plain>",
        "4 ms",
        "optout-proxy",
        "2 ms",
        "to reach: 2.5",
    ]
    assert picture.findtext(f"{SVG}desc") == "bare & <plain> 4 ms; optout-proxy 2 ms."


def test_bars_are_as_long_as_their_figures() -> None:
    """From 0."""
    picture = ET.fromstring(bars("Title", "", [Bar("a", [4.0]), Bar("b", [2.0])]))  # noqa: S314

    drawn = [
        float(node.attrib["width"]) for node in picture.iter(f"{SVG}rect") if "x" in node.attrib
    ]
    assert drawn[0] == pytest.approx(2 * drawn[1], abs=0.2)


def test_every_part_has_its_place_on_the_page() -> None:
    """A run of an hour must not end with nowhere to write."""
    page = Path(__file__).resolve().parents[2] / "docs/performance.md"
    text = page.read_text("utf-8")

    for name in (*PARTS, document.SUMMARY):
        assert document.replaced(text, name, "new\n") != text
    headings = set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert set(document.SUMMED.values()) <= headings
