"""Whoever has the file in hand changes it without the program: `audit verify` names the row."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proxy import audit, migrate
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.intake import Intake
from proxy.ledger import CANONICAL, Ledger
from proxy.outbox import Outbox
from proxy.receipts import Signer, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Block, Seals
from tests.core.conftest import DELIVERED, POLICIES, REFUSED, TIMED_OUT, Clock, Register, a_message

KEY = b"audit key of a test, 32 bytes at least"
STATE = ("choice", "report", "epoch", "conflicts", "digest")
PARTNERS = ("ACME", "OTHER")

Row = dict[str, Any]
Change = Callable[[sqlite3.Connection, Random], audit.Wrong]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the whole file and its keys lie."""
    return tmp_path_factory.mktemp("seals")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    """Two partners' offers with some history, sealed in rounds, and closed in order."""
    path = folder / "whole.db"
    clock = Clock()
    database = Database(f"sqlite:///{path}", clock, server_time=False)
    migrate.upgrade(database)
    database.start()
    key, _ = load_signing_key(folder / "signing.pem")
    sealer = Sealer(database, Seals(Signer(key, "test").kid, key.sign), most=15)
    ledger = Ledger(KEY)
    register = Register(
        database=database,
        clock=clock,
        intake=Intake(database, ledger, lambda _, upstream: POLICIES[upstream], lambda _: None),
        outbox=Outbox(database, ledger, lambda: 0.5),
        dead_letters=DeadLetters(database, ledger),
    )
    for day in range(4):
        _a_day(register, day)
        sealer.seal()
    database.stop()
    return path


def _a_day(register: Register, day: int) -> None:
    for number in range(8):
        offer = f"offer-{day}-{number}"
        register.intake.record(a_message(offer, partner=PARTNERS[number % 2]))
    register.decline(f"bought-{day}", purchased=True, order=f"ORDER-{day}")
    register.accept(f"accepted-{day}")
    register.accept(f"offer-{day}-0")
    for outcome in (DELIVERED, REFUSED, TIMED_OUT):
        (delivery,) = register.claim(most=1).deliveries
        assert register.outbox.finish(delivery, register.bucket, outcome)
    register.clock.pass_ms(60_000)


@pytest.fixture(scope="module")
def keys(folder: Path, whole: Path) -> dict[str, Any]:
    """The published keys."""
    assert whole.exists()
    return Signer(load_signing_key(folder / "signing.pem")[0], "test").public_keys()


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> sqlite3.Connection:
    """A copy of the file, its triggers dropped and its constraints off."""
    connection = sqlite3.connect(tmp_path / "copy.db", isolation_level=None)
    with closing(sqlite3.connect(whole)) as original:
        original.backup(connection)
    connection.row_factory = sqlite3.Row
    triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    for (name,) in connection.execute(triggers).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def named(path: Path, keys: dict[str, Any], kept: list[Block] | None = None) -> list[audit.Wrong]:
    """Return what `audit verify` names."""
    with Database(f"sqlite:///{path}", Clock()).snapshot() as connection:
        found = list(audit.verify(connection, Ledger(KEY)))
        found += audit.verify_blocks(connection, keys, audit.Tally())
        return found + list(audit.verify_kept(connection, kept or []))


def is_named(expected: audit.Wrong, found: list[audit.Wrong]) -> bool:
    """True when one of *found* is about the row of *expected*, or about the block around it."""
    about = ((one.offer_id, one.partner, one.block) for one in found)
    return (expected.offer_id, expected.partner, expected.block) in about


# -- what an attacker does: each returns the row that must be named ---------------------------


def rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return the rows of a table."""
    return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def another(value: Any, dice: Random) -> Any:
    """Return a value that is not *value*, as an attacker would choose it."""
    if isinstance(value, bytes):
        place = dice.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << dice.randrange(8)]) + value[place + 1 :]
    if dice.random() < 0.2:
        return dice.choice([b"bytes", "a text", b"", 0.5])  # of a type that was never written
    if isinstance(value, int):
        return value + dice.choice((-1, 1, 2, 1_000_000))
    return dice.choice(["declined", "", "x", b"bytes", 7]) if value is None else f"{value}x"


def put(connection: sqlite3.Connection, table: str, row: Row, where: str) -> None:
    """Write *row* over the one that is there."""
    names = ", ".join(f'"{name}" = :{name}' for name in row)
    connection.execute(f"UPDATE {table} SET {names} WHERE {where}", row)


def change_a_fact(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """One value of one fact."""
    fact = dice.choice(rows(connection, "facts"))
    column = dice.choice([*CANONICAL, "digest"])
    changed = {**fact, column: another(fact[column], dice)}
    if column in ("offer_id", "ordinal"):
        changed[column] = fact[column] + 1_000  # where no fact stands
    put(connection, "facts", changed, "id = :id")
    return audit.Wrong(offer_id=fact["offer_id"], why="")


def change_an_offer(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """What a fact tells of its row, or how the row is called."""
    offer = dice.choice(rows(connection, "offers"))
    names = (*STATE, "facts", "partner", "upstream", "offer", "order_reference")
    column = dice.choice([*names, *(() if offer["purchased"] else ("purchased",))])
    put(connection, "offers", offer | {column: another(offer[column], dice)}, "id = :id")
    return audit.Wrong(offer_id=offer["id"], why="")


def change_a_block(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """Any value of any block but its name."""
    block = dice.choice(rows(connection, "blocks"))
    column = dice.choice([name for name in block if name not in ("partner", "number")])
    changed = block | {column: another(block[column], dice)}
    if column == "last_fact":
        changed[column] = block[column] + 1_000  # where no block ends
    put(connection, "blocks", changed, "partner = :partner AND number = :number")
    return audit.Wrong(partner=block["partner"], block=block["number"], why="")


def spoil_a_text(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """Bits that flipped have left bytes that are no text."""
    table, column = dice.choice(
        [
            ("facts", "writer"),
            ("facts", "kind"),
            ("facts", "partner"),
            ("offers", "offer"),
            ("offers", "report"),
            ("blocks", "kid"),
            ("blocks", "signature"),
        ]
    )
    row = dice.choice(rows(connection, table))
    where = "hash = :hash" if table == "blocks" else "id = :id"
    spoiled = f"UPDATE {table} SET {column} = CAST(x'6465ff' AS TEXT) WHERE {where}"
    connection.execute(spoiled, row)
    if table == "blocks":
        return audit.Wrong(partner=row["partner"], block=row["number"], why="")
    return audit.Wrong(offer_id=row["offer_id"] if table == "facts" else row["id"], why="")


def delete_a_fact(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """One fact, and nothing else."""
    fact = dice.choice(rows(connection, "facts"))
    connection.execute("DELETE FROM facts WHERE id = :id", fact)
    return audit.Wrong(offer_id=fact["offer_id"], why="")


def delete_an_offer(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """With all its facts: nothing is left that tells of it but the block."""
    offer = dice.choice(rows(connection, "offers"))
    first = "SELECT min(id) FROM facts WHERE offer_id = :id"
    where = f"partner = :partner AND last_fact >= ({first}) ORDER BY number LIMIT 1"
    (number,) = connection.execute(f"SELECT number FROM blocks WHERE {where}", offer).fetchone()
    connection.execute("DELETE FROM facts WHERE offer_id = :id", offer)
    connection.execute("DELETE FROM offers WHERE id = :id", offer)
    return audit.Wrong(partner=offer["partner"], block=number, why="")


def delete_a_block(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """Any but the last of its partner: that one is a cut tail."""
    ended = {row["partner"]: row["number"] for row in rows(connection, "blocks")}
    inner = [row for row in rows(connection, "blocks") if row["number"] < ended[row["partner"]]]
    block = dice.choice(inner)
    connection.execute("DELETE FROM blocks WHERE hash = :hash", block)
    return audit.Wrong(partner=block["partner"], block=block["number"], why="")


def swap(connection: sqlite3.Connection, table: str, pair: list[Row], *fixed: str) -> None:
    """Give each row of *pair* the other's values, all but the *fixed* ones."""
    one, two = pair
    for row in pair:
        connection.execute(f"DELETE FROM {table} WHERE id = :id", row)
    for row, other in ((one, two), (two, one)):
        swapped = other | {name: row[name] for name in fixed}
        marks = ", ".join(f":{name}" for name in swapped)
        names = ", ".join(f'"{name}"' for name in swapped)
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", swapped)


