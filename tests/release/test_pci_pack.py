"""The PCI pack: what a reviewer finds in it is what is released."""

import base64
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deploy.pci_pack import sections, write
from deploy.pci_pages import as_markdown
from proxy import __version__
from proxy.cli.snippet import describe

ROOT = Path(__file__).resolve().parents[2]
PROXY = "https://proxy.of.a.test"
REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" tests="12" failures="1" errors="0" skipped="2"/></testsuites>
"""


def pack(folder: Path, *words: str, **environment: str) -> Path:
    """Make the pack as `make pci` does; return its folder."""
    subprocess.run(
        [sys.executable, "-m", "deploy.pci_pack", "--out", str(folder), *words],
        cwd=ROOT,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600", **environment},
        check=True,
        capture_output=True,
    )
    return folder / "pci-pack"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack of a shop, with a test report."""
    folder = tmp_path_factory.mktemp("pack")
    report = folder / "report.xml"
    report.write_text(REPORT, "utf-8")
    return pack(folder, "--public-url", PROXY, "--tests", str(report))


def test_the_inventory_line_is_the_one_that_is_printed(made: Path) -> None:
    """With what only the shop can say left to fill in, and a written justification."""
    with (made / "inventory.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    facts = describe(PROXY)

    assert line["line"] == facts["inventory"]
    assert (line["source"], line["integrity"]) == (facts["url"], facts["integrity"])
    assert line["owner"] == line["authorised by"] == "to be filled in by the shop"
    assert line["justification"].count(".") >= 2


def test_the_hash_of_each_release_is_the_hash_of_its_file(made: Path) -> None:
    """And the script in the pack is the newest of them."""
    listed = json.loads((made / "released.json").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha384((made / "choice.min.js").read_bytes()).digest())

    assert listed[__version__] == f"sha384-{digest.decode()}"


def test_it_names_every_field_that_the_script_sends(made: Path) -> None:
    """Each that the minified script writes into its form."""
    index = (made / "README.md").read_text("utf-8")
    sent = index.partition("## What the script sends")[2].partition("\n## ")[0]
    named = re.findall(r"(?m)^\| (\w+) \|", sent)

    source = (ROOT / "static/choice.js").read_text("utf-8")
    form = source.partition("@typedef {object} Form")[2].partition("*/")[0]
    assert len(named) == form.count("@property")
    assert {"offer", "choice", "id", "seq", "at", "token", "order"} <= set(named)


def test_the_test_report_is_counted_and_enclosed(made: Path) -> None:
    """Failures are shown like everything else."""
    index = (made / "README.md").read_text("utf-8")

    assert "| tests | 12 |" in index
    assert "| failures | 1 |" in index
    assert (made / "tests.xml").read_text("utf-8") == REPORT


def test_without_a_report_it_says_how_to_make_one() -> None:
    """Nothing is claimed that was not run."""
    index = as_markdown("Evidence", list(sections(PROXY, None)))

    assert "--junitxml report.xml" in index
    assert "| failures |" not in index


def test_the_sums_are_right(made: Path) -> None:
    """Of every file but themselves."""
    lines = (made / "SHA256SUMS").read_text("utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.name != "SHA256SUMS"}

    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_the_zip_holds_the_folder(made: Path) -> None:
    """File by file."""
    name = f"pci-pack-{__version__}"
    with zipfile.ZipFile(made.parent / f"{name}.zip") as packed:
        files = {entry: packed.read(entry) for entry in packed.namelist()}

    assert files == {f"{name}/{path.name}": path.read_bytes() for path in made.iterdir()}


def test_the_same_files_make_the_same_zip(made: Path, tmp_path: Path) -> None:
    """Whenever and wherever they are packed."""
    files = {path.name: path.read_bytes() for path in sorted(made.iterdir(), reverse=True)}

    packed = write(files, tmp_path / "elsewhere")

    assert packed.read_bytes() == (made.parent / packed.name).read_bytes()


@pytest.mark.thorough
def test_the_same_commit_makes_the_same_zip(tmp_path: Path) -> None:
    """On any machine, from the first step."""
    zips = [
        pack(tmp_path / word, TZ=word, PYTHONHASHSEED=str(len(word))).parent
        / f"pci-pack-{__version__}.zip"
        for word in ("UTC", "Asia/Tokyo")
    ]

    assert zips[0].read_bytes() == zips[1].read_bytes()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_page_to_print_loads_and_runs_nothing(made: Path) -> None:
    """The tag in it is text."""
    page = _Page()
    page.feed((made / "index.html").read_text("utf-8"))

    assert "table" in page.tags
    assert not page.tags & {"script", "link", "img", "iframe", "a"}
    assert page.attributes <= {"lang", "charset"}
