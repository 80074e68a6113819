"""`check` on what is recorded: the schema, the keys, what waits for a person."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from proxy import migrate
from proxy.cli import main
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.seals import Seals, close
from tests.core.conftest import AT_ONCE, a_message
from tests.settings.broken_homes import Broken, good
from tests.settings.home import Home
from tests.settings.shell import run
from tests.settings.test_checks import NOBODY, OF_THE_MACHINE

MINUTE = 60_000
NEWER = "UPDATE alembic_version SET version_num = '9999'"


def findings(home: Home) -> dict[str, dict[str, str]]:
    """Check *home*; return what is other than well by its check."""
    done = run(main, "check", "--config", home.config, "--admin", NOBODY, "--json")
    report = json.loads(done.stdout)
    skipped = {*OF_THE_MACHINE, "limits"}  # Redis is another story
    found = [one for one in report["findings"] if one["verdict"] != "ok"]
    return {one["check"]: one for one in found if one["check"] not in skipped}


def told_of(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the verdicts of what was found."""
    return {name: one["verdict"] for name, one in found.items()}


class Recorded:
    """A home on SQLite with declines on record, sealed."""

    def __init__(self, home: Home, clock: Any = wall) -> None:
        self.home = home
        good(home)
        settings = home.load_again()
        self.database = Database(settings.database, clock)
        migrate.upgrade(self.database)
        self.database.start()
        key, _ = load_audit_key(settings.audit_key_file)
        signing, _ = load_signing_key(settings.signing_key_file)
        self.seals = Seals(Signer(signing, settings.audience).kid, signing.sign)
        intake = Intake(self.database, Ledger(key), lambda *_: AT_ONCE, lambda _: None)
        for number in range(3):
            intake.record(a_message(f"offer-{number}", upstream="tickets"))

    def seal(self) -> None:
        """Close what is on record into a block."""
        with self.database.read() as connection:
            plan = self.seals.plan(connection, until=1_000, now=wall())
        assert self.database.write(close, plan)

    def change(self, statement: str) -> None:
        """Write to the file as another program would."""
        self.database.stop()
        engine = create_engine(self.database.url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()


@pytest.fixture
def recorded(home: Home) -> Iterator[Recorded]:
    """Three declines, due a moment ago."""
    recorded = Recorded(home)
    recorded.seal()
    yield recorded
    recorded.database.stop()


def test_a_good_record(recorded: Recorded) -> None:
    """Nothing is wrong with it, beside whoever writes and afterwards."""
    assert findings(recorded.home) == {}
    recorded.database.stop()
    assert findings(recorded.home) == {}


def _other_audit_key(home: Home) -> None:
    home.secret("audit", "A" * 43)


def _other_signing_key(home: Home) -> None:
    path = home.folder / "secrets/signing.pem"
    path.unlink()
    load_signing_key(path)


KEYS: dict[str, Broken] = {
    "an audit key that is gone": (
        lambda home: (home.folder / "secrets/audit").unlink(),
        "audit_key",
        "fail",
        "is gone, and facts are on record under it",
        "Restore it",
    ),
    "an audit key that is another": (
        _other_audit_key,
        "audit_key",
        "fail",
        "was not written under",
        "audit verify",
    ),
    "a signing key that is gone": (
        lambda home: (home.folder / "secrets/signing.pem").unlink(),
        "signing_key",
        "warn",
        "is gone: the next start makes another",
        "Restore it",
    ),
    "a signing key that is another": (
        _other_signing_key,
        "signing_key",
        "warn",
        "it is another key",
        "keep the old public key",
    ),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_that_do_not_belong_to_the_record(recorded: Recorded, name: str) -> None:
    """As after a restore of one without the other."""
    change, check, verdict, says, mend = KEYS[name]
    change(recorded.home)

    found = findings(recorded.home)

    assert told_of(found) == {check: verdict}
    assert says in found[check]["says"]
    assert mend in found[check]["mend"]


STANDING = {
    "dead": (
        "UPDATE offers SET report = 'dead', due_at = NULL WHERE id < 3",
        "warn",
        "Reports given up of ACME: 2",
        "deliveries requeue",
    ),
    "conflict": (
        "UPDATE offers SET conflicts = 'order' WHERE id = 1",
        "warn",
        "Offers that contradict themselves of ACME: 1",
        "conflicts resolve",
    ),
    "overdue": (
        "UPDATE offers SET due_at = 1500000000000 WHERE id = 2",
        "fail",
        "Reports due and not sent of ACME: 1, the oldest since 2017-07-14",
        "whether a worker runs",
    ),
    "paused": (
        "INSERT INTO buckets (bucket, next_us, shut_until, paused_at) VALUES ('', 0, 0, 15e11)",
        "fail",
        "Credentials paused, because the insurer refuses them: 1, since 2017-07-14",
        "check --online",
    ),
    "schema": (NEWER, "fail", "migrated by a newer version", "Install that version"),
}


@pytest.mark.parametrize("check", STANDING)
def test_what_waits_for_a_person(recorded: Recorded, check: str) -> None:
    """How many, whose and since when; never which."""
    statement, verdict, says, mend = STANDING[check]
    recorded.change(statement)

    found = findings(recorded.home)

    assert told_of(found) == {check: verdict}
    assert says in found[check]["says"]
    assert mend in found[check]["mend"]
    assert "offer-" not in found[check]["says"]


def test_facts_that_nobody_seals(home: Home) -> None:
    """Whoever should is not running."""
    recorded = Recorded(home, lambda: wall() - 6 * MINUTE)
    recorded.database.stop()

    found = findings(home)

    assert told_of(found) == {"seals": "warn"}
    assert "Facts wait for their seal since" in found["seals"]["says"]


def test_an_older_file_is_brought_up_to_date_by_serve(home: Home) -> None:
    """So it is not wrong."""
    good(home)
    database = Database(home.load_again().database, wall)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    database.dispose()

    assert findings(home) == {}
