"""Personal data on each engine: the row, its copies, the key that opens them and its end."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from proxy import audit
from proxy.choices import Kind, Outcome, Report
from proxy.database import Database
from proxy.deliveries import story
from proxy.ledger import Ledger
from proxy.privacy import CustomerKeys, row_name
from tests.core.conftest import DAY, DELIVERED, HOUR, START, TIMED_OUT, UNREACHED, Clock
from tests.evidence import canary
from tests.evidence.filled import KEY
from tests.evidence.personal import JANE, MARK, SEARCHED, WITH, Personal, started

SUNDAY = START + 2 * DAY + 15 * HOUR  # 23:00 UTC: a day and an hour before its key goes


Restart = Callable[[], Personal]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the weekly keys lie."""
    return tmp_path / "weekly"


@pytest.fixture
def restart(database: Database, clock: Clock, folder: Path) -> Restart:
    """What a process has in memory, made anew: nothing of it is cached."""
    return lambda: started(database, clock, folder)


@pytest.fixture
def register(restart: Restart) -> Personal:
    """The register of a process that has just started."""
    return restart()


def blob_of(register: Personal, offer: str = "offer-1") -> tuple[bytes, str]:
    """Return the ciphertext of an offer as a copy of the database would hold it."""
    row = register.row(offer)
    return bytes(row["customer"]), str(row["customer_key"])


# -- the copy and its key ---------------------------------------------------------------------


def test_a_copy_opens_with_the_key_and_never_without(
    register: Personal, folder: Path, clock: Clock
) -> None:
    """Made while it waited, kept after the delivery: destroying the key is the erasure."""
    register.decline(**WITH)
    sealed, name = blob_of(register)
    row = row_name(register.find())
    register.attempt(DELIVERED)

    assert register.row()["customer"] is None
    assert CustomerKeys(folder).open(sealed, name, row) == JANE
    assert canary.found(sealed, SEARCHED) == set()

    in_use = CustomerKeys(folder)
    assert in_use.open(sealed, name, row) == JANE
    clock.pass_ms(9 * DAY)
    assert CustomerKeys(folder).destroy_old(clock.now) == [name]

    assert list(folder.iterdir()) == []
    assert CustomerKeys(folder).open(sealed, name, row) == {}
    assert in_use.destroy_old(clock.now) == []  # another process was first
    assert in_use.open(sealed, name, row) == {}


def test_many_processes_destroy_a_key_once(folder: Path) -> None:
    """They look at the same hour, and none of them stumbles over another."""
    for week in range(30):
        CustomerKeys(folder).seal(JANE, "row", START + week * 7 * DAY)
    at_once = threading.Barrier(6)
    destroyed: list[str] = []
    errors: list[OSError] = []

    def destroy() -> None:
        at_once.wait()
        try:
            destroyed.extend(CustomerKeys(folder).destroy_old(START + 400 * DAY))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=destroy) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert (len(set(destroyed)), list(folder.iterdir())) == (30, [])


def copied(database: Database, tmp_path: Path) -> Path:
    """Return the folder of what somebody has who copies the database, written to the disk."""
    if not database.is_sqlite:
        with database.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))  # much may be unwritten
            connection.execute(text("CHECKPOINT"))
            return Path(connection.execute(text("SHOW data_directory")).scalar_one())
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    with (
        closing(sqlite3.connect(database.url.database or "")) as source,
        closing(sqlite3.connect(copies / "copy.db")) as copy,
    ):
        source.backup(copy)
    return copies


def written(folder: Path) -> dict[Path, int]:
    """Return when each file was written last: a server that many tests use has written much."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def test_a_whole_copy_holds_it_only_encrypted(
    register: Personal, database: Database, tmp_path: Path
) -> None:
    """While it waits and after it: every file, with PostgreSQL's log of changes."""
    before = written(copied(database, tmp_path))
    register.decline("waits", upstream="purchase", **WITH)
    register.decline("sent", **WITH)
    waits, sent = (blob_of(register, offer)[0] for offer in ("waits", "sent"))
    register.attempt(DELIVERED)

    after = written(copied(database, tmp_path))
    whole = {path: path.read_bytes() for path in after if is_new(path, after, before)}

    assert [path for path, content in whole.items() if canary.found(content, SEARCHED)] == []
    assert any(waits in content for content in whole.values())
    # PostgreSQL keeps what was deleted in dead tuples and its log; there only the key erases.
    assert any(sent in content for content in whole.values()) is not database.is_sqlite


