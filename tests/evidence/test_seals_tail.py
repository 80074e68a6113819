"""What is cut off at the end: only what others have sealed, or a seal kept elsewhere, shows it."""

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proxy import seals
from proxy.database import Database
from proxy.receipts import Signer, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Seals
from tests.core.conftest import Clock
from tests.evidence import test_seals_tampering as stage
from tests.evidence.test_seals_tampering import PARTNERS, STATE, named, put, rows

folder, whole, keys, copy = stage.folder, stage.whole, stage.keys, stage.copy


def cut(connection: sqlite3.Connection, after: int) -> None:
    """Cut everything off that is newer than the fact *after*, without a trace."""
    connection.execute("DELETE FROM facts WHERE id > ?", [after])
    connection.execute("DELETE FROM blocks WHERE last_fact > ?", [after])
    connection.execute("DELETE FROM offers WHERE id NOT IN (SELECT offer_id FROM facts)")
    for offer in rows(connection, "offers"):
        query = "SELECT * FROM facts WHERE offer_id = :id ORDER BY ordinal"
        facts = [dict(row) for row in connection.execute(query, offer)]
        told = {name: facts[-1][name] for name in STATE} | {"facts": len(facts)}
        put(connection, "offers", offer | told, "id = :id")


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_tail_is_found_with_a_kept_seal_only(
    copy: sqlite3.Connection, tmp_path: Path, keys: dict[str, Any], seed: int
) -> None:
    """The file alone looks like one that was never written to again."""
    path = tmp_path / "copy.db"
    with Database(f"sqlite:///{path}", Clock()).snapshot() as connection:
        kept = [block for one in PARTNERS if (block := seals.newest(connection, one))]
    rounds = sorted({row["sealed_at"] for row in rows(copy, "blocks")})
    end = "SELECT max(last_fact) FROM blocks WHERE sealed_at < ?"
    (after,) = copy.execute(end, [Random(seed).choice(rounds[1:])]).fetchone()
    cut(copy, after)
    copy.close()

    assert named(path, keys) == []
    found = named(path, keys, kept)
    assert {(one.partner, one.block) for one in found} == {
        (block.partner, block.number) for block in kept
    }
    assert {one.why for one in found} == {"it is gone: the tail was cut"}


def test_one_partners_cut_tail_is_named_without_a_seal(
    copy: sqlite3.Connection, tmp_path: Path, keys: dict[str, Any]
) -> None:
    """What others have sealed since shows that its facts should have been."""
    newest = {row["partner"]: row for row in rows(copy, "blocks")}
    block = min(newest.values(), key=lambda row: row["last_fact"])
    copy.execute("DELETE FROM blocks WHERE hash = :hash", block)
    copy.close()

    found = named(tmp_path / "copy.db", keys)
    assert {one.why for one in found} == {"it lies in no block, though later facts are sealed"}
    assert len(found) == block["count"]


def test_a_block_resigned_by_an_insider_is_found_with_a_kept_seal(
    copy: sqlite3.Connection, tmp_path: Path, keys: dict[str, Any], folder: Path
) -> None:
    """Who has both keys makes a record that fits; the seal elsewhere does not."""
    path = tmp_path / "copy.db"
    with Database(f"sqlite:///{path}", Clock()).snapshot() as connection:
        kept = [block for one in PARTNERS if (block := seals.find(connection, one, 1))]
    copy.execute("DELETE FROM blocks")
    copy.close()
    key, _ = load_signing_key(folder / "signing.pem")
    database = Database(f"sqlite:///{path}", Clock())
    database.start()
    Sealer(database, Seals(Signer(key, "test").kid, key.sign), most=15).seal()
    database.stop()

    assert named(path, keys) == []
    assert {one.why for one in named(path, keys, kept)} == {"it is not what the kept seal says"}
