"""How attempts ended: written by one thread for all senders, also when storage was away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine, text

from proxy.choices import Report
from proxy.endings import Endings
from proxy.errors import StorageUnavailable
from tests.core.conftest import DELIVERED, UNREACHED, Register

PATIENCE_S = 30.0
LEASE_S = 60.0


@pytest.fixture
def endings(register: Register) -> Endings:
    """Endings that are told."""
    endings = Endings(register.outbox)
    endings.start()
    return endings


@contextmanager
def storage_away(register: Register) -> Iterator[None]:
    """Let another session hold what a finish needs; what was queued before has failed by then."""
    database = register.database
    lock = "BEGIN IMMEDIATE" if database.is_sqlite else "LOCK TABLE offers IN EXCLUSIVE MODE"
    engine = create_engine(database.url)
    try:
        with engine.connect() as connection:
            connection.execute(text(lock))
            yield
            for _ in range(2):  # PostgreSQL has several writers: the second one comes after all
                with pytest.raises(StorageUnavailable):
                    register.outbox.take_back()
            connection.rollback()
    finally:
        engine.dispose()


def _stop(endings: Endings) -> None:
    endings.stop(time.monotonic() + PATIENCE_S)


def test_stopping_writes_down_what_is_there(register: Register, endings: Endings) -> None:
    """Each in its own way."""
    for number in range(20):
        register.decline(f"offer-{number}")
    for delivery in register.claim(20).deliveries:
        outcome = UNREACHED if delivery.offer == "offer-7" else DELIVERED
        endings.add(delivery, register.bucket, outcome, time.monotonic() + LEASE_S)
    _stop(endings)

    reports = {n: register.find(f"offer-{n}").report for n in range(20)}
    assert reports == dict.fromkeys(range(20), Report.DELIVERED) | {7: Report.DUE}
    assert endings.waiting() == 0


def test_an_outcome_waits_for_storage_that_is_away(register: Register, endings: Endings) -> None:
    """It must not be asked for twice."""
    register.decline()
    delivery = register.claim_one()
    with storage_away(register):
        endings.add(delivery, register.bucket, DELIVERED, time.monotonic() + LEASE_S)
    _stop(endings)

    assert register.find().report is Report.DELIVERED


def test_an_outcome_is_not_tried_beyond_its_lease(register: Register, endings: Endings) -> None:
    """By then another may have claimed the row."""
    register.decline()
    delivery = register.claim_one()
    with storage_away(register):
        endings.add(delivery, register.bucket, DELIVERED, time.monotonic())
    _stop(endings)

    assert register.find().report is Report.SENDING
