"""`report`: the same figures in every format, and a status that says whether they are all."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text

from proxy.cli import main
from proxy.funnel import MEANINGS
from proxy.report_page import ticks
from tests.evidence.conftest import Deployment
from tests.settings.shell import mode, run
from tests.test_docs import SAYS_OPT_OUT, cells

SCRIPT = "<script>alert(1)</script>"


def report(deployment: Deployment, *options: object) -> Result:
    """Run the command in the deployment."""
    return run(main, "report", "--config", deployment.home.config, *options)


def as_csv(result: Result) -> list[dict[str, str]]:
    """Return the lines of CSV, by column."""
    return list(csv.DictReader(result.stdout.splitlines()))


def as_json(result: Result) -> list[dict[str, Any]]:
    """Return the JSON lines."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_table_to_read(filled: Deployment) -> None:
    """Three tables with a total each, and the statement; nothing on the other channel."""
    result = report(filled, "--by", "week", "--by", "partner")

    assert result.exit_code == 0
    assert result.stdout.count("  total ") == 3
    assert "2026-W23  LAMPLIGHT" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Complete: every offer of ")
    assert result.stderr == ""


def test_every_format_tells_the_same(filled: Deployment) -> None:
    """CSV, JSON lines and the page hold the figures of the table."""
    lines = as_json(report(filled, "--format", "jsonl"))
    rows = as_csv(report(filled, "--format", "csv"))
    page = report(filled, "--format", "html").stdout

    total = lines.pop()["total"]
    assert [row["shown"] for row in rows] == [str(line["shown"]) for line in lines]
    assert sum(line["shown"] for line in lines) == total["shown"]
    assert f"{total['shown']:,}" in page
    assert {row["complete"] for row in rows} == {"true"}


def test_the_columns_of_declined_add_up(filled: Deployment) -> None:
    """Line by line, as a reader would check it."""
    for line in as_json(report(filled, "--format", "jsonl"))[:-1]:
        parts = [value for name, value in line.items() if name.startswith("declined_")]
        assert line["declined"] == sum(parts)
        assert line["shown"] == line["undecided"] + line["accepted"] + line["declined"]


def test_time_comes_first(filled: Deployment) -> None:
    """However the words are ordered, the lines are in the order of time."""
    result = report(filled, "--by", "product", "--by", "day", "--format", "csv")

    days = [row["day"] for row in as_csv(result)]
    assert result.stdout.startswith("day,product,shown,")
    assert days == sorted(days)


def test_a_period_holds_both_its_days(filled: Deployment) -> None:
    """--from and --to name the first and the last day."""
    result = report(
        filled, "--from", "2026-06-03", "--to", "2026-06-04", "--by", "day", "--format", "csv"
    )

    assert [row["day"] for row in as_csv(result)] == ["2026-06-03", "2026-06-04"]


def test_a_page_stands_alone(filled: Deployment) -> None:
    """No script, nothing loaded from anywhere, every column explained, and the right words."""
    result = report(filled, "--format", "html", "--made-by", "J. Moreau")
    seen = _Seen()
    seen.feed(result.stdout)

    assert not {"script", "link", "img", "iframe"} & seen.tags
    assert not seen.addresses
    assert "url(" not in result.stdout
    assert set(MEANINGS) <= seen.texts
    assert "J. Moreau" in seen.texts
    assert "1 June 2026 to 14 June 2026, UTC days" in seen.texts
    assert not SAYS_OPT_OUT.search(" ".join(seen.texts))


def test_the_document_explains_the_same_columns() -> None:
    """docs/evidence.md has each column with the very words of the page."""
    rows = {row[0].strip("*"): row[1] for row in cells("docs/evidence.md") if len(row) > 1}

    assert {name: rows.get(name) for name in MEANINGS} == MEANINGS


def test_a_page_shows_names_as_they_are(deployment: Deployment) -> None:
    """A product, a partner or a name is text, in the page and in its style sheet."""
    deployment.fill(days=2, scale=0.1)
    change = "UPDATE offers SET product = :script"
    with deployment.database.begin() as connection:
        connection.execute(text(change), {"script": SCRIPT})

    options = ("--format", "html", "--by", "product", "--by", "day")
    page = report(deployment, *options, "--made-by", '"}</style>' + SCRIPT).stdout

    assert SCRIPT not in page
    assert page.count("</style>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_empty_register_makes_a_report(deployment: Deployment) -> None:
    """In every format, with nothing in it, and complete."""
    for kind in ("text", "csv", "jsonl", "html"):
        result = report(deployment, "--format", kind)
        assert (result.exit_code, result.exception) == (0, None)
        assert "neither the register nor the ledger" in result.output.lower()


@pytest.mark.parametrize("kind", ["text", "csv", "jsonl", "html"])
def test_what_is_not_complete_ends_with_1(deployment: Deployment, kind: str) -> None:
    """Whatever the format, it is said in it."""
    deployment.fill(days=1, scale=0.1)
    with deployment.database.begin() as connection:
        connection.execute(text("UPDATE offers SET choice = 'other' WHERE id = 1"))

    result = report(deployment, "--format", kind)

    assert result.exit_code == 1
    assert "ffers that stand in no column: 1" in result.output
    assert re.search("not complete", result.output, re.IGNORECASE)


def test_a_file_is_new_and_whole(filled: Deployment, tmp_path: Path) -> None:
    """Open to its owner only, and never written over another one."""
    out = tmp_path / "report.csv"

    assert report(filled, "--format", "csv", "--out", out).exit_code == 0
    again = report(filled, "--format", "csv", "--out", out)

    assert mode(out) == 0o600
    assert out.read_text("utf-8") == report(filled, "--format", "csv").stdout
    assert (again.exit_code, again.stderr.count("\n")) == (2, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


WRONG = {
    "--by day --by week": "one of day, week and month",
    "--by partner --by partner": "each word once",
    "--from 2026-06-02 --to 2026-06-01": "--to is before --from",
    "--from yesterday": "does not match the format",
    "--out /nowhere/report.csv": "can not be written",
}


@pytest.mark.parametrize(("options", "said"), WRONG.items(), ids=WRONG)
def test_wrong_use_ends_with_2(filled: Deployment, options: str, said: str) -> None:
    """A sentence, and no figures."""
    result = report(filled, *options.split())

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_a_register_that_is_not_there_is_a_sentence(deployment: Deployment) -> None:
    """Nothing is made in its place."""
    path = Path(deployment.database.url.database or "")
    path.unlink()

    result = report(deployment)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "can not be read" in result.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("most", "axis"),
    [
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (42.7, [0, 10, 20, 30, 40, 50]),
        (1_650, [0, 500, 1_000, 1_500, 2_000]),
    ],
)
def test_an_axis_has_round_steps(most: float, axis: list[int]) -> None:
    """Five at most, and the highest value is below the last."""
    assert ticks(most) == axis


class _Seen(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.add(data.strip())
