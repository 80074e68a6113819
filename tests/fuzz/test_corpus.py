"""Every input that is kept is tried again, without the fuzzer that found it."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_not_found_again(name: str) -> None:
    """A finding is kept as a file; so is what reaches further than the rest."""
    inputs = sorted((CORPUS / name).iterdir())
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input is corpus/{name}/{path.name}")
            raise

    assert inputs


def test_the_corpus_stays_small() -> None:
    """At most 50 files and 100 KB for a target, and no target that is not there."""
    assert {folder.name for folder in CORPUS.iterdir()} == TARGETS.keys()
    for folder in CORPUS.iterdir():
        sizes = [path.stat().st_size for path in folder.iterdir()]
        assert len(sizes) <= 50
        assert sum(sizes) <= 100_000
