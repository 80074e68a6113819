"""D7: bits flip in the file while nobody looks; whatever they change is named."""

import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from proxy import audit, migrate
from proxy.choices import Choice, Message, Source
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.register import Policy

KEY = bytes(range(32))
AT_ONCE = Policy(on_purchase=False, settle_ms=0, hold_ms=1, implied_ms=None)
# What was acknowledged, and when by our own clock.
_WORDS = (
    "SELECT o.partner, o.upstream, o.offer, o.choice, f.message, f.said, f.seq, f.at, f.purchased "
    "FROM facts f JOIN offers o ON o.id = f.offer_id ORDER BY o.id, f.ordinal"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was closed in order, with some hundred offers."""
    path = tmp_path_factory.mktemp("flips") / "whole.db"
    database = Database(f"sqlite:///{path}", wall)
    migrate.upgrade(database)
    database.start()
    intake = Intake(database, Ledger(KEY), lambda *_: AT_ONCE)
    said = [
        _message(number, choice) for number in range(300) for choice in ("declined", "accepted")
    ]
    intake.record_all(said)
    database.stop()
    return path


def _message(number: int, choice: str) -> Message:
    seq = 1_800_000_000_000 + number
    return Message(
        partner="ACME",
        upstream="tickets",
        offer=f"offer-{number}",
        choice=Choice(choice),
        id=f"{number:08}-{choice}",
        seq=seq,
        at=seq,
        writer="server",
        source=Source.SERVER,
    )


def words(path: Path) -> list[tuple[object, ...]] | None:
    """Return what the file says was acknowledged; None if it can not be read."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute(_WORDS).fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def is_named(path: Path) -> bool:
    """True when `check` or `audit verify` would find something wrong."""
    database = Database(f"sqlite:///{path}", wall)
    try:
        if database.damages():
            return True
        with database.read() as connection:
            return next(audit.verify(connection, Ledger(KEY)), None) is not None
    except (ConfigurationError, StorageUnavailable, ValueError, TypeError):
        return True
    finally:
        database.dispose()


def flip(whole: Path, path: Path, dice: random.Random) -> None:
    """Copy the file with one bit of it changed."""
    shutil.copyfile(whole, path)
    with path.open("r+b") as file:
        at = dice.randrange(whole.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << dice.randrange(8)]))


def _unnamed(whole: Path, folder: Path, count: int) -> tuple[int, int]:
    """Return how many of *count* flips changed what was acknowledged, and how many unnamed."""
    dice, right = random.Random(20261121), words(whole)
    assert right
    changed = unnamed = 0
    for number in range(count):
        path = folder / f"flip-{number}.db"
        flip(whole, path, dice)
        if words(path) != right:
            changed += 1
            unnamed += not is_named(path)
        path.unlink()
    return changed, unnamed


@pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.thorough)])
def test_no_flip_changes_what_was_acknowledged_unnamed(
    whole: Path, tmp_path: Path, count: int
) -> None:
    """SQLite keeps no checksums of its pages; the facts' digests are what sees it."""
    changed, unnamed = _unnamed(whole, tmp_path, count)

    assert changed > count // 10
    assert unnamed == 0


def test_the_whole_file_is_right(whole: Path) -> None:
    """The judge is not simply always alarmed."""
    assert not is_named(whole)


def test_the_digests_see_more_than_sqlite(whole: Path, tmp_path: Path) -> None:
    """SQLite's own check alone would miss some: it judges the form of a value, not the value."""
    dice, missed = random.Random(7), 0
    right = words(whole)
    for number in range(600):
        path = tmp_path / f"flip-{number}.db"
        flip(whole, path, dice)
        found = words(path)
        if found is not None and found != right:
            database = Database(f"sqlite:///{path}", wall)
            with suppress(ConfigurationError):  # SQLite itself has seen it
                missed += not database.damages()
            database.dispose()
        path.unlink()

    assert missed > 0
