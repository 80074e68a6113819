"""Files that were damaged while nothing ran: a start recovers an earlier state, or refuses.

What a cut-off WAL held is gone; what must not happen is a state that never was, a stack trace, or
a start that goes on as if nothing had been there.
"""

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, Deployment, until
from tests.faults.power_recording import Shop
from tests.faults.power_verdict import Judge, World

_DECLINES = 40
_WAL_HEADER = 32
_FRAME_HEADER = 24


@dataclass(frozen=True)
class Wreck:
    """A deployment that does not run, and its files as they were when it ended."""

    deployment: Deployment
    shop: Shop
    kept: Path

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.deployment.folder / "optout.db"

    @property
    def wal(self) -> Path:
        """The file of what was committed and not yet moved into the database."""
        return self.deployment.folder / "optout.db-wal"

    @property
    def shm(self) -> Path:
        """The index of the WAL, which is made anew from it."""
        return self.deployment.folder / "optout.db-shm"

    def restore(self) -> None:
        """Undo every damage."""
        for path in self.deployment.folder.glob("optout.db*"):
            path.unlink()
        for path in self.kept.iterdir():
            shutil.copy(path, self.deployment.folder)
        self.deployment.proxy.log.write_bytes(b"")

    def check(self) -> tuple[int, str]:
        """Run `optout-proxy check`; return its exit status and what it says of the database."""
        ran = subprocess.run(
            [sys.executable, "-m", "proxy", "check", "--config", str(self.deployment.config)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        said = re.search(r"^database +(.*)$", ran.stdout, re.MULTILINE)
        assert said is not None, ran.stdout
        return ran.returncode, said[1]

    def starts(self) -> bool:
        """Start the server: true when it answers, false when it has ended."""
        self.deployment.proxy.start()
        child = self.deployment.proxy.child
        assert child is not None
        until(lambda: child.poll() is not None or _answers(self.deployment), "it")
        return child.poll() is None

    def refusal(self) -> str:
        """Start the server, see it refuse; return its sentence."""
        assert not self.starts()
        child = self.deployment.proxy.child
        assert child is not None
        said = self.deployment.proxy.log.read_text()
        assert "Traceback" not in said
        assert child.returncode == 2
        assert said.count("\n") == 1
        return said


def _answers(deployment: Deployment) -> bool:
    try:
        return requests.get(f"{deployment.url}/healthz", timeout=PATIENCE_S).ok
    except requests.ConnectionError:
        return False


def _wrecked(folder: Path, end: Callable[[Deployment], object]) -> Iterator[Wreck]:
    deployment = Deployment(folder)
    shop = Shop(deployment, _DECLINES)
    try:
        deployment.start_proxy()
        shop.run()
        end(deployment)
        kept = folder / "kept"
        kept.mkdir()
        for path in folder.glob("optout.db*"):
            if path.is_file():
                shutil.copy(path, kept)
        yield Wreck(deployment, shop, kept)
    finally:
        deployment.end()


@pytest.fixture(scope="module")
def _killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wreck]:
    yield from _wrecked(tmp_path_factory.mktemp("killed"), lambda it: it.proxy.kill())


@pytest.fixture(scope="module")
def _stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wreck]:
    yield from _wrecked(tmp_path_factory.mktemp("stopped"), lambda it: it.proxy.stop())


@pytest.fixture
def killed(_killed: Wreck) -> Iterator[Wreck]:
    """A server that was killed: all that was said lies in the WAL."""
    _killed.restore()
    yield _killed
    _killed.deployment.proxy.end()


@pytest.fixture
def stopped(_stopped: Wreck) -> Iterator[Wreck]:
    """A server that was asked to stop: all that was said lies in the database."""
    _stopped.restore()
    yield _stopped
    _stopped.deployment.proxy.end()


# -- every place at which a WAL may end ------------------------------------------------------------


@dataclass(frozen=True)
class Frames:
    """Where the frames of a WAL end, and which of them end a commit."""

    ends: list[int]
    commits: list[int]

    @classmethod
    def of(cls, wal: bytes) -> "Frames":
        """Return the frames of *wal*, which was never started anew."""
        step = _FRAME_HEADER + int.from_bytes(wal[8:12], "big")
        ends = list(range(_WAL_HEADER + step, len(wal) + 1, step))
        sizes = {end: int.from_bytes(wal[end - step + 4 : end - step + 8], "big") for end in ends}
        return cls(ends, [end for end, size in sizes.items() if size])


