"""The workflows, by their rules; and a planted fault for each rule, to see that it is seen."""

from pathlib import Path

import pytest
import yaml

from tests.release.workflows import faults

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
GOOD = f"""
on: push
permissions: {{}}
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: actions/checkout@{"0" * 40} # v1.2.3
        with:
          persist-credentials: false
      - run: make check
"""
PLANTED = {
    "a tag": (f"@{'0' * 40} # v1.2.3", "@v1"),
    "a short commit": (f"@{'0' * 40} # v1.2.3", "@0000000 # v1.2.3"),
    "no version said": (" # v1.2.3", ""),
    "wide permissions": ("permissions: {}", "permissions: write-all"),
    "no permissions": ("permissions: {}\n", ""),
    "a job without its own": ("    permissions:\n      contents: read\n", ""),
    "a job that writes": ("contents: read", "contents: write"),
    "strangers' pull requests": ("on: push", "on: pull_request_target"),
    "a secret": ("make check", "make check TOKEN=${{ secrets.TOKEN }}"),
    "a title in a command": ("make check", "echo ${{ github.event.pull_request.title }}"),
    "a branch's name in a command": ("make check", "echo ${{ github.head_ref }}"),
    "kept credentials": ("persist-credentials: false", "fetch-depth: 0"),
    "no end": ("    timeout-minutes: 5\n", ""),
}


def test_there_are_workflows() -> None:
    """Each of them is looked at below."""
    assert {path.stem for path in WORKFLOWS} >= {"ci", "npm", "release", "security"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_keeps_to_the_rules(path: Path) -> None:
    """Pinned by commit, least permissions, no secret, nothing of a stranger's in a command."""
    assert faults(path) == []


def test_a_good_workflow_has_no_fault(tmp_path: Path) -> None:
    """What the planted ones are made of."""
    (tmp_path / "good.yml").write_text(GOOD, "utf-8")

    assert faults(tmp_path / "good.yml") == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_seen(tmp_path: Path, name: str) -> None:
    """Each rule sees its own."""
    old, new = PLANTED[name]
    assert old in GOOD
    (tmp_path / "bad.yml").write_text(GOOD.replace(old, new, 1), "utf-8")

    assert faults(tmp_path / "bad.yml") != []


def test_every_supported_python_is_tested() -> None:
    """The matrix of ci.yml has the versions that the package says it supports, and no others."""
    flow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    versions = flow["jobs"]["run"]["strategy"]["matrix"]["python"]

    assert versions == [f"3.{minor}" for minor in range(30) if f'Python :: 3.{minor}"' in text]
