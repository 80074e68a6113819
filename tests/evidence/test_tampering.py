"""300 random changes of the file, each on a fresh copy: every one is named, in its row."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from proxy.audit import Wrong
from proxy.schema import facts
from tests.evidence.tampering import Done, Stage, found, plan, run, set_up, verified
from tests.evidence.tampering_changes import changes
from tests.evidence.tampering_copy import Copy
from tests.evidence.test_seals_tail import cut

CHANGES, SEED = 300, 1


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The sealed register that copies are made of."""
    return set_up(tmp_path_factory.mktemp("tampering"))


@pytest.fixture
def copy(stage: Stage, tmp_path: Path) -> Iterator[Copy]:
    """One copy to change by hand."""
    shutil.copyfile(stage.whole, tmp_path / "copy.db")
    dice = Random(SEED)
    made = Copy(tmp_path / "copy.db", dice, stranger=stage.stranger, sister=stage.sister)
    yield made
    made.close()


def test_an_untouched_copy_is_right(stage: Stage, copy: Copy) -> None:
    """Also against the kept seal, by its functions and by the command."""
    assert len(copy.sealed) > 250
    assert len(copy.newer) > 20
    assert found(stage, copy.path, with_seal=True) == []
    assert verified(stage, copy.path, with_seal=True) == []


@pytest.mark.slow
def test_300_changes_are_named_in_their_rows(stage: Stage) -> None:
    """The fact by offer and ordinal, or the block that held what is gone."""
    done = list(run(stage, CHANGES, SEED))

    assert len(done) == CHANGES
    assert all(one.names for one in done)
    assert [one for one in done if one.missed] == []
    assert sum(one.said is not None for one in done) >= 6  # by the command, as it is typed


def test_every_column_of_a_fact_is_changed_at_some_time() -> None:
    """As every other kind of change is, and each at least three times."""
    drawn = plan(CHANGES, SEED)

    assert {f"facts.{column.name}" for column in facts.columns} <= changes().keys()
    assert min(drawn.count(what) for what in changes()) >= 3
    assert len(drawn) == CHANGES


def test_a_row_that_is_not_named_is_missed() -> None:
    """The judge is not content with any alarm."""
    fact = Wrong(offer_id=7, ordinal=2, why="")
    beside = [Wrong(offer_id=7, ordinal=1, why=""), Wrong(offer_id=8, ordinal=2, why="")]

    assert Done("a change", [fact], [fact]).missed == []
    assert Done("a change", [fact], beside).missed == [fact]
    assert Done("a change", [fact], [fact], said=beside).missed == [fact]


def test_nothing_but_the_newest_can_be_cut_without_a_trace(stage: Stage, copy: Copy) -> None:
    """No seal holds it yet, so with all that tells of it gone the file is an older one."""
    cut(copy.connection, copy.sealed[-1]["id"])
    copy.close()

    assert found(stage, copy.path, with_seal=True) == []
    said = stage.command(copy.path, "verify", "--seal", str(stage.seal))
    assert said.returncode == 0, said.stderr
