"""The bill of materials: whole, as its schema asks, and the same bytes for the same commit."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import sbom
from proxy import __version__

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "deploy/requirements.lock").read_text("utf-8")


def made(folder: Path, **environment: str) -> bytes:
    """Make the bill as a release would; return its bytes."""
    path = folder / f"{len(list(folder.iterdir()))}.json"
    usual = {"SOURCE_DATE_EPOCH": "1767225600"}
    subprocess.run(
        [sys.executable, "-m", "deploy.sbom", str(path)],
        cwd=ROOT,
        env={**os.environ, **usual, **environment},
        check=True,
        capture_output=True,
    )
    return path.read_bytes()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file, made once."""
    return made(tmp_path_factory.mktemp("bill"))


@pytest.fixture
def bill(content: bytes) -> dict[str, Any]:
    """The bill, read."""
    read: dict[str, Any] = json.loads(content)
    return read


def test_it_is_the_same_whenever_it_is_made(content: bytes, tmp_path: Path) -> None:
    """Its number and its time are those of the commit, not of the run."""
    again = made(tmp_path, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")

    assert again == content
    assert b"2026-01-01T00:00:00" in content


def test_another_time_is_another_bill(
    bill: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases do not share a number."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767312000")

    assert json.loads(sbom.bill())["serialNumber"] != bill["serialNumber"]


def test_every_pinned_package_is_on_it(bill: dict[str, Any]) -> None:
    """With its version and each hash of the lock file."""
    pinned = dict(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", LOCK))
    listed = {each["name"]: each["version"] for each in bill["components"]}
    hashes = {
        found["content"]
        for each in bill["components"]
        for reference in each.get("externalReferences", ())
        for found in reference.get("hashes", ())
    }

    assert listed == {**pinned, "@optout-proxy/choice": __version__}
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", LOCK))


def test_the_snippet_is_on_it_with_the_hash_that_is_served(bill: dict[str, Any]) -> None:
    """It runs in the customer's browser."""
    script = (ROOT / "static/s" / __version__ / "choice.js").read_bytes()
    entry = next(each for each in bill["components"] if each["name"] == "@optout-proxy/choice")
    hashes = {each["alg"]: each["content"] for each in entry["hashes"]}

    assert hashes["SHA-384"] == hashlib.sha384(script).hexdigest()


def test_it_says_who_needs_whom(bill: dict[str, Any]) -> None:
    """From the proxy every package is reached, whether it asked for it or another did."""
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    reached: set[str] = set()
    waiting = [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        waiting += [each for each in needs[ref] if each not in reached]
        reached |= set(needs[ref])

    assert reached == {each["bom-ref"] for each in bill["components"]}
    assert any("werkzeug" in each for ref in needs if "pypi/flask@" in ref for each in needs[ref])


def test_the_lock_file_is_read_in_both_its_forms() -> None:
    """One user stands on the line of `via`, several below it; a constraint is no user."""
    text = (
        "a==1 \\\n    --hash=sha256:00\n    # via optout-proxy (pyproject.toml)\n"
        "b==2 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
        "    # via\n    #   -c deploy/requirements.lock\n    #   a\n    #   c\n"
    )

    assert sbom.via(text) == {"a": {"optout-proxy"}, "b": {"a", "c"}}
