"""Backup and restore of real processes: under load, beside a `serve`, and through `kill -9`."""

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Self

import pytest

from proxy import audit, migrate
from proxy.backup import Contents, back_up, inspect
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.receipts import load_audit_key
from tests.acceptance.deployment import PATIENCE_S, Deployment, Process, until
from tests.core.conftest import AT_ONCE, HOUR, a_message
from tests.evidence.tampering_copy import read
from tests.evidence.test_seals_tampering import Row
from tests.faults.tracing import require_tracer, tracer

WAITING = 2_500  # reports in the backup, which the gate must all doubt
_ENDS = ("", "-wal")
# By these a restore gives and takes names, and nothing else does.
_NAMING = "link,linkat,unlink,unlinkat,rename,renameat,renameat2"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of which nothing runs yet."""
    deployment = Deployment(tmp_path)
    yield deployment
    deployment.end()


@dataclass(frozen=True)
class Home:
    """What a restore starts from: a database that a crash left with its log, and an old backup."""

    deployment: Deployment
    copy: Path
    before: Path  # where the files of the database are kept for the next try

    @property
    def database(self) -> Path:
        """The database that stands."""
        return self.deployment.folder / "optout.db"

    def reset(self) -> None:
        """Put everything back as it was before the restore."""
        for left in self.database.parent.glob("*optout.db*"):
            left.unlink()
        for end in _ENDS:
            shutil.copyfile(self.before / f"optout.db{end}", f"{self.database}{end}")

    def command(self, *words: str, prefix: list[str] | None = None) -> Process:
        """Start a command."""
        process = Process(
            [*words, "--config", str(self.deployment.config)],
            self.deployment.folder / "command.log",
            {"PYTHONDONTWRITEBYTECODE": "1"},  # which would give names too
            prefix=prefix or [],
        )
        process.start()
        return process

    def restore(self) -> int:
        """Restore to the end; return the exit status."""
        return ended(self.command("restore", str(self.copy), "--force"))


@pytest.fixture
def home(deployment: Deployment, tmp_path: Path) -> Home:
    """Declines of two days ago in the backup; since then every customer has accepted."""
    home = Home(deployment=deployment, copy=tmp_path / "copy", before=tmp_path / "before")
    ledger = Ledger(load_audit_key(tmp_path / "audit")[0])
    home.before.mkdir()
    record(home, ledger, "declined", wall() - 48 * HOUR).stop()
    assert ended(home.command("backup", str(home.copy))) == 0
    database = record(home, ledger, "accepted", wall())
    for end in _ENDS:  # before it is closed in order: its log holds what was said last
        shutil.copyfile(f"{home.database}{end}", home.before / f"optout.db{end}")
    database.stop()
    home.reset()
    return home


def record(home: Home, ledger: Ledger, choice: str, at: int) -> Database:
    """Record one choice of every offer as of *at*; the database is open yet."""
    database = Database(f"sqlite:///{home.database}", lambda: at)
    migrate.upgrade(database)
    database.start()
    intake = Intake(database, ledger, lambda _partner, _upstream: AT_ONCE)
    offers = [f"offer-{number}" for number in range(WAITING)]
    said = [a_message(offer, choice, upstream="tickets", seq=at) for offer in offers]
    intake.record_all(said)
    return database


def ended(process: Process) -> int:
    """Return the exit status of a command that comes to its end."""
    assert process.child is not None
    return process.child.wait(PATIENCE_S)


def lasted(home: Home, word: str, *options: str) -> float:
    """Run a command to its end; return how many seconds it took."""
    begun = monotonic()
    assert ended(home.command(word, str(home.copy), *options)) == 0
    return monotonic() - begun


def killed_after(process: Process, seconds: float) -> bool:
    """Kill it after *seconds*; False if it was over by then."""
    assert process.child is not None
    try:
        process.child.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return True
    return False


def moments(dice: Random, count: int) -> list[float]:
    """Return shares of a whole run: one out of each part of it, in any order."""
    found = [(number + dice.random()) / count for number in range(count)]
    dice.shuffle(found)
    return found


def state(home: Home) -> str:
    """Return which database stands, `old` or `restored`; each must be whole."""
    reader = Database(f"sqlite:///{home.database}", wall)
    ledger = Ledger(load_audit_key(home.deployment.folder / "audit")[0])
    with reader.snapshot() as connection:
        assert list(audit.verify(connection, ledger)) == []
    assert reader.damages() == []
    reader.dispose()
    rows, facts = read(home.database, "offers"), read(home.database, "facts")
    assert {row["offer"] for row in rows} == {f"offer-{n}" for n in range(WAITING)}
    gated = sum(fact["kind"] == "delivery.gated" for fact in facts)
    found = {(row["choice"], row["report"], row["outcome"]) for row in rows}
    if found == {("accepted", "cancelled", None)}:
        assert (gated, len(facts)) == (0, 2 * WAITING)
        return "old"
    assert found == {("declined", "dead", "ambiguous")}
    assert (gated, len(facts)) == (WAITING, 2 * WAITING)
    return "restored"


def judge(home: Home, *, serves: bool) -> str:
    """Return which database a killed restore left; a second one must come to its end."""
    stands = state(home)
    if serves:
        nothing_is_sent(home.deployment)
    assert home.restore() == 0
    assert left(home.database) == []
    if not serves:
        assert state(home) == "restored"
    return stands


def left(file: Path) -> list[str]:
    """Return the copies under way to *file* that have something in them."""
    return [one.name for one in file.parent.glob(f".{file.name}.*") if one.stat().st_size]


def nothing_is_sent(deployment: Deployment) -> None:
    """`serve` starts, and reports a new decline alone: all that waited was held by the gate."""
    deployment.start_proxy()
    before = {entry["offer"] for entry in deployment.received()}
    offer = f"new-{len(before)}"
    assert deployment.say(offer).status_code == 202
    until(lambda: deployment.received(offer), "the new decline")
    assert {entry["offer"] for entry in deployment.received()} == before | {offer}
    assert all(one.startswith("new-") for one in before)
    assert deployment.proxy.stop() == 0


# -- under load -------------------------------------------------------------------------------


class Shop:
    """Clients that tell declines until they are told to stop; whom they know to be on record."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._stop = threading.Event()
        self.acknowledged: set[str] = set()
        self.refused: list[int] = []
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            answer = self._deployment.say(f"offer-{client}-{number}")
            if answer.status_code == 202:
                self.acknowledged.add(f"offer-{client}-{number}")
            else:
                self.refused.append(answer.status_code)


