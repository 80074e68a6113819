"""Backups: a copy of one moment, and what becomes of what was sent after it."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from proxy import audit, backup
from proxy.backup import Restored, UnfitError, back_up, inspect
from proxy.choices import Report
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from tests.core.conftest import HOUR, Clock, Register
from tests.evidence.filled import KEY
from tests.settings.shell import mode


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Only SQLite is copied by us."""
    return f"sqlite:///{tmp_path / 'optout.db'}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "backups.db"


def save(register: Register, copy: Path) -> None:
    """Back up what the register holds now."""
    back_up(register.database, copy, lambda _done, _of: None, force=True)


def put_back(register: Register, copy: Path) -> Restored:
    """Restore *copy* while nobody writes, and begin to write again."""
    register.database.stop()
    restored = backup.restore(register.database, copy, Ledger(KEY), register.clock)
    register.database.start()
    return restored


def faults(database: Database) -> list[audit.Wrong]:
    """Return what `audit verify` finds of offers and facts."""
    with database.snapshot() as connection:
        return list(audit.verify(connection, Ledger(KEY)))


# -- the copy ---------------------------------------------------------------------------------


def test_a_copy_made_under_load_is_one_moment(register: Register, copy: Path) -> None:
    """It holds everything acknowledged before it, and every offer with all its facts."""
    for number in range(300):
        register.decline(f"before-{number}")
    stop, written = threading.Event(), count()
    moved: list[tuple[int, int]] = []

    def write() -> None:
        while not stop.is_set():
            register.decline(f"while-{next(written)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        contents = back_up(
            register.database, copy, lambda done, of: moved.append((done, of)), force=False
        )
    finally:
        stop.set()
        writer.join()

    assert contents.offers == contents.facts >= 300
    assert (contents.schema, contents.newest) == ("0004", register.clock.now)
    assert moved[-1][0] == moved[-1][1] > 0
    assert faults(Database(f"sqlite:///{copy}", register.clock)) == []


def test_a_write_does_not_make_it_begin_anew(register: Register, copy: Path) -> None:
    """Under a load that never ends the copy would never end either."""
    for number in range(12):
        register.decline(f"big-{number}", metadata={"text": "x" * 1_000_000})
    moved: list[int] = []

    def write(done: int, _of: int) -> None:
        moved.append(done)
        if len(moved) == 1:
            register.decline("meanwhile")

    contents = back_up(register.database, copy, write, force=False)

    assert len(moved) > 1
    assert moved == sorted(set(moved))
    assert contents.offers == 12


def test_a_copy_is_one_private_file(register: Register, copy: Path, tmp_path: Path) -> None:
    """Nothing lies beside it that it would need, and nothing unnamed is left."""
    register.decline()

    save(register, copy)

    assert mode(copy) == 0o600
    register.database.stop()
    assert {path.name for path in tmp_path.iterdir()} == {"optout.db", "backups.db"}


def test_nothing_is_written_over_unasked(register: Register, copy: Path) -> None:
    """Also not what appears while the copy is made."""
    copy.write_text("dear", "utf-8")

    with pytest.raises(ConfigurationError, match="--force writes over it"):
        back_up(register.database, copy, lambda _done, _of: None, force=False)
    assert copy.read_text("utf-8") == "dear"
    save(register, copy)

    assert inspect(copy).offers == 0


def test_a_name_that_is_taken_meanwhile_is_not_written_over(register: Register, copy: Path) -> None:
    """The progress bar is where the other one comes in between."""

    def take(_done: int, _of: int) -> None:
        copy.write_text("dear", "utf-8")

    with pytest.raises(ConfigurationError, match="--force writes over it"):
        back_up(register.database, copy, take, force=False)

    assert copy.read_text("utf-8") == "dear"


@pytest.mark.parametrize("end", ["", "-wal", ".lock", ".sock"])
def test_the_database_is_not_written_over(register: Register, tmp_path: Path, end: str) -> None:
    """Not with --force either."""
    with pytest.raises(ConfigurationError, match="belongs to the database itself"):
        save(register, tmp_path / f"optout.db{end}")


# -- the way back -----------------------------------------------------------------------------


def test_the_old_database_is_kept_with_what_only_its_log_held(
    register: Register, copy: Path, tmp_path: Path
) -> None:
    """Each restore keeps its own."""
    register.decline("first")
    save(register, copy)
    register.decline("second")

    kept = [put_back(register, copy).kept for _ in range(2)]

    assert kept == [tmp_path / f"optout.db.before-restore{end}" for end in ("", "-2")]
    assert kept[0] is not None
    assert inspect(kept[0]).offers == 2
    assert inspect(tmp_path / "optout.db").offers == 1