def is_new(path: Path, after: dict[Path, int], before: dict[Path, int]) -> bool:
    """True for a file that was written in between."""
    return path.is_file() and after[path] != before.get(path)


def test_a_ciphertext_moved_to_another_row_does_not_open(
    register: Personal, database: Database
) -> None:
    """It is bound to its offer; the other one is reported without a customer."""
    register.decline("theirs", upstream="purchase", **WITH)
    register.decline("mine")
    move = (
        "UPDATE offers SET (customer, customer_key) = (SELECT customer, customer_key FROM offers"
        " WHERE offer = 'theirs') WHERE offer = 'mine'"
    )
    with database.begin() as connection:
        connection.execute(text(move))
    assert blob_of(register, "mine") == blob_of(register, "theirs")

    delivery = register.claim_one()

    assert (delivery.offer, delivery.body) == ("mine", "{}")


# -- one key, one body ------------------------------------------------------------------------


def test_every_attempt_has_the_same_body(register: Personal, restart: Restart) -> None:
    """Whatever is told meanwhile, whoever sends it."""
    register.decline(**WITH)
    bodies = [register.attempt(TIMED_OUT).body]
    for attempt in range(3):
        register.clock.pass_ms(HOUR)
        other = canary.customer("Wjqzpv")
        register.intake.know(partner="ACME", upstream="now", offer="offer-1", customer=other)
        register.decline(customer=other, metadata={"attempt": attempt})
        register = restart()
        bodies.append(register.attempt(TIMED_OUT).body)

    assert json.loads(bodies[0]) == {"customer": JANE}
    assert set(bodies) == {bodies[0]}
    assert register.row()["body"] == "{}"  # what is frozen in the clear holds nobody


def test_what_may_have_arrived_is_not_repeated_without_its_customer(
    register: Personal, restart: Restart, folder: Path
) -> None:
    """The insurer may know the key with that body: a person decides, once the week's key went."""
    register.clock.now = SUNDAY
    register.decline(**WITH)
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(26 * HOUR)
    assert CustomerKeys(folder).destroy_old(register.clock.now) != []
    register = restart()

    assert register.claim().deliveries == []
    after = register.find()
    assert (after.report, after.outcome, after.epoch) == (Report.DEAD, "ambiguous", 1)


def test_what_never_arrived_goes_without_its_customer_and_stays_so(
    register: Personal, restart: Restart, folder: Path, database: Database
) -> None:
    """Also when the key turns up again: the body of the first request that may have arrived."""
    register.decline(**WITH)
    register.attempt(UNREACHED)
    (key,) = folder.iterdir()
    key.rename(folder.parent / "away")
    register.clock.pass_ms(HOUR)
    register = restart()

    first = register.attempt(TIMED_OUT)
    (folder.parent / "away").rename(key)
    register.clock.pass_ms(HOUR)
    register = restart()
    second = register.attempt(DELIVERED)

    assert (first.body, second.body) == ("{}", "{}")
    with database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY))) == []


def test_a_decline_is_reported_without_a_destroyed_customer(
    register: Personal, restart: Restart, folder: Path, database: Database
) -> None:
    """It was due for longer than the week's key lives: the report goes, nobody is in it."""
    register.decline(**WITH)
    register.clock.pass_ms(9 * DAY)
    assert CustomerKeys(folder).destroy_old(register.clock.now) != []
    register = restart()

    delivery = register.attempt(DELIVERED)

    assert (delivery.body, register.find().report) == ("{}", Report.DELIVERED)
    with database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY))) == []


# -- what is written of it --------------------------------------------------------------------

QUOTED = Outcome(
    kind=Kind.PERMANENT,
    reason="refused",
    status=422,
    detail=f'{{"customer.phone":["+649{canary.digits(MARK)}17 is wrong"]}} {JANE["city"].upper()}',
)


@pytest.mark.parametrize(
    ("customer", "note"), [(JANE, "customer.phone"), ({}, QUOTED.detail)], ids=["with", "without"]
)
def test_a_fact_holds_no_word_that_the_insurer_quotes(
    register: Personal, database: Database, customer: dict[str, str], note: str
) -> None:
    """A fact can not be erased; of a request without personal data it keeps all words."""
    register.decline(customer=customer)
    register.attempt(QUOTED)

    with database.snapshot() as connection:
        told = story(connection, register.find().id)
    assert told is not None
    assert told[1][-1]["note"] == note
