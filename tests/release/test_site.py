"""The website of the documents: whole, without a dead link, and loading nothing from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make") or "make"
INTERFACE = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
CALLS = [
    (f"{method.upper()} {path}", call)
    for path, calls in INTERFACE["paths"].items()
    for method, call in calls.items()
]
SOURCES = ["docs", "deploy", "static", "tests/tokens/mains"]  # what documents lead to
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "srcset"}
PLANTED = {
    "a page that is not there": ("glossary.md", "\n[gone](gone.md)\n", "gone.md"),
    "a heading that is not there": ("glossary.md", "\n[up](#no-such-word)\n", "no-such-word"),
    "a file that is not there": ("glossary.md", "\n[gone](../deploy/gone.conf)\n", "gone.conf"),
    "a page that nobody finds": ("lonely.md", "# Lonely\n", "lonely.md"),
}


class Seen(HTMLParser):
    """What a page leads to, what it loads, and the places in it that can be led to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in one element."""
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADING and given.get("rel") != "canonical":
            self.loaded += [given[LOADING[tag]]] if LOADING[tag] in given else []
        if tag == "a":
            self.links.append(given.get("href", ""))


def build(root: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """Build the website of *root* as `make docs` does, and let it say all it wants to say."""
    config = root / "deploy/site/mkdocs.yml"
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The website, and what was said while it was built."""
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out, done.stderr


@pytest.fixture(scope="module")
def pages(said: tuple[Path, str]) -> dict[Path, Seen]:
    """Every page of the website."""
    return {path: Seen(path.read_text("utf-8")) for path in sorted(said[0].rglob("*.html"))}


@pytest.fixture(scope="module")
def calls(said: tuple[Path, str]) -> dict[str, str]:
    """The page of the calls, by their headings."""
    text = (said[0] / "reference/interface.html").read_text("utf-8")
    parts = re.split(r"<h2 id=\"[^\"]*\">(.*?)<a ", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_it_is_built_without_a_warning(said: tuple[Path, str]) -> None:
    """Nor with a notice that is none yet."""
    assert "built" in said[1]
    assert re.findall(r".*(?:warning|deprecat|error).*", said[1], re.IGNORECASE) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_makes_it_fail(fault: str, tmp_path: Path) -> None:
    """And is named."""
    for name in SOURCES:
        ignored = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "openapi.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    page, text, named = PLANTED[fault]
    with (tmp_path / "docs" / page).open("a") as file:
        file.write(text)

    done = build(tmp_path, tmp_path / "out")

    assert done.returncode != 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert named in done.stderr


def test_every_document_is_a_page(pages: dict[Path, Seen], said: tuple[Path, str]) -> None:
    """With those outside docs/, too."""
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    wanted = {said[0] / path.with_suffix(".html") for path in documents}
    wanted |= {said[0] / name for name in ("index.html", "changelog.html", "vulnerabilities.html")}

    assert wanted - pages.keys() == set()


def test_no_link_is_dead(pages: dict[Path, Seen]) -> None:
    """Also not to a heading; found without the help of what built it."""
    dead = [
        (page.name, link)
        for page, seen in pages.items()
        for link in seen.links
        if page.name != "404.html" and not _is_alive(page, link, pages)
    ]

    assert dead == []
    assert sum(len(seen.links) for seen in pages.values()) > 1_000


def _is_alive(page: Path, link: str, pages: dict[Path, Seen]) -> bool:
    if re.match(r"https?:|mailto:", link) or link in ("", "javascript:void(0)"):
        return True
    path, _, place = link.partition("#")
    target = (page.parent / unquote(path)).resolve() if path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    return not place or target not in pages or unquote(place) in pages[target].places


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Seen], said: tuple[Path, str]) -> None:
    """Neither a script nor a style nor a picture nor a font: who reads is told to nobody."""
    loaded = {address for seen in pages.values() for address in seen.loaded}
    styles = "".join(path.read_text("utf-8") for path in said[0].rglob("*.css"))

    assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []
    assert re.findall(r"url\(['\"]?(?:https?:)?//|@import", styles) == []
    assert any(address.endswith(".js") for address in loaded)


def test_every_picture_is_there(pages: dict[Path, Seen]) -> None:
    """And every script and style."""
    missing = [
        (page.name, address)
        for page, seen in pages.items()
        for address in seen.loaded
        if page.name != "404.html" and not (page.parent / address.partition("?")[0]).is_file()
    ]

    assert missing == []


@pytest.mark.parametrize(("heading", "call"), CALLS, ids=[heading for heading, _ in CALLS])
def test_every_call_is_on_the_page(calls: dict[str, str], heading: str, call: Any) -> None:
    """With its parameters, the fields of its bodies, its answers, its codes and an example."""
    text = calls[heading]
    names = [parameter["name"] for parameter in call.get("parameters", [])]
    names += [name for kind in _bodies(call) for name in _fields(kind)]
    codes = INTERFACE["x-problem-codes"]

    assert [name for name in names if f"<td><code>{name}</code></td>" not in text] == []
    assert [code for code in call["responses"] if f"<td>{code}</td>" not in text] == []
    for code in call["x-codes"]:
        row = rf"<code>{code}</code></td>\s*<td>{codes[code]['status']}</td>\s*"
        assert re.search(row + rf"<td>{codes[code]['x-retry']}</td>", text), code
    assert text.count('<div class="highlight">') >= 1


def test_no_call_is_invented(calls: dict[str, str]) -> None:
    """What stands on the page is in openapi.yaml."""
    others = {"Who calls", "Objects"}

    assert calls.keys() - others == {heading for heading, _ in CALLS}


def _bodies(call: Any) -> Iterator[Any]:
    """Yield the schema of each body that is sent, and of each that a success answers."""
    yield from (body["schema"] for body in call.get("requestBody", {}).get("content", {}).values())
    for status, answer in call["responses"].items():
        if status < "300":
            yield from (body["schema"] for body in answer["content"].values())


def _fields(schema: Any) -> list[str]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return list(
        (INTERFACE["components"]["schemas"][name] if name else schema).get("properties", {})
    )


def test_make_docs_sets_itself_up() -> None:
    """It needs nothing to be made before, and takes no warning."""
    done = subprocess.run(
        [MAKE, "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ".ci/environment.py dev" in done.stdout
    assert "--strict" in done.stdout
