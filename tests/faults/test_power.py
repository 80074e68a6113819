"""A power cut loses nothing that was acknowledged: `kill -9` can not tell, so it is simulated.

The disk of the model first, then the judge, then the product; each is shown to see what it must.
"""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

import proxy
from tests.acceptance.deployment import Deployment, until
from tests.faults import syscalls
from tests.faults.planted import Edit, environment, planted
from tests.faults.power import (
    EXTREMES,
    SECTOR,
    Change,
    Created,
    Disk,
    Renamed,
    Resized,
    SyncBegan,
    Synced,
    Unlinked,
    Written,
    all_dropped,
    all_hollow,
    all_kept,
    all_torn,
    by_chance,
    first_only,
    last_only,
)
from tests.faults.power_cuts import cut, pass_over, write
from tests.faults.power_recording import Recording, record
from tests.faults.power_verdict import Judge, World

SEED = 20261121


def _disk(*changes: Change, **files: bytes) -> Disk:
    disk = Disk(files)
    for change in changes:
        disk.apply(change)
    return disk


def _left(disk: Disk, plan: Callable[[int, int], object]) -> dict[str, bytes]:
    files, _ = disk.crash(plan, random.Random(SEED))  # type: ignore[arg-type]
    return {name: bytes(content) for name, content in files.items()}


def _sync(name: str) -> tuple[SyncBegan, Synced]:
    return SyncBegan(name, 1), Synced(name, 1)


# -- the disk -------------------------------------------------------------------------------------


def test_what_was_not_synced_may_be_lost() -> None:
    """Without a sync the old bytes, the new ones, or only the new length may be there."""
    disk = _disk(Written("a", 2, b"new"), a=b"old")
    assert _left(disk, all_dropped) == {"a": b"old"}
    assert _left(disk, all_kept) == {"a": b"olnew"}
    assert _left(disk, all_hollow) == {"a": b"old\0\0"}


@pytest.mark.parametrize("plan", [*EXTREMES, by_chance(random.Random(SEED))])
def test_what_was_synced_survives_every_cut(plan: Callable[[int, int], object]) -> None:
    """A sync protects every write before it, whatever happens to the writes after it."""
    disk = _disk(Written("a", 0, b"new"), *_sync("a"), Written("b", 0, b"x"), a=b"old", b=b"")
    assert _left(disk, plan)["a"] == b"new"


def test_a_sync_covers_only_what_was_written_before_it_began() -> None:
    """A write that came while a sync was under way may still be lost, and other files too."""
    began, ended = _sync("a")
    disk = _disk(
        Written("a", 0, b"1"),
        began,
        Written("a", 1, b"2"),
        Written("b", 0, b"3"),
        ended,
        a=b"",
        b=b"",
    )
    assert _left(disk, all_dropped) == {"a": b"1", "b": b""}
    assert disk.pending() == 2


def test_a_later_write_may_survive_an_earlier_one() -> None:
    """Order between writes is kept by a sync alone, also between files."""
    disk = _disk(Written("a", 0, b"1"), Written("b", 0, b"2"), Written("a", 1, b"3"), a=b"", b=b"")
    assert _left(disk, last_only) == {"a": b"\0003", "b": b""}
    assert _left(disk, first_only) == {"a": b"1", "b": b""}


