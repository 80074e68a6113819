"""`backup` and `restore` as they are typed, beside a `serve` and without one."""

import json
from pathlib import Path

import pytest

from proxy.app import Service
from proxy.backup import inspect
from proxy.cli import main
from proxy.cli.options import configuration_of
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.lock import FileLock
from proxy.receipts import load_audit_key
from tests.core.conftest import AT_ONCE, HOUR, a_message
from tests.settings.home import BASE, Home, at
from tests.settings.shell import run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A deployment with one decline."""
    home = at(tmp_path)
    service = serve(home)
    service.intake.record(a_message(upstream="tickets"))
    service.stop()
    return home


def serve(home: Home) -> Service:
    """Return a running service that delivers nothing."""
    service = Service(configuration_of(home.config), with_worker=False)
    service.start()
    return service


def test_there_and_back(home: Home, tmp_path: Path) -> None:
    """A backup beside a running service; a restore when it has ended; and nothing is wrong."""
    service = serve(home)
    saved = run(main, "backup", tmp_path / "copy", "--config", home.config)
    service.intake.record(a_message("offer-2", upstream="tickets"))
    service.stop()

    restored = run(main, "restore", tmp_path / "copy", "--force", "--config", home.config)

    assert saved.exit_code == 0
    assert saved.stdout.startswith(f"{tmp_path}/copy: 1 offers, 1 facts, the newest of 20")
    assert restored.exit_code == 0
    assert "1 reports still wait and keep their key." in restored.stdout
    assert f"kept: {tmp_path}/optout.db.before-restore" in restored.stdout
    assert inspect(tmp_path / "optout.db.before-restore").offers == 2
    verified = run(main, "audit", "verify", "--config", home.config)
    assert (verified.exit_code, "1 offers and all" in verified.stdout) == (0, True)


def test_both_tell_machines(home: Home, tmp_path: Path) -> None:
    """One JSON object each, and the bar goes elsewhere."""
    saved = run(main, "backup", tmp_path / "copy", "--json", "--config", home.config)
    (tmp_path / "optout.db").unlink()
    restored = run(main, "restore", tmp_path / "copy", "--json", "--config", home.config)

    told = json.loads(saved.stdout)
    assert (told["offers"], told["facts"], told["schema"]) == (1, 1, "0004")
    assert json.loads(restored.stdout)["kept"] is None
    assert json.loads(restored.stdout)["again"] == 1


def test_an_old_backup_is_gated_and_listed(home: Home, tmp_path: Path) -> None:
    """What may have left too long ago is shown; the newest fact tells how old the copy is."""
    settings = configuration_of(home.config).current
    old = Database(settings.database, lambda: wall() - 47 * HOUR)
    ledger = Ledger(load_audit_key(settings.audit_key_file)[0])
    old.start()
    Intake(old, ledger, lambda _partner, _upstream: AT_ONCE).record(a_message("old"))
    old.stop()
    run(main, "backup", tmp_path / "copy", "--config", home.config)

    restored = run(main, "restore", tmp_path / "copy", "--force", "--config", home.config)

    assert "2 may have been sent too long ago" in restored.stdout
    listed = run(main, "deliveries", "list", "--report", "dead", "--config", home.config)
    assert listed.stdout.count("ambiguous") == 2


def test_a_running_service_is_not_overwritten(home: Home, tmp_path: Path) -> None:
    """It holds the lock; the sentence says what to do."""
    run(main, "backup", tmp_path / "copy", "--config", home.config)
    before = (tmp_path / "optout.db").read_bytes()
    lock = FileLock(tmp_path / "optout.db")
    lock.take()
    try:
        refused = run(main, "restore", tmp_path / "copy", "--force", "--config", home.config)
    finally:
        lock.release()

    assert refused.exit_code == 2
    assert "Another optout-proxy serves optout.db; stop it first" in refused.stderr
    assert (tmp_path / "optout.db").read_bytes() == before


def test_a_database_is_not_replaced_unasked(home: Home, tmp_path: Path) -> None:
    """--force says so."""
    run(main, "backup", tmp_path / "copy", "--config", home.config)
    refused = run(main, "restore", tmp_path / "copy", "--config", home.config)

    assert refused.exit_code == 2
    assert "is there already; --force" in refused.stderr


def test_what_is_no_backup_is_a_problem(home: Home, tmp_path: Path) -> None:
    """One sentence, exit status 1, and the lock is free again."""
    (tmp_path / "copy").write_bytes(b"offer,answer\n" * 1000)
    refused = run(main, "restore", tmp_path / "copy", "--force", "--config", home.config)

    assert refused.exit_code == 1
    assert "is no backup that can be read" in refused.stderr
    serve(home).stop()


def test_a_copy_that_can_not_be_made_is_a_problem(home: Home, tmp_path: Path) -> None:
    """Here there is no such folder."""
    failed = run(main, "backup", tmp_path / "none" / "copy", "--config", home.config)

    assert failed.exit_code == 1
    assert "Nothing was put in place" in failed.stderr


def test_no_database_is_a_problem(home: Home, tmp_path: Path) -> None:
    """There is nothing to copy."""
    (tmp_path / "optout.db").unlink()
    failed = run(main, "backup", tmp_path / "copy", "--config", home.config)

    assert failed.exit_code == 1
    assert "The database can not be read" in failed.stderr
    assert not (tmp_path / "copy").exists()


def test_a_restore_needs_the_audit_key(home: Home, tmp_path: Path) -> None:
    """A key made anew would make every fact look forged."""
    run(main, "backup", tmp_path / "copy", "--config", home.config)
    configuration_of(home.config).current.audit_key_file.unlink()
    refused = run(main, "restore", tmp_path / "copy", "--force", "--config", home.config)

    assert refused.exit_code == 2
    assert "is gone; restore it" in refused.stderr


@pytest.mark.parametrize(("word", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_is_refused(tmp_path: Path, word: str, tool: str) -> None:
    """With the name of what does it there, and why; no server is asked."""
    home = at(tmp_path)
    home.write(f'database = "postgresql+psycopg://nobody@127.0.0.1:1/none"\n{BASE}')
    (tmp_path / "copy").touch()
    refused = run(main, word, tmp_path / "copy", "--force", "--config", home.config)

    assert refused.exit_code == 2
    assert tool in refused.stderr
    assert "in one moment" in refused.stderr
