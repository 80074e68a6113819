"""Writes what a PCI DSS reviewer asks about the script: dist/pci-pack/, and the same as one zip.

Made of what the release is made of: nothing in it is typed anew but the fields that only the shop
can fill. The same commit gives the same bytes.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from deploy import commit, sbom
from deploy.pci_pages import Section, as_html, as_markdown
from proxy import __version__
from proxy.cli.snippet import describe

ROOT = commit.ROOT
NAME = "pci-pack"
TO_FILL = "to be filled in by the shop"
PLACEHOLDER = "https://proxy.shop.example"
REBUILD = f"git checkout v{__version__} && make build sbom pci"
TESTS = "python -m pytest tests/snippet tests/browser --junitxml report.xml"
UNSAID = {  # in the source, where the name is enough
    "offer": "the insurer's id of the offer",
    "purchased": "1 when the page tells that the main product was bought",
    "order": "the shop's reference of the order, where the page gives one",
    "tries": "how often this message was sent before",
}
JUSTIFICATION = (
    "The shop must tell the insurer when a customer declines the insurance that its checkout "
    "offers. The script hears the answer in the page and tells the shop's own proxy; without it "
    "an answer would be lost when the page is left. It reads no payment data."
)


def inventory(public_url: str) -> list[tuple[str, str]]:
    """Return the line of the script inventory (requirement 6.4.3), field by field."""
    facts = describe(public_url)
    return [
        ("script", "choice.js"),
        ("version", facts["version"]),
        ("source", facts["url"]),
        ("integrity", facts["integrity"]),
        ("bytes", str(facts["bytes"])),
        ("line", facts["inventory"]),
        ("justification", JUSTIFICATION),
        ("owner", TO_FILL),
        ("authorised by", TO_FILL),
        ("authorised on", TO_FILL),
    ]


def sent() -> list[tuple[str, str]]:
    """Return each field that the script sends, with what its source says of it."""
    source = (ROOT / "static/choice.js").read_text("utf-8")
    block = source.partition("@typedef {object} Form")[2].partition("*/")[0]
    found = re.findall(r"@property \{.*?\} \[?(\w+)\]?(?: (.*))?", block)
    return [(name, said or UNSAID[name]) for name, said in found]


def read() -> str:
    """Return what the documents say that the script reads."""
    text = (ROOT / "docs/snippet.md").read_text("utf-8")
    return text.partition("## What it needs\n")[2].partition("\n## ")[0].strip()


def tests(report: Path | None) -> list[tuple[str, str]]:
    """Return what the test report in JUnit XML says, or how to make one."""
    if report is None:
        return [("report", f"none was given; `{TESTS}` writes one, `--tests report.xml` adds it")]
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314  # our own tests' report
    total = {
        name: sum(int(suite.get(name, "0")) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    return [("report", "tests.xml"), *((name, str(count)) for name, count in total.items())]


def provenance() -> list[tuple[str, str]]:
    """Return what the pack was made of, and how to make it again."""
    return [
        ("version", __version__),
        ("commit", commit.name()),
        ("day of the commit", commit.day()),
        ("rebuild", REBUILD),
        ("rebuild the script", "npm ci --ignore-scripts && npm run build, in deploy/snippet"),
        ("attestations", "PyPI and npm show the workflow and the commit that built each file"),
    ]


def sections(public_url: str, report: Path | None) -> Iterator[Section]:
    """Yield the chapters of the index."""
    facts = describe(public_url)
    yield Section("Inventory (6.4.3)", rows=inventory(public_url))
    yield Section("Tag", code=facts["tag"])
    yield Section("Content-Security-Policy", code="\n".join(f"{each};" for each in facts["csp"]))
    yield Section("Hash of each released version", rows=list(released().items()))
    yield Section("What the script reads", text=read())
    yield Section("What the script sends, to the proxy and nowhere else", rows=sent())
    yield Section("Provenance", rows=provenance())
    yield Section("Tests of the script", rows=tests(report))
    yield Section(
        "Watching the page (11.6.1)",
        text="At least once a week, and after each release of the shop:",
        code="optout-proxy check --page https://shop.example/checkout",
    )
    yield Section("Files beside this page", rows=FILES)


FILES = [
    ("inventory.csv", "the line above, to be put into the shop's own inventory"),
    ("released.json", "the hash of each released version"),
    ("csp.txt", "the lines of the policy"),
    ("choice.js, choice.min.js", "the source to read, and the bytes that are served"),
    ("sbom.cdx.json", "the bill of materials of the proxy, CycloneDX 1.6"),
    ("tests.xml", "the test report, if one was given"),
    ("SHA256SUMS", "the hash of each of these files"),
]


def released() -> dict[str, str]:
    """Return the hash of each released version."""
    found: dict[str, str] = json.loads((ROOT / "static/s/released.json").read_text("utf-8"))
    return found


def contents(public_url: str, report: Path | None) -> dict[str, bytes]:
    """Return the files of the pack by name."""
    title = f"choice.js {__version__}: evidence for PCI DSS"
    chapters = list(sections(public_url, report))
    script = ROOT / "static/s" / __version__ / "choice.js"
    files = {
        "README.md": as_markdown(title, chapters).encode(),
        "index.html": as_html(title, chapters).encode(),
        "inventory.csv": _csv(inventory(public_url)).encode(),
        "released.json": (ROOT / "static/s/released.json").read_bytes(),
        "csp.txt": "".join(f"{line};\n" for line in describe(public_url)["csp"]).encode(),
        "choice.js": (ROOT / "static/choice.js").read_bytes(),
        "choice.min.js": script.read_bytes(),
        "sbom.cdx.json": sbom.bill().encode(),
    }
    if report is not None:
        files["tests.xml"] = report.read_bytes()
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return {**files, "SHA256SUMS": "".join(lines).encode()}


def _csv(rows: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(zip(*rows, strict=True))
    return text.getvalue()


def write(files: dict[str, bytes], folder: Path) -> Path:
    """Write *files* into `pci-pack/` below *folder* and into a zip beside it; return the zip."""
    pack = folder / NAME
    pack.mkdir(parents=True, exist_ok=True)
    for old in pack.iterdir():
        old.unlink()
    target = folder / f"{NAME}-{__version__}.zip"
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in sorted(files.items()):
            (pack / name).write_bytes(content)
            entry = zipfile.ZipInfo(f"{NAME}-{__version__}/{name}")  # of 1980, whenever it is made
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, wherever it is made
            packed.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return target


def main(words: list[str]) -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(prog="make pci", description=__doc__)
    parser.add_argument("--public-url", default=PLACEHOLDER, help="of the proxy")
    parser.add_argument("--tests", type=Path, help="a test report in JUnit XML")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to write to")
    given = parser.parse_args(words)
    print(write(contents(given.public_url, given.tests), given.out))


if __name__ == "__main__":
    main(sys.argv[1:])