def test_a_write_tears_at_the_sectors_of_the_disk() -> None:
    """Each sector is old or new as a whole, never all of them new; every mixture turns up."""
    old, new = bytes(4 * SECTOR), b"\1" * (3 * SECTOR)
    disk = _disk(Written("a", SECTOR // 2, new), a=old)
    dice = random.Random(SEED)
    mixtures = set()
    for _ in range(500):
        files, _ = disk.crash(all_torn, dice)
        after = bytes(files["a"])
        ends = (SECTOR // 2, SECTOR, 2 * SECTOR, 3 * SECTOR, 3 * SECTOR + SECTOR // 2)
        parts = [set(after[start:stop]) for start, stop in pairwise(ends)]
        assert all(len(part) == 1 for part in parts)
        assert after[: ends[0]] == old[: ends[0]]
        assert after[ends[-1] :] == old[ends[-1] :]
        mixtures.add(tuple(part.pop() for part in parts))
    assert len(mixtures) == 2**4 - 1


def test_a_new_length_may_not_have_happened() -> None:
    """Neither cutting off nor lengthening is there before a sync; both are after it."""
    shorter = (Resized("a", 1), Written("a", 3, b"x"))
    assert _left(_disk(*shorter, a=b"abc"), all_dropped) == {"a": b"abc"}
    assert _left(_disk(*shorter, a=b"abc"), last_only) == {"a": b"abcx"}
    assert _left(_disk(*shorter, *_sync("a"), a=b"abc"), all_dropped) == {"a": b"a\0\0x"}


def test_names_live_in_folders_which_have_syncs_of_their_own() -> None:
    """A synced file is lost with its name; an unlinked one may be back; a rename is one step."""
    made = (Created("f/a"), Written("f/a", 0, b"1"), *_sync("f/a"))
    assert _left(_disk(*made), all_dropped) == {}
    assert _left(_disk(*made, *_sync("./")), all_dropped) == {}
    assert _left(_disk(*made, *_sync("f/")), all_dropped) == {"f/a": b"1"}
    assert _left(_disk(Unlinked("a"), a=b"1"), all_dropped) == {"a": b"1"}
    assert _left(_disk(Unlinked("a"), *_sync("./"), a=b"1"), all_dropped) == {}
    assert _left(_disk(Renamed("a", "b"), a=b"1", b=b"2"), all_dropped) == {"a": b"1", "b": b"2"}
    assert _left(_disk(Renamed("a", "b"), a=b"1", b=b"2"), all_kept) == {"b": b"1"}


def test_equal_losses_have_equal_numbers() -> None:
    """The number of a state tells whether the same was lost before."""
    disk = _disk(Written("a", 0, b"1"), Written("a", 1, b"2"), a=b"")
    numbers = [disk.crash(plan, random.Random(SEED))[1] for plan in (all_kept, all_kept, last_only)]
    assert numbers[0] == numbers[1] != numbers[2]


# -- the trace ------------------------------------------------------------------------------------


def test_a_call_that_others_interrupt_is_seen_when_it_began_and_when_it_returned() -> None:
    """Two threads at once: strace tells of both in halves."""
    lines = [
        r"7 fdatasync(3<\x2f\x61> <unfinished ...>",
        r'8 pwrite64(3<\x2f\x61>, "\x31\x2c", 2, 4096) = 2',
        "7 <... fdatasync resumed>)       = 0",
        "8 +++ exited with 0 +++",
        r'8 openat(AT_FDCWD<\x2f>, "\x62", O_RDONLY) = -1 ENOENT (No such file or directory)',
    ]
    seen = list(syscalls.calls(lines))
    assert [(call.thread, call.name, call.result) for call in seen] == [
        (7, "fdatasync", None),
        (8, "pwrite64", None),
        (8, "pwrite64", 2),
        (7, "fdatasync", 0),
        (8, "openat", None),
        (8, "openat", -1),
    ]
    assert (seen[2].file(), seen[2].text(1), seen[2].number(3)) == ("/a", b"1,", 4096)
    assert seen[3].file() == "/a"


def test_a_descriptor_without_a_name_is_no_file() -> None:
    """What was unlinked meanwhile is gone with the power anyway."""
    assert syscalls.Call(1, "fsync", (r"3<\x2f\x61>(deleted)",)).file() == ""
    assert syscalls.Call(1, "write", ("8<pipe:[1]>",)).file() == "pipe:[1]"


def test_a_text_that_strace_cut_off_is_refused() -> None:
    """Half of a write would be a tear that never happened."""
    with pytest.raises(ValueError, match="not a whole text"):
        syscalls.Call(1, "pwrite64", (r'"\x31"...',)).text(0)


# -- the product ----------------------------------------------------------------------------------

needs_strace = pytest.mark.skipif(not syscalls.can_trace(), reason=syscalls.HOW_TO_TRACE)


@dataclass(frozen=True)
class Load:
    """A recording and the folder in which it was made."""

    folder: Path
    recording: Recording


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """What a server wrote and said under a load that crosses two checkpoints."""
    folder = tmp_path_factory.mktemp("power")
    return Load(folder, record(folder, 380))


@needs_strace
def test_the_model_ends_with_the_files_that_are_really_there(load: Load) -> None:
    """With nothing lost, every byte is as on the real disk; nothing was left unrecorded."""
    disk, world = Disk(load.recording.before), World(load.recording.told)
    for event in load.recording.events:
        pass_over(event, world, disk)
    left = _left(disk, all_kept)
    assert left == {name: (load.folder / name).read_bytes() for name in left}
    assert "optout.db" in left
    assert world.acknowledged == load.recording.acknowledged == load.recording.told.keys()


@needs_strace
def test_no_power_cut_loses_what_was_acknowledged(load: Load) -> None:
    """Some hundreds of states over the whole run, migration, checkpoints and end included."""
    assert load.recording.checkpoints() >= 2
    assert load.recording.reported >= 100
    outcome = cut(load.recording, 340, SEED)
    assert outcome.faults == []
    assert outcome.states >= 300
    assert outcome.at_checkpoints >= 50


@needs_strace
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_thousands_of_power_cuts_lose_nothing(tmp_path: Path) -> None:
    """At least 3,000 states of a recording of its own."""
    recording = record(tmp_path, 450)
    assert recording.checkpoints() >= 2
    assert recording.reported >= 100
    outcome = cut(recording, 3_200, SEED + 1)
    assert outcome.faults == []
    assert outcome.states >= 3_000
    assert outcome.at_checkpoints >= 300


@needs_strace
def test_no_power_cut_loses_the_keys_that_a_first_start_made(tmp_path: Path) -> None:
    """Once a choice is acknowledged its audit key is on disk; before that a start needs nobody."""
    outcome = cut(record(tmp_path, 12, makes_keys=True), 100, SEED)
    assert outcome.faults == []


@needs_strace
def test_a_server_resumes_on_what_a_cut_at_a_checkpoint_left(load: Load, tmp_path: Path) -> None:
    """It starts without a person, delivers what was due, and nothing said before is lost."""
    disk, world = Disk(load.recording.before), World(load.recording.told)
    for event in load.recording.events:
        pass_over(event, world, disk)
        if world.acknowledged and disk.pending("optout.db") >= 5:
            break
    deployment = Deployment(tmp_path)
    files, _ = disk.crash(all_torn, random.Random(SEED))
    kept = ("optout.db", "optout.db-wal", "audit", "signing.pem")  # the ports are other ones
    write(tmp_path, {name: files[name] for name in kept})
    open_reports = "SELECT count(*) FROM offers WHERE report IN ('due', 'sending')"
    try:
        deployment.start()
        with closing(sqlite3.connect(tmp_path / "optout.db")) as connection:
            until(lambda: connection.execute(open_reports).fetchone() == (0,), "every report")
        assert deployment.proxy.stop() == 0
    finally:
        deployment.end()
    assert Judge().faults(tmp_path, world) == []


def _edit(before: str, after: str) -> Edit:
    """Return the edit of whichever module holds the text; it must be one."""
    modules = sorted(Path(proxy.__file__).parent.glob("*.py"))
    found = [module.name for module in modules if before in module.read_text("utf-8")]
    assert len(found) == 1, f"{before!r} is in {found}"
    return found[0], before, after


NOT_FULL = [('"synchronous": ("FULL", 2)', '"synchronous": ("NORMAL", 1)')]
TOO_EARLY = [
    (
        """        for work, result in zip(works, results, strict=True):
            work.end(result)
""",
        "",
    ),
    (
        "                    results[index] = answer\n",
        "                    works[index].end(answer)\n",
    ),
]


@needs_strace
@pytest.mark.parametrize("edits", [NOT_FULL, TOO_EARLY], ids=["NORMAL", "before the commit"])
def test_a_product_that_promises_too_much_is_caught(
    edits: list[tuple[str, str]], tmp_path: Path
) -> None:
    """`synchronous=NORMAL`, or a 202 before the commit: acknowledged choices are lost."""
    (tmp_path / "run").mkdir()
    package = planted(tmp_path / "planted", [_edit(*edit) for edit in edits])
    recording = record(tmp_path / "run", 60, environment(package))
    outcome = cut(recording, 80, SEED)
    assert any("lost: declined" in fault for fault in outcome.faults)


DAMAGES = {
    "lost: declined": "DELETE FROM facts WHERE said = 'declined' AND ordinal = 1",
    "facts, but not these": "DELETE FROM facts WHERE ordinal = 2",
    "does not verify": "UPDATE facts SET at = at + 1 WHERE id = 9",
    "does not know its last fact": "UPDATE offers SET digest = x'00' WHERE id = 9",
    "invented: Told": "UPDATE facts SET said_at = said_at + 1 WHERE said = 'accepted'",
    "invented: another": "UPDATE offers SET offer = 'another' WHERE id = 9",
    "but the latest word is accepted": "UPDATE offers SET choice = 'declined'",
    "and is still due": "UPDATE offers SET report = 'due' WHERE choice = 'accepted'",
    "and claimed 0 times": "UPDATE facts SET kind = 'other' WHERE kind = 'delivery.claimed'",
    "which is not there": "DELETE FROM offers WHERE id = 9",
    "it is damaged": "PRAGMA writable_schema = ON; "
    "DELETE FROM sqlite_schema WHERE name = 'offers_due'",
}


@pytest.fixture
def sound(load: Load, tmp_path: Path) -> tuple[Path, World]:
    """A database that the judge finds nothing wrong with, and what the world knows."""
    disk, world = Disk(load.recording.before), World(load.recording.told)
    for event in load.recording.events:
        pass_over(event, world, disk)
    write(tmp_path, disk.crash(all_kept, random.Random(SEED))[0])
    assert Judge().faults(tmp_path, world) == []
    return tmp_path, world


@needs_strace
@pytest.mark.parametrize("fault", DAMAGES)
def test_the_judge_sees_every_kind_of_damage(fault: str, sound: tuple[Path, World]) -> None:
    """Each promise that is broken in a database that was right is named."""
    folder, world = sound
    connection = sqlite3.connect(folder / "optout.db")
    for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.executescript(DAMAGES[fault])
    connection.close()
    assert any(fault in found for found in Judge().faults(folder, world))


@needs_strace
def test_the_judge_sees_a_lost_key_and_a_lost_file(sound: tuple[Path, World]) -> None:
    """Without the audit key no fact verifies; without the database everything is lost."""
    folder, world = sound
    key = (folder / "audit").rename(folder / "kept")
    assert any("does not verify" in fault for fault in Judge().faults(folder, world))
    key.rename(folder / "audit")
    for name in ("optout.db", "optout.db-wal"):  # the log alone would be refused, not taken
        (folder / name).unlink(missing_ok=True)
    lost = [fault for fault in Judge().faults(folder, world) if fault.startswith("lost: ")]
    assert len(lost) == len(world.acknowledged)
