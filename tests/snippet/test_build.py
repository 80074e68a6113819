"""The snippet as it is built, typed, weighed and released; its own tests run in Node.js."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from proxy import __version__
from tests.snippet.node import HERE, NPM, ROOT, STATIC, node

BUDGET = 2200  # bytes, gzipped
NEED_TOOLS = {"property.test.mjs", "mutants.test.mjs"}  # run by test_properties.py


def test_the_minified_file_is_what_the_source_builds(workshop: Path) -> None:
    """Anyone who builds it gets the committed bytes."""
    built = workshop / "../../static/choice.min.js"
    built.unlink()
    node(NPM, "run", "build", folder=workshop)

    assert built.read_bytes() == (STATIC / "choice.min.js").read_bytes()


def test_the_types_hold(workshop: Path) -> None:
    """The source against its own JSDoc, and a page's use against the published types."""
    node(NPM, "run", "types", folder=workshop)


def test_it_keeps_its_budget() -> None:
    """`gzip -9` of the file."""
    content = (STATIC / "choice.min.js").read_bytes()

    assert len(gzip.compress(content, 9, mtime=0)) <= BUDGET


def test_its_own_tests_pass() -> None:
    """The rules that need no browser, for the source and for the minified file."""
    files = {path.name for path in HERE.glob("*.test.mjs")} - NEED_TOOLS
    printed = node("--test", *(HERE / name for name in sorted(files)), folder=ROOT)

    assert re.search(r"(?m)^\S+ fail 0$", printed)
    assert not re.search(r"(?m)^\S+ pass 0$", printed)


def test_the_module_says_nothing_where_there_is_no_page() -> None:
    """A server that renders the shop may import it."""
    script = f"import('{STATIC.as_uri()}/choice.mjs').then((m) => m.offerChoice('declined'))"

    assert node("--input-type=module", "--eval", script, folder=ROOT) == ""


@pytest.mark.parametrize(
    "word",
    [
        "preventDefault",
        "stopPropagation",
        "stopImmediatePropagation",
        "unload",
        "navigator.locks",
        "cookie",
        "eval",
        "Function(",
        "innerHTML",
        "createElement",
        "append",
        "import(",
        "postMessage",
        "opt out",
        "opt-out",
    ],
)
def test_it_never_does_what_could_harm_a_checkout(word: str) -> None:
    """What a reviewer looks for is not there."""
    assert word not in (STATIC / "choice.min.js").read_text("utf-8")


def test_what_is_released_is_what_the_list_says() -> None:
    """Each version has its file and its hash, and the current one is what the source builds."""
    listed = json.loads((STATIC / "s/released.json").read_text("utf-8"))
    files = {path.parent.name: path.read_bytes() for path in STATIC.glob("s/*/choice.js")}
    hashes = {version: hashlib.sha384(content).digest() for version, content in files.items()}

    assert listed == {
        version: f"sha384-{base64.b64encode(digest).decode()}" for version, digest in hashes.items()
    }
    assert files[__version__] == (STATIC / "choice.min.js").read_bytes()


def test_the_lock_file_names_no_host() -> None:
    """Wherever the packages come from, they are told by their hashes."""
    lock = (ROOT / "deploy/snippet/package-lock.json").read_text("utf-8")
    packages = [name for name in json.loads(lock)["packages"] if name]

    assert "resolved" not in lock
    assert lock.count('"integrity"') == len(packages)