def _left(wreck: Wreck, wal: bytes, judge: Judge) -> tuple[list[str], int]:
    """Return what is wrong with the database beside *wal*, and how many facts it has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(wreck.database, folder)
        shutil.copy(wreck.deployment.folder / "audit", folder)
        (folder / "optout.db-wal").write_bytes(wal)
        faults = judge.faults(folder, World(wreck.shop.told))
        with closing(sqlite3.connect(folder / "optout.db")) as connection:
            return faults, int(connection.execute("SELECT count(*) FROM facts").fetchone()[0])


def _cut_everywhere(wreck: Wreck, step: int) -> None:
    """Cut the WAL at each of its frames, or at every *step*th, at its end and within it."""
    wal, judge = wreck.wal.read_bytes(), Judge()
    frames = Frames.of(wal)
    assert len(frames.commits) >= 10
    at_commit: dict[int, int] = {0: 0}
    for end in frames.commits:
        at_commit[end] = _left(wreck, wal[:end], judge)[1]
    assert list(at_commit.values()) == sorted(at_commit.values())
    assert at_commit[frames.commits[-1]] >= len(wreck.shop.told)
    places = [place for end in frames.ends[::step] for place in (end, end - 1, end - 2000, end + 9)]
    for place in [0, 9, _WAL_HEADER, *places]:
        faults, facts = _left(wreck, wal[:place], judge)
        assert faults == [], place
        assert facts == at_commit[max(end for end in at_commit if end <= place)], place


def test_a_wal_that_ends_early_leaves_the_state_of_an_earlier_commit(killed: Wreck) -> None:
    """Cut at some frames, at their ends and within: what is left was once so, to the last fact."""
    _cut_everywhere(killed, 25)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_wal_may_end_at_any_frame(killed: Wreck) -> None:
    """The same at every frame there is."""
    _cut_everywhere(killed, 1)


def test_what_follows_a_broken_frame_of_the_wal_does_not_count(killed: Wreck) -> None:
    """Noise in the middle ends the WAL there; no later commit is taken without it."""
    wal, judge = killed.wal.read_bytes(), Judge()
    frames = Frames.of(wal)
    for place in frames.ends[:: len(frames.ends) // 10]:
        noisy = wal[: place - 100] + secrets.token_bytes(100) + wal[place:]
        before = max([end for end in frames.commits if end < place], default=0)
        # The start's own first commit may be the very frame that broke: then the rest follows it.
        expected = {_left(killed, wal[:before], judge)[1], _left(killed, wal, judge)[1]}
        faults, found = _left(killed, noisy, judge)
        assert (faults, found in expected) == ([], True)


# -- the commands ----------------------------------------------------------------------------------


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def _garble(path: Path) -> None:
    path.write_bytes(secrets.token_bytes(path.stat().st_size))


def _all(*damages: Callable[[Path], None]) -> list[object]:
    """The first of *damages* every time, the others when there is time for all."""
    rest = [pytest.param(damage, marks=pytest.mark.thorough) for damage in damages[1:]]
    return [damages[0], *rest]


@pytest.mark.parametrize("damage", _all(_garble, _delete, _empty, _halve))
def test_the_index_of_the_wal_is_made_anew(damage: Callable[[Path], None], killed: Wreck) -> None:
    """Without the -shm file, or with another one, nothing is lost."""
    damage(killed.shm)
    assert killed.check()[0] == 0
    killed.restore()
    damage(killed.shm)
    assert killed.starts()
    world = World(killed.shop.told, set(killed.shop.acknowledged))
    assert killed.deployment.proxy.stop() == 0
    assert Judge().faults(killed.deployment.folder, world) == []


@pytest.mark.parametrize("damage", _all(_halve, _delete, _empty, _garble))
def test_a_start_on_a_damaged_wal_goes_on_from_an_earlier_state(
    damage: Callable[[Path], None], killed: Wreck
) -> None:
    """`serve` starts, takes and keeps what is said next, and what is left holds together."""
    damage(killed.wal)
    assert killed.check()[0] == 0
    killed.restore()
    damage(killed.wal)
    assert killed.starts()
    told = killed.shop.tell("after", "declined", int(time.time() * 1000))
    assert killed.deployment.proxy.stop() == 0
    assert "Traceback" not in killed.deployment.proxy.log.read_text()
    world = World(killed.shop.told, {told.id})
    assert Judge().faults(killed.deployment.folder, world) == []


@pytest.mark.parametrize("damage", [_halve, _garble])
def test_check_names_a_database_that_can_not_be_opened(
    damage: Callable[[Path], None], stopped: Wreck
) -> None:
    """Exit status 1 and a sentence."""
    damage(stopped.database)
    status, said = stopped.check()
    assert status == 1
    assert "malformed" in said or "not a database" in said


@pytest.mark.parametrize("damage", _all(_halve, _garble))
def test_serve_refuses_a_database_that_can_not_be_opened(
    damage: Callable[[Path], None], stopped: Wreck
) -> None:
    """Exit status 2 and one sentence."""
    damage(stopped.database)
    assert "database" in stopped.refusal()


@pytest.mark.parametrize("damage", _all(_empty, _delete))
def test_a_wal_without_its_database_is_never_removed(
    damage: Callable[[Path], None], killed: Wreck
) -> None:
    """All that was acknowledged may lie in it: `serve` refuses, `check` says so, both keep it."""
    damage(killed.database)
    assert killed.check()[0] == 1
    assert killed.wal.stat().st_size > 0
    assert "optout.db-wal" in killed.refusal()
    assert killed.wal.stat().st_size > 0
