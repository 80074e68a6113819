"""docs/security.md names a test for each threat, and each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table under *heading*, less its head."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def is_there(file: str, test: str) -> bool:
    """True where *file* defines *test*, or is there when no test is named."""
    path = ROOT / file
    if not path.is_file():
        return False
    return (
        not test or re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE) is not None
    )


def test_every_named_test_is_there() -> None:
    """A proof that is not there is none."""
    named = NAMED.findall(TEXT)

    assert len(named) > 60
    assert sorted({"::".join(one) for one in named if not is_there(*one)}) == []


def test_every_threat_has_a_test() -> None:
    """What stands against it is tested, not only said."""
    threats = rows("Threats")

    assert len(threats) > 30
    assert [cells[0] for cells in threats if not NAMED.search(cells[2])] == []


def test_every_item_has_a_test_or_a_reason() -> None:
    """An empty cell would be an item that nobody has looked at."""
    items = rows("ASVS 5.0")

    assert len(items) > 25
    assert [cells[0] for cells in items if not cells[2]] == []
    assert [
        cells[0] for cells in items if not re.fullmatch(r"(\d+\.\d+\.\d+(, )?)+", cells[0])
    ] == []


def test_every_setting_that_is_secret_is_in_the_table() -> None:
    """Where each lives, and who reads it."""
    told = "".join(cell for cells in rows("Secrets") for cell in cells)

    for word in ("signing", "server key", "api key", "client id", "audit", "webhook", "Redis"):
        assert word in told
