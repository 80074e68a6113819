"""What the operator's pages quote, the program says; what pages tell to type, it takes."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.test_docs import COMMANDS, typed
from tests.test_docs import PAGES as ALL

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["docs/operating.md", "docs/upgrading.md", "docs/going-live.md"]
EVENT = re.compile(r"`([a-z_]+\.[a-z_]+)`")
WORD = re.compile(r"`([a-z]+(?:_[a-z]+)*)`")
QUOTE = re.compile(r'(?<![`=\w])"([^"`]*(?:`[^`]*`[^"`]*)*)"(?![`\w])')
SETTINGS = re.compile(r"^hmac\.")  # names of settings look the same as those of events
OUTCOMES = "| outcome | means | what to do |"
SHORT = 8  # characters; what stands between two gaps of a sentence and says nothing


def page(name: str) -> str:
    """Return the text of a page, without its blocks of code."""
    return re.sub(
        r"^```.*?^```", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )


@cache
def texts() -> list[str]:
    """Return every text in the program; a gap for what is filled in."""
    found = []
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(map(_part, node.values)))
    return found


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "…"


@pytest.mark.parametrize("name", PAGES)
def test_every_quoted_log_line_is_one(name: str) -> None:
    """The word under `event`, as the code logs it."""
    told = {event for event in EVENT.findall(page(name)) if not SETTINGS.match(event)}

    assert told or name == "docs/upgrading.md"
    assert told - set(texts()) == set()


def test_every_outcome_is_one() -> None:
    """The first column of the table of dead letters."""
    _, _, after = page("docs/operating.md").partition(OUTCOMES)
    rows = after.partition("\n\n")[0].splitlines()[2:]
    told = {word for row in rows for word in WORD.findall(row.split("|")[1])}

    assert len(told) > 5
    assert told - set(texts()) == set()


@pytest.mark.parametrize("name", PAGES)
def test_every_quoted_sentence_is_said(name: str) -> None:
    """Word for word, but for what is filled in."""
    parts = [
        part.strip()
        for quote in QUOTE.findall(page(name))
        for part in quote.split("…")
        if len(part.strip()) >= SHORT
    ]

    assert [part for part in parts if not any(part in text for text in texts())] == []
    assert parts or name == "docs/going-live.md"


def test_every_schema_is_explained() -> None:
    """docs/upgrading.md has a row for each migration, and for no other."""
    versions = (ROOT / "proxy/migrations/versions").glob("v[0-9]*.py")

    rows = re.findall(r"^\| (\d{4}) \| \S", page("docs/upgrading.md"), re.MULTILINE)

    assert rows == sorted(path.name[1:5] for path in versions)


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_told_option_is_taken(path: Path) -> None:
    """An option that a document tells the reader to type is one of its command."""
    lines = [line.strip().removeprefix(".venv/bin/") for line in typed(path)]
    told = [line.split(" #")[0] for line in lines if line.startswith("optout-proxy ")]

    assert [line for line in told if not _taken(line.split()[1:])] == []


def _taken(words: list[str]) -> bool:
    """Tell whether the command that *words* begin with has each of their options."""
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS), None)
    given = {word.partition("=")[0] for word in words if re.match("--[a-z]", word)}
    if name is None:
        return not given - {"--help", "--version"}
    return given <= {"--help", *(opt for one in COMMANDS[name].params for opt in one.opts)}
