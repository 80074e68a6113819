"""The documents say what the code does: each list in them is compared with its source."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from proxy.checks.findings import CHECKS
from proxy.choices import Choice, Kind, Report, Source
from proxy.cli import main
from proxy.errors import CODES
from proxy.settings import Settings
from tests import architecture as shape

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
SAYS_OPT_OUT = re.compile(r"\bopt(ed|ing|s)?[ -]out\b", re.IGNORECASE)
NOT_WRITTEN = {"folder", "name"}  # where the file lies; what the table's header says
WORDS = [str(word) for words in (Choice, Report, Kind, Source) for word in words]


def text_of(name: str) -> str:
    """Return the text of a file of the project."""
    return (ROOT / name).read_text("utf-8")


def cells(name: str) -> list[list[str]]:
    """Return the rows of the tables in a document, cell by cell."""
    rows = [line.strip("| ").split(" | ") for line in text_of(name).splitlines() if "|" in line]
    return [[cell.strip() for cell in row] for row in rows]


def typed(page: Path) -> list[str]:
    """Return what *page* shows as code: lines of its blocks, and what stands in backticks."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`(.+?)`", rest)


def tables(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the full name of every setting below *model*."""
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        named = "NAME." if str(field.annotation).startswith("dict[") else ""
        if not inner and name not in NOT_WRITTEN:
            yield prefix + name
        for kind in inner:
            yield from tables(kind, f"{prefix}{name}.{named}")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that stand anywhere in a type such as `dict[str, Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def commands(group: click.Command, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that can be typed, with the command."""
    if not isinstance(group, click.Group):
        yield prefix, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from commands(command, f"{prefix} {name}".strip())


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_documented(code: str) -> None:
    """docs/reference/errors.md has the code with its status, its verdict and its title."""
    entry = CODES[code]
    verdict = "retry" if entry.retry else "final"

    rows = [row for row in cells("docs/reference/errors.md") if row[0] == f"`{code}`"]

    assert [row[1:4] for row in rows] == [[str(entry.status), verdict, entry.title]]


def test_no_code_is_invented() -> None:
    """docs/reference/errors.md lists no code that the closed list does not have."""
    listed = {row[0].strip("`") for row in cells("docs/reference/errors.md") if row[0][0] == "`"}

    assert listed == set(CODES)


def test_every_check_is_documented() -> None:
    """docs/checks.md has one row for each check: what it says, because, and how to mend it."""
    rows = [row for row in cells("docs/checks.md") if row[0][0] == "`"]

    assert sorted(row[0].strip("`") for row in rows) == sorted(CHECKS)
    assert {len([cell for cell in row if cell]) for row in rows} == {4}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """docs/reference/commands.md has a heading for the command, and each of its options."""
    _, _, after = text_of("docs/reference/commands.md").partition(f"\n## {name}\n")
    section = after.partition("\n## ")[0]
    options = [opt for param in COMMANDS[name].params for opt in param.opts if opt[:2] == "--"]

    assert section
    assert [option for option in options if f"`{option}" not in section] == []


def test_no_command_is_invented() -> None:
    """docs/reference/commands.md has no heading without a command."""
    headings = re.findall(r"^## (.+)$", text_of("docs/reference/commands.md"), re.MULTILINE)

    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("key", sorted(set(tables(Settings))))
def test_every_setting_is_documented(key: str) -> None:
    """docs/reference/settings.md has a row for the setting."""
    documented = {row[0] for row in cells("docs/reference/settings.md")}

    assert f"`{key}`" in documented


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_word_is_in_the_glossary(word: str) -> None:
    """What the code calls a choice, a report, an outcome or a source, the glossary explains."""
    assert re.search(rf"^\|.*(\*\*|`){word}(\*\*|`)", text_of("docs/glossary.md"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    """A `make` command that a document tells the reader to type is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    told = {name for code in typed(page) for name in re.findall(r"^make ([a-z]+)", code)}

    assert told <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_told_command_exists(page: Path) -> None:
    """An `optout-proxy` command that a document tells the reader to type can be typed."""
    words = r"^(?:[.]venv/bin/)?optout-proxy ([a-z]+)(?: ([a-z]+))?"
    told = [match.groups() for code in typed(page) if (match := re.match(words, code))]
    known = COMMANDS.keys()

    assert [pair for pair in told if not {pair[0], f"{pair[0]} {pair[1]}"} & known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A link or a picture within the repository names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8"))
    links += re.findall(r'(?:src|srcset|href)="(?!https?:|#)([^"#]+)"', page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_target_says_what_it_does() -> None:
    """`make` alone lists every target with one line."""
    silent = re.findall(r"^([a-z]+):(?!.*## \S)", text_of("Makefile"), re.MULTILINE)

    assert silent == []


def test_the_straight_line_names_what_exists() -> None:
    """Each `module.name` in the numbered data flow is defined in that module."""
    modules = shape.read(ROOT / "proxy")
    steps = re.findall(r"^\d+\. .*", text_of("docs/architecture.md"), re.MULTILINE)
    told = {name for step in steps for name in re.findall(r"`([a-z_.]+\.[A-Za-z_.]+)`", step)}

    assert told
    assert [name for name in sorted(told) if not _is_defined(name, modules)] == []


def _is_defined(name: str, modules: dict[str, shape.Module]) -> bool:
    module = next((m for m in sorted(modules, key=len)[::-1] if name.startswith(f"{m}.")), None)
    if not module:
        return False
    body: list[ast.stmt] = modules[module].tree.body
    for part in name[len(module) + 1 :].split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_decisions_are_numbered_without_a_gap() -> None:
    """0001, 0002, and so on: a decision is superseded, not removed."""
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_short_and_complete(path: Path) -> None:
    """At most 40 lines: context, decision, consequences, and what would change our mind."""
    text = path.read_text("utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)

    assert headings == ["Context", "Decision", "Consequences", "What would change our mind"]
    assert len(text.splitlines()) <= 40


def test_every_dependency_has_its_reason() -> None:
    """docs/decisions/0004-dependencies.md explains each package that is installed, and no other."""
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    needed = {re.split(r"[<>=\[]", name)[0] for name in project["dependencies"]}
    rows = cells("docs/decisions/0004-dependencies.md")

    assert {row[0] for row in rows[2:]} == needed


def test_pages_speak_of_accepting_and_declining() -> None:
    """No page that a customer sees says "opt out"."""
    pages = [page for page in (ROOT / "templates").rglob("*") if page.is_file()]

    assert pages
    assert [page for page in pages if SAYS_OPT_OUT.search(_words(page))] == []


def _words(page: Path) -> str:
    """Return what a page shows: neither its template statements nor its tags."""
    return re.sub(r"{[{%#].*?[}%#]}|<[^>]*>", " ", page.read_text("utf-8"), flags=re.DOTALL)


def project_files() -> list[Path]:
    """Return the files that belong to the project: what git holds, or would."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_the_machine_it_was_made_on() -> None:
    """No path of a machine and no address of a package registry is in any file."""
    paths = "|".join(f"/{folder}/" for folder in ("home", "root", "work", "Users"))
    hosts = "|".join(f"{host}[.]" for host in ("files[.]pythonhosted", "pypi", "registry[.]npmjs"))
    trace = re.compile(rf"(?<![\w.:/])({paths})|//{hosts}".encode())

    assert [path for path in project_files() if trace.search(path.read_bytes())] == []


def test_the_fault_matrix_names_tests_that_are_there() -> None:
    """A row without its test would be a promise without a proof."""
    text = text_of("docs/reliability.md")
    rows = text[text.index("## The fault matrix") :]
    written = "".join(path.read_text("utf-8") for path in (ROOT / "tests/faults").glob("test_*.py"))
    files = set(re.findall(r"`(test_\w+\.py)`", rows))
    tests = set(re.findall(r"`(test_\w+)`", rows))

    assert [name for name in files if not (ROOT / "tests/faults" / name).is_file()] == []
    assert [name for name in tests if f"def {name}(" not in written] == []
    assert len(tests) > 60
