"""What the snippet weighs stands in the documents, so that each change of it shows its size."""

import re
from pathlib import Path

from tests.snippet.node import ROOT, STATIC, node

REPORT = "docs/reference/snippet-size.md"


def test_the_report_is_what_the_files_weigh(workshop: Path) -> None:
    """`npm run build` writes it anew; forgotten, it is wrong here."""
    node(workshop / "size.mjs", "--write", folder=workshop)

    written = (workshop.parents[1] / REPORT).read_text("utf-8")
    assert (ROOT / REPORT).read_text("utf-8") == written


def test_the_report_can_be_read_by_a_machine() -> None:
    """A row for each file; the sizes as they lie on the disk are those of the first column."""
    report = (ROOT / REPORT).read_text("utf-8")
    rows = re.findall(r"(?m)^\| `(.+)` \| (\d+) \| (\d+) \| (\d+) \|$", report)

    assert [name for name, *_ in rows] == ["choice.js", "choice.min.js", "choice.mjs"]
    for name, raw, packed, brotli in rows:
        assert int(raw) == (STATIC / name).stat().st_size
        assert int(raw) > int(packed) > int(brotli)


def test_a_change_is_told(workshop: Path) -> None:
    """The table that is printed says what has changed."""
    module = workshop.parents[1] / "static/choice.mjs"
    content = module.read_bytes()
    module.write_bytes(content + b"//\n")
    try:
        printed = node(workshop / "size.mjs", folder=workshop)
    finally:
        module.write_bytes(content)

    assert f"choice.mjs     {len(content) + 3} (+3)" in printed
