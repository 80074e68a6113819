"""`erase` as it is typed, where no `serve` runs, on each engine."""

from pathlib import Path

import pytest
from click.testing import Result

from proxy.app import Service
from proxy.cli import main
from proxy.cli.options import configuration_of
from proxy.conflicts import Conflicts
from proxy.control import Control, socket_path
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.erasure import Erasures
from proxy.ledger import Ledger
from proxy.receipts import load_audit_key
from tests.core.conftest import a_message
from tests.settings.home import BASE, Home, at
from tests.settings.shell import run


@pytest.fixture
def home(tmp_path: Path, url: str, database: Database) -> Home:
    """A deployment on each engine, with two offers of one order."""
    database.stop()
    home = at(tmp_path)
    home.write(f'database = "{url}"\n{BASE}')
    service = Service(configuration_of(home.config), with_worker=False)
    service.start()
    for offer in ("first", "second"):
        said = a_message(offer, upstream="tickets", purchased=True, order="ORDER-1")
        service.intake.record(said)
    service.stop()
    return home


def erase(home: Home, *words: str, answer: str | None = None) -> Result:
    """Type the command."""
    return run(main, "erase", "--partner", "ACME", *words, "--config", home.config, input=answer)


def test_an_order_is_erased(home: Home) -> None:
    """Every offer of it; the second time it is found no more."""
    done = erase(home, "--order", "ORDER-1", "--yes")
    again = erase(home, "--order", "ORDER-1", "--yes")

    assert (done.exit_code, done.stdout) == (0, "1: erased.\n2: erased.\n")
    assert "ACME/tickets  first" in done.stderr
    assert again.exit_code == 1
    assert "ACME has no such offer." in again.stderr


def test_an_offer_is_erased(home: Home) -> None:
    """Only that one; the second time there is nothing."""
    done = erase(home, "--offer", "second", "--upstream", "tickets", "--yes")
    again = erase(home, "--offer", "second", "--yes")

    assert (done.exit_code, done.stdout) == (0, "2: erased.\n")
    assert (again.exit_code, again.stdout) == (0, "2: there was nothing to erase.\n")


@pytest.mark.parametrize(("answer", "left"), [("n\n", 1), ("y\n", 0)])
def test_a_person_is_asked(home: Home, answer: str, left: int) -> None:
    """It can not be undone."""
    asked = erase(home, "--offer", "first", answer=answer)

    assert asked.exit_code == left
    assert "for good?" in asked.stderr
    assert (erase(home, "--order", "ORDER-1", "--yes").stdout.count("erased.")) == 1 + left


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--offer", "first", "--order", "ORDER-1"),
        ("--upstream", "tickets"),
        ("--order", "ORDER-1", "--upstream", "tickets"),
    ],
)
def test_one_thing_must_be_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit status 2, before any database is looked for."""
    assert erase(at(tmp_path), *words, "--yes").exit_code == 2


def test_the_audit_key_is_needed(home: Home) -> None:
    """A new one would make every fact look forged."""
    configuration_of(home.config).current.audit_key_file.unlink()
    refused = erase(home, "--order", "ORDER-1", "--yes")

    assert refused.exit_code == 2
    assert "is gone; restore it" in refused.stderr


def test_no_database_is_a_problem(tmp_path: Path) -> None:
    """Exit status 1, one sentence."""
    failed = erase(at(tmp_path), "--offer", "first", "--yes")

    assert failed.exit_code == 1
    assert "can not be read" in failed.stderr


# -- beside a service -------------------------------------------------------------------------


@pytest.mark.parametrize(("knows", "status", "said"), [(True, 0, "1: erased.\n"), (False, 1, "")])
def test_a_running_service_does_it(tmp_path: Path, *, knows: bool, status: int, said: str) -> None:
    """The one that has the lock; an older one says that it can not."""
    home = at(tmp_path)
    configuration = configuration_of(home.config)
    service = Service(configuration, with_worker=False)
    ledger = Ledger(load_audit_key(configuration.current.audit_key_file)[0])
    service.start()
    service.intake.record(a_message("first", upstream="tickets", purchased=True, order="ORDER-1"))
    control = Control(
        socket_path(tmp_path / "optout.db"),
        dead_letters=DeadLetters(service.database, ledger),
        conflicts=Conflicts(service.database, ledger),
        intake=service.intake,
        erasures=Erasures(service.database, ledger) if knows else None,
    )
    control.start()
    try:
        done = erase(home, "--order", "ORDER-1", "--yes")
    finally:
        control.stop()
        service.stop()

    assert (done.exit_code, done.stdout) == (status, said)