def swap_facts(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """What two facts tell, of whichever offers."""
    pair = dice.sample(rows(connection, "facts"), 2)
    swap(connection, "facts", pair, "id", "offer_id", "ordinal")
    return audit.Wrong(offer_id=pair[0]["offer_id"], why="")


def swap_ids(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """When two facts were written: each is right by itself, the block's order is not."""
    pair = dice.sample([row for row in rows(connection, "facts") if row["partner"] == "ACME"], 2)
    swap(connection, "facts", pair, "id")
    first = min(row["id"] for row in pair)
    held = (row for row in rows(connection, "blocks") if row["partner"] == "ACME")
    number = next(row["number"] for row in held if row["last_fact"] >= first)
    return audit.Wrong(partner="ACME", block=number, why="")


def swap_offers(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """Two rows of the register change places."""
    pair = dice.sample(rows(connection, "offers"), 2)
    swap(connection, "offers", pair, "id")
    return audit.Wrong(offer_id=pair[0]["id"], why="")


def invent_an_offer(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """A decline that nobody made."""
    offer = dice.choice(rows(connection, "offers")) | {"id": 5_000, "offer": "invented"}
    bare = {"facts": 0, "digest": None, "purchased": 0, "order_reference": None}
    marks = ", ".join(f":{name}" for name in offer)
    connection.execute(f"INSERT INTO offers VALUES ({marks})", offer | bare)
    return audit.Wrong(offer_id=5_000, why="")


def rewrite_with_the_key(connection: sqlite3.Connection, dice: Random) -> audit.Wrong:
    """An insider has the audit key: fact and row are right, the block is not."""
    sealed = "SELECT max(last_fact) FROM blocks"
    last = f"SELECT max(f.id) FROM facts f GROUP BY f.offer_id HAVING max(f.id) <= ({sealed})"
    told = connection.execute(f"SELECT * FROM facts WHERE id IN ({last})").fetchall()
    fact = dict(dice.choice(told))
    (offer,) = (row for row in rows(connection, "offers") if row["id"] == fact["offer_id"])
    fact |= {"at": fact["at"] - 1}
    truth = {name: bool(fact[name]) for name in ("purchased", "superseded")}
    fact["digest"] = Ledger(KEY).digest(fact | truth, offer["upstream"], offer["offer"])
    put(connection, "facts", fact, "id = :id")
    put(connection, "offers", offer | {"digest": fact["digest"]}, "id = :id")
    held = (row for row in rows(connection, "blocks") if row["partner"] == fact["partner"])
    number = next(row["number"] for row in held if row["last_fact"] >= fact["id"])
    return audit.Wrong(partner=fact["partner"], block=number, why="")


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        change_a_fact,
        change_an_offer,
        change_a_block,
        spoil_a_text,
        delete_a_fact,
        delete_an_offer,
        delete_a_block,
        swap_facts,
        swap_ids,
        swap_offers,
        invent_an_offer,
        rewrite_with_the_key,
    )
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_named(
    copy: sqlite3.Connection, tmp_path: Path, keys: dict[str, Any], change: str, seed: int
) -> None:
    """The row that was changed, or the block that held what is gone."""
    expected = CHANGES[change](copy, Random(f"{change}-{seed}"))
    copy.close()

    found = named(tmp_path / "copy.db", keys)
    assert is_named(expected, found), (expected, found)


def test_an_untouched_copy_is_right(
    copy: sqlite3.Connection, tmp_path: Path, keys: dict[str, Any]
) -> None:
    """Nothing is named, and there is something to name."""
    assert len(rows(copy, "facts")) > 60
    assert len(rows(copy, "blocks")) > 8
    assert sum(row["number"] > 2 for row in rows(copy, "blocks")) > 2
    copy.close()

    assert named(tmp_path / "copy.db", keys) == []
