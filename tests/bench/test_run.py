"""`make bench` as a process: what it prints, and that a look writes nothing down."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.run import PARTS

ROOT = Path(__file__).resolve().parents[2]
BENCH = [sys.executable, str(ROOT / "bench/run.py")]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run([*BENCH, *arguments], capture_output=True, text=True, check=False)


def written() -> dict[Path, bytes]:
    """Return what a run may write."""
    pages = [ROOT / "docs/performance.md", *(ROOT / "docs/images").glob("performance-*")]
    return {page: page.read_bytes() for page in pages}


def test_a_look_prints_its_part_and_writes_nothing() -> None:
    """The table on standard output; what is being done, and for how long, on the other."""
    before = written()

    done = bench("audit", "--quick")

    assert done.returncode == 0, done.stderr
    assert "facts verified" in done.stdout
    assert ">= 50,000 /s" in done.stdout
    assert "audit: took" in done.stderr
    assert written() == before


@pytest.mark.parametrize("arguments", [["nothing"], ["audit", "--quick", "--write"]])
def test_what_can_not_be_meant_is_refused(arguments: list[str]) -> None:
    """Before anything is measured."""
    done = bench(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize("part", PARTS)
def test_each_part_has_its_module(part: str) -> None:
    """It is loaded only when it is chosen."""
    place = ROOT / PARTS[part].replace(".", "/")

    assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
