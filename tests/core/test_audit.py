"""The audit: whatever is changed behind the register's back is named."""

import sqlite3

import pytest
from sqlalchemy import Connection, text

from proxy import audit
from proxy.ledger import Ledger
from tests.core.conftest import DELIVERED, Register, a_message

KEY = b"audit key of a test, 32 bytes at least"


@pytest.fixture
def told(register: Register) -> Register:
    """Three offers with some history; the second is bought."""
    register.decline("first")
    register.attempt(DELIVERED)
    register.decline("second", purchased=True, order="ORDER-1")
    register.decline("third")
    register.accept("third")
    return register


def found(register: Register, key: bytes = KEY) -> list[audit.Wrong]:
    """Return what the audit names."""
    with register.database.snapshot() as connection:
        return list(audit.verify(connection, Ledger(key)))


def tamper(register: Register, *statements: str) -> None:
    """Do what only somebody with the database in hand can."""
    with register.database.begin() as connection:
        _disarm(connection)
        for statement in statements:
            connection.execute(text(statement))


def _disarm(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("DROP TRIGGER facts_no_update"))
        connection.execute(text("DROP TRIGGER facts_no_delete"))
    else:
        connection.execute(text("ALTER TABLE facts DISABLE TRIGGER ALL"))


def test_what_was_written_is_right(told: Register) -> None:
    """Nothing is named, and every offer was counted."""
    counted: list[int] = []
    with told.database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY), counted.append)) == []
        assert sum(counted) == audit.count(connection) == 3


def test_another_key_verifies_nothing(told: Register) -> None:
    """Whoever has the database alone can not make facts."""
    assert {wrong.why for wrong in found(told, b"another key")} >= {"the digest is wrong"}


def orphan(register: Register, row: int) -> None:
    """Delete an offer from under its facts, which the foreign key forbids to everybody else."""
    delete = f"DELETE FROM offers WHERE id = {row}"
    if register.database.is_sqlite:
        other = sqlite3.connect(str(register.database.url.database))  # keys are off unless set on
        other.execute(delete)
        other.commit()
        other.close()
        return
    with register.database.begin() as connection:
        connection.execute(text("ALTER TABLE offers DISABLE TRIGGER ALL"))
        connection.execute(text(delete))


def fill_pages(register: Register, end: str) -> int:
    """Record more offers than are read at once; return the id at the `min` or `max` end of all."""
    register.intake.record_all([a_message(f"known-{n}") for n in range(2_100)])
    with register.database.read() as connection:
        return int(connection.execute(text(f"SELECT {end}(id) FROM offers")).scalar_one())


SECOND = "(SELECT id FROM offers WHERE offer = 'second')"
TAMPERING: dict[str, str] = {
    "a fact's choice": f"UPDATE facts SET choice = 'accepted' WHERE offer_id = {SECOND}",
    "a fact's time": f"UPDATE facts SET at = at + 1 WHERE offer_id = {SECOND}",
    "a fact's outcome": f"UPDATE facts SET status = 204 WHERE offer_id = {SECOND}",
    "a fact taken away": f"DELETE FROM facts WHERE offer_id = {SECOND} AND ordinal = 1",
    "the row's choice": "UPDATE offers SET choice = 'accepted' WHERE offer = 'second'",
    "the row's report": "UPDATE offers SET report = 'delivered' WHERE offer = 'second'",
    "the row's order": "UPDATE offers SET order_reference = 'ORDER-2' WHERE offer = 'second'",
    "the row's offer": "UPDATE offers SET offer = 'another' WHERE offer = 'second'",
    "the row's upstream": "UPDATE offers SET upstream = 'other' WHERE offer = 'second'",
    "the row's count": "UPDATE offers SET facts = facts + 1 WHERE offer = 'second'",
    "the row's digest": "UPDATE offers SET digest = NULL WHERE offer = 'second'",
    "the row's partner": "UPDATE offers SET partner = 'OTHER' WHERE offer = 'second'",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_what_is_changed_is_named(told: Register, what: str) -> None:
    """The row that was changed, and no other."""
    row = told.find("second").id
    tamper(told, TAMPERING[what])

    assert {wrong.offer_id for wrong in found(told)} == {row}


def test_a_fact_moved_to_another_offer_is_named(told: Register) -> None:
    """Both offers are: one has lost it, and it does not fit the other."""
    first, third = told.find("first").id, told.find("third").id
    tamper(
        told, f"UPDATE facts SET offer_id = {third}, ordinal = ordinal + 8 WHERE offer_id = {first}"
    )

    assert {wrong.offer_id for wrong in found(told)} == {first, third}


def test_a_purchase_that_no_fact_tells_of_is_named(told: Register) -> None:
    """It would release a decline that is held for the purchase."""
    tamper(told, "UPDATE offers SET purchased = true WHERE offer = 'first'")

    assert [wrong.why for wrong in found(told)] == ["no fact tells of its purchase"]


def test_an_offer_without_facts_is_named(told: Register) -> None:
    """Only one that nobody has said anything of needs none, and no such row is kept."""
    names = "partner, upstream, choice, seq, implicit, late, reconciled, purchased, conflicts,"
    names += " metadata, report, epoch, attempts, claims, created_at, updated_at"
    tamper(
        told,
        f"INSERT INTO offers (offer, facts, {names})"
        f" SELECT 'invented', 0, {names} FROM offers WHERE offer = 'first'",
    )

    assert found(told) == [
        audit.Wrong(offer_id=told.find("invented").id, why="no fact tells of it")
    ]


def test_facts_without_their_offer_are_named(told: Register) -> None:
    """Each of them is, though no offer leads to it."""
    second = told.find("second")
    orphan(told, second.id)

    orphans = [
        audit.Wrong(offer_id=second.id, ordinal=n + 1, why="its offer is missing")
        for n in range(second.facts)
    ]
    assert found(told) == orphans


@pytest.mark.parametrize("end", ["min", "max"])
def test_pages_do_not_hide_anything(told: Register, end: str) -> None:
    """More offers than are read at once, the first and the last of them wrong."""
    row = fill_pages(told, end)
    tamper(told, f"UPDATE offers SET choice = 'accepted' WHERE id = {row}")

    assert [wrong.offer_id for wrong in found(told)] == [row]


def test_one_moment_is_verified(told: Register) -> None:
    """What another connection changes meanwhile on a later page is not seen, not even half."""
    row = fill_pages(told, "max")
    counted: list[int] = []

    def meddle(offers: int) -> None:
        if not counted:
            with told.database.begin() as other:
                other.execute(text(f"UPDATE offers SET choice = 'accepted' WHERE id = {row}"))
        counted.append(offers)

    with told.database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY), meddle)) == []
    assert len(counted) == 2
    assert [wrong.offer_id for wrong in found(told)] == [row]
