"""What guards a removal: the database before it, the audit after it."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import DBAPIError

from proxy import removals, seals
from proxy.receipts import load_signing_key
from proxy.removals import removal_of
from proxy.schema import facts
from tests.core.conftest import DAY, Clock
from tests.evidence.sealed import Record


def test_the_database_lets_no_other_fact_go(record: Record, clock: Clock) -> None:
    """Not one of a block that stays, and not one that no block holds."""
    record.decline("old")
    clock.pass_ms(31 * DAY)
    record.decline("young")
    record.purge()
    record.register.decline("unsealed")
    for offer in ("young", "unsealed"):
        row = record.register.find(offer).id
        with (
            pytest.raises(DBAPIError, match="append-only"),
            record.register.database.begin() as connection,
        ):
            connection.execute(delete(facts).where(facts.c.offer_id == row))
    assert record.wrong() == []


def test_a_removal_is_for_good(record: Record, clock: Clock) -> None:
    """It can be neither changed nor taken back."""
    record.decline("old")
    clock.pass_ms(31 * DAY)
    record.decline("young")
    record.purge()
    for change in ("DELETE FROM removals", "UPDATE removals SET count = 0"):
        with (
            pytest.raises(DBAPIError, match="append-only"),
            record.register.database.begin() as connection,
        ):
            connection.execute(text(change))


Tamper = Callable[[Record], None]


def _forget_the_removal(record: Record) -> None:
    _unguard(record, "removals", "DELETE FROM removals")


def _change_the_removal(record: Record) -> None:
    _unguard(record, "removals", "UPDATE removals SET removed_at = removed_at + 1")


def _sign_with_another_key(record: Record) -> None:
    other, _ = load_signing_key(record.folder / "other.pem")
    with record.register.database.begin() as connection:
        block = seals.find(connection, "ACME", 2)
        assert block
        removals.write(connection, removal_of(block, now=1, kid=record.signer.kid, sign=other.sign))
        connection.execute(
            delete(facts).where(facts.c.id.between(block.first_fact, block.last_fact))
        )


def _put_a_fact_back(record: Record) -> None:
    with record.register.database.begin() as connection:
        row = connection.execute(select(facts).order_by(facts.c.id).limit(1)).mappings().one()
        connection.execute(insert(facts), [dict(row) | {"id": 1, "ordinal": 99, "message": "x"}])


def _cut_a_young_offer(record: Record) -> None:
    _unguard(record, "facts", "DELETE FROM facts WHERE ordinal = 1")


def _unguard(record: Record, table: str, change: str) -> None:
    with record.register.database.begin() as connection:
        names = {
            "sqlite": "SELECT name FROM sqlite_master "
            f"WHERE type = 'trigger' AND tbl_name = '{table}'",
            "postgresql": f"SELECT tgname FROM pg_trigger WHERE tgrelid = '{table}'::regclass "
            "AND NOT tgisinternal",
        }[connection.dialect.name]
        on = f" ON {table}" if connection.dialect.name == "postgresql" else ""
        for name in connection.execute(text(names)).scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}{on}"))
        connection.execute(text(change))


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (_forget_the_removal, "3 facts were sealed, 0 are there"),
        (_change_the_removal, "no key of ours has signed its removal"),
        (_sign_with_another_key, "no key of ours has signed its removal"),
        (_put_a_fact_back, "it was removed, and 1 of its facts are there"),
        (_cut_a_young_offer, "the fact is missing"),
    ],
)
def test_what_was_not_removed_by_us_is_found(
    record: Record, clock: Clock, tamper: Tamper, why: str
) -> None:
    """A removal is worth its signature, and no more than the block that it names."""
    record.decline("old")
    clock.pass_ms(31 * DAY)
    record.decline("middle")
    record.decline("young")
    record.purge()
    assert record.wrong() == []

    tamper(record)
    assert any(why in one for one in record.wrong())
