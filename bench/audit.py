"""How fast `audit verify` is: beside a loop that reads the same rows and does nothing else."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from bench.deployed import folder
from bench.progress import say
from bench.row import Row, measured
from proxy import audit, migrate
from proxy.choices import Choice, Message, Source
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_signing_key
from proxy.register import Policy
from proxy.sealer import Sealer
from proxy.seals import Seals

FACTS = 210_000
TOLD = (Choice.UNDECIDED, Choice.DECLINED, Choice.ACCEPTED)  # of each offer
ROUNDS = 3

_BATCH = 10_000
_KEY = bytes(range(32))
_POLICY = Policy(on_purchase=False, settle_ms=0, hold_ms=1, implied_ms=None)
_TABLES = ("offers", "facts", "blocks")


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table."""
    facts = FACTS // 100 if quick else FACTS
    with folder() as place:
        say(f"audit: {facts} facts")
        database, keys = _fill(place, facts)
        ours, bares = [], []
        for number in range(ROUNDS):
            say(f"audit: round {number + 1} of {ROUNDS}")
            bares.append(_read(database))
            ours.append(_verify(database, keys, facts))
        database.dispose()
    ratios = [bare / our for bare, our in zip(bares, ours, strict=True)]
    yield measured("verified, of a reading loop", ratios)
    yield measured("facts verified", [facts / our for our in ours], "/s", digits=0, at_least=50_000)


def _fill(place: Path, facts: int) -> tuple[Database, dict[str, Any]]:
    """Return a register of sealed facts, and the keys that its blocks are signed with."""
    database = Database(f"sqlite:///{place / 'optout.db'}", wall)
    migrate.upgrade(database)
    database.start()
    intake = Intake(database, Ledger(_KEY), lambda *_: _POLICY)
    offers = facts // len(TOLD)
    for first in range(0, facts, _BATCH):
        last = min(first + _BATCH, facts)
        intake.record_all([_message(number, offers) for number in range(first, last)])
    key, _ = load_signing_key(place / "signing.pem")
    signer = Signer(key, "bench")
    assert Sealer(database, Seals(signer.kid, key.sign)).seal() == facts
    database.stop()
    return database, signer.public_keys()


def _message(number: int, offers: int) -> Message:
    return Message(
        partner="ACME",
        upstream="tickets",
        offer=f"offer-{number % offers}",
        choice=TOLD[number // offers],
        id=str(UUID(int=number, version=4)),
        seq=1_800_000_000_000 + number,
        at=1_800_000_000_000 + number,
        writer="server",
        source=Source.SERVER,
    )


def _verify(database: Database, keys: dict[str, Any], facts: int) -> float:
    """Return the seconds that the command's own functions take."""
    tally = audit.Tally()
    begun = time.perf_counter()
    with database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(_KEY))) == []
        assert list(audit.verify_blocks(connection, keys, tally)) == []
    assert tally.sealed == facts
    return time.perf_counter() - begun


def _read(database: Database) -> float:
    """Return the seconds that reading takes: every column of every row, page by page."""
    begun = time.perf_counter()
    with database.snapshot() as connection:
        for table in _TABLES:
            with closing(connection.execute(select(text("*")).select_from(text(table)))) as found:
                while found.fetchmany(_BATCH):
                    pass
    return time.perf_counter() - begun
