"""`purge` as it is typed, beside a service and without one, on each engine; and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from click.testing import Result
from sqlalchemy import func, select

from proxy import migrate
from proxy.app import Service
from proxy.cli import main
from proxy.cli.options import configuration_of
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.schema import facts, removals
from proxy.sealer import Sealer
from proxy.seals import Seals
from tests.core import conftest as core
from tests.core.conftest import AT_ONCE, DAY, Clock, a_message
from tests.settings.home import BASE, Home, at
from tests.settings.shell import run

postgres, url, clock, database = core.postgres, core.url, core.clock, core.database
OLD = 20  # blocks past their retention
FACTS = 50  # in each


@pytest.fixture
def home(tmp_path: Path, url: str, database: Database) -> Home:
    """A deployment that keeps a day, with acceptances of long ago and of just now."""
    database.stop()
    home = at(tmp_path)
    kept = BASE.replace("[partners.ACME]\n", '[partners.ACME]\nretention = "1d"\n')
    home.write(f'database = "{url}"\n{kept}')
    settings = configuration_of(home.config).current
    clock = Clock(round(time.time() * 1000) - 3 * DAY)
    _fill(Database(url, clock, server_time=False), clock, settings.audit_key_file.parent)
    return home


def _fill(database: Database, clock: Clock, secrets: Path) -> None:
    migrate.upgrade(database)
    ledger = Ledger(load_audit_key(secrets / "audit")[0])
    key, _ = load_signing_key(secrets / "signing.pem")
    intake = Intake(database, ledger, lambda _partner, _upstream: AT_ONCE)
    sealer = Sealer(database, Seals(Signer(key, "test").kid, key.sign))
    database.start()
    for block in range(OLD + 1):
        clock.pass_ms(3 * DAY - 1_000 if block == OLD else 1)
        names = (f"offer-{block}-{number}" for number in range(FACTS))
        intake.record_all(
            [a_message(name, "accepted", upstream="tickets", seq=clock.now) for name in names]
        )
        sealer.seal()
    database.stop()
    database.dispose()


def purge(home: Home, *words: str) -> Result:
    """Type the command."""
    return run(main, "purge", *words, "--config", home.config)


def left(home: Home) -> tuple[int, int]:
    """Return how many facts there are, and how many blocks were removed."""
    database = Database(configuration_of(home.config).current.database, Clock())
    with database.read() as connection:
        counts = (
            int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for table in (facts, removals)
        )
        found = next(counts), next(counts)
    database.dispose()
    return found


def removed_by_now(database: Database) -> int:
    """Return how many blocks were removed, with one statement."""
    with database.read() as connection:
        query = select(func.count()).select_from(removals)
        return int(connection.execute(query).scalar_one())


def test_what_would_go_is_only_told(home: Home) -> None:
    """A dry run writes nothing."""
    told = purge(home, "--dry-run")

    assert told.exit_code == 0
    assert "ACME: 1,000 facts and 1,000 offers would go, sealed until 20" in told.stdout
    assert left(home) == ((OLD + 1) * FACTS, 0)


def test_it_goes_without_a_service(home: Home) -> None:
    """Under the lock; the second time there is nothing, and the record verifies."""
    done = purge(home, "--json")
    again = purge(home)
    verified = run(main, "audit", "verify", "--config", home.config)

    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["partner"], told["facts"], told["offers"]) == ("ACME", 1_000, 1_000)
    assert again.stdout == "Nothing is past its retention.\n"
    assert left(home) == (FACTS, OLD)
    assert (verified.exit_code, verified.stdout.splitlines()[2]) == (
        0,
        "1000 more are removed, past their retention; their blocks say so.",
    )


def test_a_running_service_does_it(home: Home) -> None:
    """The one that has the lock, where there is one."""
    service = Service(configuration_of(home.config), with_worker=False)
    service.start()
    try:
        done = purge(home)
    finally:
        service.stop()

    assert done.exit_code == 0
    assert "are removed" in done.stdout
    assert left(home) == (FACTS, OLD)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_purge_is_continued(home: Home, seed: int) -> None:
    """Each block goes whole or stays whole; the next purge removes the rest."""
    words = [sys.executable, "-m", "proxy", "purge", "--config", str(home.config)]
    aim = Random(seed).randrange(1, OLD)
    database = Database(configuration_of(home.config).current.database, Clock())
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # Where the machine is busy it comes after us, or it would be done before it is killed.
    os.setpriority(os.PRIO_PROCESS, process.pid, 10)
    while process.poll() is None and removed_by_now(database) < aim:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    database.dispose()

    kept, removed = left(home)
    assert removed < OLD
    assert kept == (OLD + 1 - removed) * FACTS
    assert run(main, "audit", "verify", "--config", home.config).exit_code == 0
    assert purge(home).exit_code == 0
    assert left(home) == (FACTS, OLD)
    assert run(main, "audit", "verify", "--config", home.config).exit_code == 0


@pytest.mark.parametrize("at", ["at", None])
def test_what_was_removed_is_not_missing(home: Home, at: str | None) -> None:
    """Told again it would be reported twice; what is newer than all that was removed is told."""
    assert purge(home).exit_code == 0
    now = round(time.time())
    rows = [f"offer-0-1,declined,{now - 3 * 86_400}", f"never-seen,declined,{now}"]
    orders = home.folder / "orders.csv"
    orders.write_text("\n".join(["offer,answer,at", *rows]), "utf-8")
    words = [orders, "--partner", "ACME", "--apply", "--json", *(("--at", at) if at else ())]
    told = json.loads(run(main, "reconcile", *words, "--config", home.config).stdout)

    missing = int(at is not None)
    assert (told["missing"], told["too_old"]) == (missing, 2 - missing)
    assert told["applied"] == ({"reported": 1} if missing else {})
