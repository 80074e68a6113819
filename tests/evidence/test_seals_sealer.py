"""The sealer: in which order it closes what several write at once, and when it wakes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from proxy import store
from proxy.choices import Choice, Source
from proxy.database import Database
from proxy.ledger import Fact, Ledger
from proxy.receipts import Signer
from tests.core import conftest as core
from tests.core.conftest import Clock, Register, a_message
from tests.evidence import test_seals as stage
from tests.evidence.test_seals import KEY, Make, chain, tally, wrong

postgres, url, clock, database = core.postgres, core.url, core.clock, core.database
make_register, register = core.make_register, core.register
signer, make_sealer = stage.signer, stage.make_sealer


@contextmanager
def half_written(database: Database, offer: str) -> Iterator[Connection]:
    """Add a fact in a transaction that is still open; what comes meanwhile has higher ids."""
    key = ("ACME", "now", offer)
    with database.begin() as connection:
        row = store.lock(connection, [key], core.START)[key]
        fact = Fact(kind="choice.recorded", at=core.START, source=Source.PAGE, said=Choice.DECLINED)
        store.save(connection, Ledger(KEY), [(row, fact)], core.START)
        yield connection


# -- who commits late -------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_lower_id_that_commits_late_is_not_skipped(
    register: Register, make_sealer: Make, signer: Signer
) -> None:
    """While it is open nothing after it is sealed; afterwards it lies in the first block."""
    sealer = make_sealer(patience_s=0.1)
    with half_written(register.database, "late"):
        register.decline("early")
        assert sealer.seal() == 0
    assert sealer.seal() == 2

    late, early = register.find("late"), register.find("early")
    with register.database.read() as connection:
        ids = connection.execute(text("SELECT offer_id FROM facts ORDER BY id")).scalars().all()
    assert ids == [late.id, early.id]  # or this test would prove nothing
    assert wrong(register, signer) == []


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_who_writes_is_waited_for(register: Register, make_sealer: Make, signer: Signer) -> None:
    """A transaction that ends meanwhile is sealed with the rest; those that come later need not."""
    sealed: list[int] = []
    thread = threading.Thread(target=lambda: sealed.append(make_sealer(patience_s=30.0).seal()))
    with half_written(register.database, "late"):
        register.decline("early")
        thread.start()
        thread.join(0.3)
        assert sealed == []
    thread.join()

    assert sealed == [2]
    assert wrong(register, signer) == []


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_what_is_rolled_back_holds_nothing_up(
    register: Register, make_sealer: Make, signer: Signer
) -> None:
    """A gap in the ids is none in the evidence."""
    with half_written(register.database, "never") as connection:
        register.decline("one")
        connection.rollback()

    assert make_sealer(patience_s=0.1).seal() == 1
    assert wrong(register, signer) == []


def test_nothing_is_skipped_under_load(
    register: Register, make_sealer: Make, signer: Signer
) -> None:
    """Four writers and a sealer that never rests: every fact is sealed once."""
    sealer = make_sealer(most=50)
    messages = [[a_message(f"{n}-{m}") for m in range(60)] for n in range(4)]
    threads = [
        threading.Thread(target=lambda said=said: [register.intake.record(one) for one in said])
        for said in messages
    ]
    for thread in threads:
        thread.start()
    sealed = 0
    while any(thread.is_alive() for thread in threads):
        sealed += sealer.seal()
    sealed += sealer.seal()

    assert sealed == 240
    assert wrong(register, signer) == []
    assert tally(register, signer).newer == 0


# -- the thread -------------------------------------------------------------------------------


def test_the_thread_seals_by_itself(register: Register, make_sealer: Make, signer: Signer) -> None:
    """Round after round, and what is left when it is asked to stop."""
    sealer = make_sealer(span_s=0.01)
    register.decline("one")
    sealer.start()
    waiting = threading.Event()
    while not chain(register.database):
        waiting.wait(0.01)
    slow = make_sealer()  # a minute is far away
    slow.start()
    sealer.stop()
    register.decline("two")
    slow.stop(grace_s=10.0)

    assert tally(register, signer).sealed == 2


def test_who_finds_a_fresh_block_waits(register: Register, make_sealer: Make, clock: Clock) -> None:
    """Any number of sealers close one block a minute, not one each."""
    register.decline("one")
    make_sealer().seal()
    register.decline("two")
    other = make_sealer(span_s=0.01)
    other.start()
    threading.Event().wait(0.2)
    before = len(chain(register.database))
    clock.pass_ms(10)
    while len(chain(register.database)) == 1:
        threading.Event().wait(0.01)
    other.stop()

    assert before == 1


def test_a_round_that_fails_is_made_up_for(
    register: Register, make_sealer: Make, signer: Signer
) -> None:
    """The storage was away; nothing of it is lost."""
    moved = "ALTER TABLE {} RENAME TO {}"
    sealer = make_sealer(span_s=0.01)
    register.decline()
    with register.database.begin() as connection:
        connection.execute(text(moved.format("blocks", "elsewhere")))
    sealer.start()
    threading.Event().wait(0.1)
    with register.database.begin() as connection:
        connection.execute(text(moved.format("elsewhere", "blocks")))
    while not chain(register.database):
        threading.Event().wait(0.01)
    sealer.stop()

    assert wrong(register, signer) == []