def test_a_damaged_database_is_kept_with_its_log(
    register: Register, copy: Path, tmp_path: Path
) -> None:
    """The log that is left of it must not be played into the copy."""
    register.decline()
    save(register, copy)
    register.database.stop()
    (tmp_path / "optout.db").write_bytes(b"no database" * 1000)
    (tmp_path / "optout.db-wal").write_bytes(b"what was written last")

    restored = put_back(register, copy)

    kept = tmp_path / "optout.db.before-restore"
    assert restored.kept == kept
    assert kept.read_bytes().startswith(b"no database")
    assert (tmp_path / "optout.db.before-restore-wal").read_bytes() == b"what was written last"
    assert faults(register.database) == []


def test_a_log_without_its_database_is_kept(register: Register, copy: Path, tmp_path: Path) -> None:
    """SQLite would take it for the log of the copy."""
    register.decline()
    save(register, copy)
    register.database.stop()
    (tmp_path / "optout.db").unlink()
    (tmp_path / "optout.db-wal").write_bytes(b"what was written last")

    put_back(register, copy)

    kept = tmp_path / "optout.db.before-restore-wal"
    assert kept.read_bytes() == b"what was written last"
    assert register.find().report is Report.DUE


def test_it_comes_back_where_nothing_is(register: Register, copy: Path, tmp_path: Path) -> None:
    """Nothing is kept then."""
    register.decline()
    save(register, copy)
    register.database.stop()
    (tmp_path / "optout.db").unlink()

    assert put_back(register, copy).kept is None
    assert mode(tmp_path / "optout.db") == 0o600


def no_database(copy: Path) -> None:
    """Any other file."""
    copy.write_bytes(b"offer,answer\n" * 1000)


def another_database(copy: Path) -> None:
    """SQLite, but not ours."""
    copy.unlink()
    change(copy, "CREATE TABLE alembic_version (version_num TEXT)")


def empty(copy: Path) -> None:
    """SQLite takes it for a new database."""
    copy.write_bytes(b"")


def newer(copy: Path) -> None:
    """Two versions ahead."""
    change(copy, "UPDATE alembic_version SET version_num = '0099'")


def change(copy: Path, statement: str) -> None:
    """Run *statement* on a file."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(statement)


def foreign(copy: Path) -> None:
    """Facts under another key: here, the newest says something else."""
    change(copy, "DROP TRIGGER facts_no_update")
    change(copy, "UPDATE facts SET note = 'forged'")


def of_the_future(copy: Path) -> None:
    """Only the clock of the test makes it so."""
    assert copy.exists()


UNFIT = [
    pytest.param(no_database, 0, "is no backup", id="no-database"),
    pytest.param(another_database, 0, "is no backup", id="another"),
    pytest.param(empty, 0, "is no backup", id="empty"),
    pytest.param(newer, 0, "a newer version of optout-proxy", id="newer"),
    pytest.param(foreign, 0, "another audit key", id="another-key"),
    pytest.param(of_the_future, -HOUR, "set this machine's clock", id="future"),
]


@pytest.mark.parametrize(("spoil", "later", "why"), UNFIT)
def test_what_can_not_be_restored_changes_nothing(
    register: Register, copy: Path, spoil: Callable[[Path], None], later: int, why: str
) -> None:
    """The reason is one sentence, and the database goes on as it was."""
    register.decline()
    save(register, copy)
    register.decline("second")
    register.clock.pass_ms(later)
    spoil(copy)
    register.database.stop()
    folder = copy.parent
    before = {path.name for path in folder.iterdir()}

    with pytest.raises((ConfigurationError, UnfitError), match=why):
        backup.restore(register.database, copy, Ledger(KEY), register.clock)

    assert {path.name for path in folder.iterdir()} == before
    assert inspect(folder / "optout.db").offers == 2


def test_a_damaged_copy_is_not_restored(register: Register, copy: Path) -> None:
    """A page that was overwritten is found before anything is touched."""
    for number in range(200):
        register.decline(f"offer-{number}")
    save(register, copy)
    with closing(sqlite3.connect(copy)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'offers_due'"
        (page,) = connection.execute(query).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with copy.open("r+b") as file:
        file.seek((page - 1) * size + size // 2)
        file.write(b"\xff" * (size // 2))

    with pytest.raises(UnfitError, match=r"malformed|is damaged"):
        inspect(copy)


def test_an_empty_register_comes_back(register: Register, copy: Path, clock: Clock) -> None:
    """There is no newest fact, and nothing to gate."""
    save(register, copy)

    restored = put_back(register, copy)

    assert (restored.contents.newest, restored.again) == (None, 0)
    assert clock.now == register.clock.now