def test_a_backup_under_load_holds_what_was_acknowledged(
    deployment: Deployment, tmp_path: Path
) -> None:
    """`serve` goes on meanwhile, and the copy is right by itself."""
    deployment.start()
    home = Home(deployment=deployment, copy=tmp_path / "copy", before=tmp_path)
    with Shop(deployment) as shop:
        until(lambda: len(shop.acknowledged) > 100, "some declines")
        held = set(shop.acknowledged)
        assert ended(home.command("backup", str(home.copy))) == 0
        during = len(shop.acknowledged)
        until(lambda: len(shop.acknowledged) > during + 20, "declines after the backup")

    assert shop.refused == []
    assert during > len(held)
    rows = read(home.copy, "offers")
    assert held <= {row["offer"] for row in rows if row["choice"] == "declined"}
    assert deployment.proxy.stop() == 0
    home.copy.replace(home.database)
    assert ended(home.command("audit", "verify")) == 0


def test_a_restore_is_refused_while_serve_runs(deployment: Deployment, tmp_path: Path) -> None:
    """In one sentence, and `serve` does not notice."""
    deployment.start()
    home = Home(deployment=deployment, copy=tmp_path / "copy", before=tmp_path)
    assert deployment.say("offer-1").status_code == 202
    assert ended(home.command("backup", str(home.copy))) == 0
    assert deployment.say("offer-2").status_code == 202
    before = {path.name for path in tmp_path.iterdir()}

    assert home.restore() == 2

    said = (tmp_path / "command.log").read_text().splitlines()
    assert said[-1].endswith(
        "Another optout-proxy serves optout.db; stop it first, or give this one another `database`."
    )
    assert {path.name for path in tmp_path.iterdir()} == before
    assert deployment.offer("offer-2")["choice"] == "declined"
    assert deployment.say("offer-3").status_code == 202


# -- killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, pytest.param(24, marks=pytest.mark.thorough)])
def test_a_killed_backup_leaves_none_or_a_whole_one(home: Home, count: int) -> None:
    """Nothing has the name before it is whole, and the source stays as it is."""
    home.copy.unlink()
    span = min(lasted(home, "backup", "--force") for _ in range(2))
    whole, right = inspect(home.copy), contents(home.database)
    killed = 0
    for moment in moments(Random(count), count):
        home.copy.unlink(missing_ok=True)
        killed += killed_after(home.command("backup", str(home.copy)), moment * span)
        named = {path.name for path in home.copy.parent.iterdir() if path.name[0] != "."}
        assert {name for name in named if name.startswith("copy")} <= {"copy"}
        assert not home.copy.exists() or inspect(home.copy) == whole
        assert contents(home.database) == right

        span = min(span, lasted(home, "backup", "--force"))  # a machine that was busy is not now
        assert inspect(home.copy) == whole
        assert left(home.copy) == []
    assert killed


def test_a_backup_under_way_is_not_taken_for_what_a_killed_one_left(home: Home) -> None:
    """A second one beside it leaves it alone."""
    database = Database(f"sqlite:///{home.database}", wall)
    beside: list[Contents] = []

    def second(_done: int, _of: int) -> None:
        if not beside:
            beside.append(back_up(database, home.copy, lambda _done, _of: None, force=True))

    first = back_up(database, home.copy, second, force=True)
    database.dispose()

    assert beside == [first] == [inspect(home.copy)]


def contents(database: Path) -> str:
    """Return a digest of every row of a database."""
    tables: list[list[Row]] = [read(database, name) for name in ("offers", "facts", "blocks")]
    return hashlib.sha256(repr(tables).encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [3, pytest.param(30, marks=pytest.mark.thorough)])
def test_a_killed_restore_leaves_the_old_or_the_new_one(home: Home, count: int) -> None:
    """Whole, with all rows gated or none; what comes after it finds nothing half done."""
    span = lasted(home, "restore", "--force")
    assert state(home) == "restored"
    home.deployment.sandbox.start()
    found = []
    for number, moment in enumerate(moments(Random(count), count)):
        home.reset()
        span = min(span, lasted(home, "restore", "--force"))
        home.reset()
        command = home.command("restore", str(home.copy), "--force")
        if killed_after(command, moment * span):
            found.append(judge(home, serves=number % 4 == 0))
    assert "old" in found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.thorough)])
def test_killed_while_names_are_given(home: Home, every: int) -> None:
    """At the very calls by which the copy takes the place of the database, one after the other."""
    require_tracer()
    found, nth = [], 1
    while True:
        home.reset()
        command = home.command(
            "restore", str(home.copy), "--force", prefix=tracer(_NAMING, nth=nth)
        )
        if ended(command) == 0:
            break
        found.append(judge(home, serves=False))
        nth += every
    assert found[0] == "old"
    assert len(found) * every >= 8
    assert every > 1 or found[-1] == "restored"
