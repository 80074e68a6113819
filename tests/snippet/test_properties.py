"""What holds whatever happens to a page, and the faults that prove that the rules see them."""

import re
from pathlib import Path

import pytest

from tests.snippet.node import node


def run(workshop: Path, name: str) -> None:
    """Run a file of generated tests beside its tools."""
    printed = node("--test", workshop.parents[1] / "tests/snippet" / name, folder=workshop)

    assert re.search(r"(?m)^\S+ fail 0$", printed)
    assert not re.search(r"(?m)^\S+ pass 0$", printed)


@pytest.mark.timeout(1800)  # FAST_CHECK_RUNS may ask for much
def test_the_properties_hold(workshop: Path) -> None:
    """For the source and for the minified file; FAST_CHECK_RUNS and FAST_CHECK_SEED look on."""
    run(workshop, "property.test.mjs")


def test_each_planted_fault_is_caught(workshop: Path) -> None:
    """A property that holds for a faulty snippet proves nothing."""
    run(workshop, "mutants.test.mjs")


@pytest.mark.thorough
@pytest.mark.timeout(1800)
def test_the_properties_hold_for_long(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with so many stories that rare ones are among them."""
    monkeypatch.setenv("FAST_CHECK_RUNS", "20000")

    run(workshop, "property.test.mjs")
