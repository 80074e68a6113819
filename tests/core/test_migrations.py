"""A migration after the first only adds, so that two versions can run on one database."""

import ast
import re
from pathlib import Path

import pytest

VERSIONS = Path(__file__).resolve().parents[2] / "proxy" / "migrations" / "versions"
_ADDING = {"add_column", "create_index", "create_table", "f", "get_bind", "get_context"}
_CREATED = re.compile(r"op\.create_table\(\s*['\"](\w+)['\"]")
_DROPPED = re.compile(r"DROP TRIGGER (\w+?)_no_\w+(?: ON \w+)?")
_GUARD = re.compile(r"CREATE (?:FUNCTION .*|TRIGGER \w+ BEFORE [A-Z ]+ ON (?P<table>\w+) .*)")


def breaks(source: str) -> list[str]:
    """Return what in a migration's *source* the version before it could not live with."""
    found = []
    anew = {table for table in _DROPPED.findall(source) if f" ON {table} " in source}
    created = {*_CREATED.findall(source), *anew}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if _is_guard(node, created):
            continue
        if ast.unparse(node.func.value) == "op" and name not in _ADDING:
            found.append(f"line {node.lineno}: op.{name}")
        if name == "Column" and _is_demanding(node):
            found.append(f"line {node.lineno}: a column that the version before does not fill")
    return found


def _is_guard(call: ast.Call, created: set[str]) -> bool:
    """Return whether it guards a table that the migration itself has made, or guards it anew.

    A guard that is replaced must refuse less than before, which only a reader can see.
    """
    if ast.unparse(call.func) != "op.execute" or not isinstance(call.args[0], ast.Constant):
        return False
    said = str(call.args[0].value)
    found = _GUARD.fullmatch(said)
    if dropped := _DROPPED.fullmatch(said):
        return dropped[1] in created
    return found is not None and found["table"] in {None, *created}


def _is_demanding(column: ast.Call) -> bool:
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in column.keywords}
    return given.get("nullable") == "False" and "server_default" not in given


def _added_columns(source: str) -> str:
    """Return *source* without its new tables, whose columns may demand what they like."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "op.create_table":
            node.args = node.args[:1]
    return ast.unparse(tree)


@pytest.mark.parametrize(
    "path", sorted(VERSIONS.glob("v*.py"))[1:] or [None], ids=lambda path: path and path.name
)
def test_later_migrations_only_add(path: Path | None) -> None:
    """The version before runs on until the last of its processes is replaced."""
    assert path is None or breaks(_added_columns(path.read_text())) == []


def test_revisions_are_numbered_without_a_gap() -> None:
    """`one step ahead` is a statement about numbers."""
    numbers = [path.name[1:5] for path in sorted(VERSIONS.glob("v*.py"))]

    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("offers", "digest")',
        'op.alter_column("offers", "seq", nullable=False)',
        'op.rename_table("offers", "choices")',
        'op.execute("DELETE FROM offers")',
        'op.execute("CREATE TRIGGER t BEFORE UPDATE ON offers BEGIN SELECT 1; END")',
        'op.execute("CREATE TABLE notes AS SELECT 1")',
        'op.execute("DROP TRIGGER guard")',
        'op.execute("DROP TRIGGER facts_no_delete")',
        'op.add_column("offers", sa.Column("note", sa.Text(), nullable=False))',
    ],
)
def test_what_takes_away_is_seen(line: str) -> None:
    """The rule has teeth."""
    assert breaks(_added_columns(f"def upgrade():\n    {line}\n"))


def test_what_adds_is_let_pass() -> None:
    """A new table and its guard, a column that may be empty, one with a default, an index."""
    source = """
def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer(), nullable=False))
    op.add_column("offers", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("offers", sa.Column("n", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("notes_id", "notes", ["id"])
    op.execute("CREATE TRIGGER notes_keep BEFORE DELETE ON notes BEGIN SELECT 1; END")
"""
    assert breaks(_added_columns(source)) == []
