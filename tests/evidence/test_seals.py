"""Seals: what was written is closed into blocks, in order, once, and signed."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from proxy import audit, seals
from proxy.database import Database
from proxy.figures import measure
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Block, Seals
from proxy.web.ops import Figures
from tests.core import conftest as core
from tests.core.conftest import DELIVERED, Clock, Register, a_message

KEY = b"audit key of a test, 32 bytes at least"
MINUTE = 60_000

postgres, url, clock, database = core.postgres, core.url, core.clock, core.database
make_register, register = core.make_register, core.register

Make = Callable[..., Sealer]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """What publishes the key that seals."""
    return Signer(load_signing_key(tmp_path / "signing.pem")[0], "optout-proxy:test")


@pytest.fixture
def make_sealer(database: Database, signer: Signer, tmp_path: Path) -> Make:
    """Build sealers of one key."""
    key, _ = load_signing_key(tmp_path / "signing.pem")
    return lambda **options: Sealer(database, Seals(signer.kid, key.sign), **options)


@pytest.fixture
def sealer(make_sealer: Make) -> Sealer:
    """One sealer that has not started."""
    return make_sealer()


def wrong(register: Register, signer: Signer) -> list[audit.Wrong]:
    """Return what the whole audit names."""
    with register.database.snapshot() as connection:
        found = list(audit.verify(connection, Ledger(KEY)))
        return found + list(audit.verify_blocks(connection, signer.public_keys(), audit.Tally()))


def tally(register: Register, signer: Signer) -> audit.Tally:
    """Return how much is sealed, in blocks that are right."""
    counted = audit.Tally()
    with register.database.snapshot() as connection:
        assert list(audit.verify_blocks(connection, signer.public_keys(), counted)) == []
    return counted


def chain(database: Database, partner: str = "ACME") -> list[Block]:
    """Return the blocks of a partner."""
    with database.read() as connection:
        return seals.after(connection, partner, 0, 1_000)


def test_blocks_follow_from_each_other(
    register: Register, sealer: Sealer, signer: Signer, clock: Clock
) -> None:
    """Each names the one before, and together they hold every fact once."""
    register.decline("first")
    register.attempt(DELIVERED)
    assert sealer.seal() == 3
    clock.pass_ms(MINUTE)
    register.accept("second")
    assert sealer.seal() == 1

    first, second = chain(register.database)
    assert (first.number, first.count, first.total, first.previous) == (1, 3, 3, None)
    assert (second.number, second.count, second.total) == (2, 1, 4)
    assert second.previous == first.hash
    assert second.sealed_at == clock.now
    assert wrong(register, signer) == []
    assert tally(register, signer) == audit.Tally(blocks=2, sealed=4, newer=0)


def test_without_facts_there_is_no_block(register: Register, sealer: Sealer) -> None:
    """An idle proxy writes nothing."""
    assert sealer.seal() == 0
    register.decline()
    assert [sealer.seal(), sealer.seal()] == [1, 0]
    assert len(chain(register.database)) == 1


def test_each_partner_has_a_chain_of_its_own(
    register: Register, sealer: Sealer, signer: Signer
) -> None:
    """Who says nothing gets no block, and its chain goes on where it was."""
    register.decline("one")
    register.decline("two", partner="OTHER")
    sealer.seal()
    register.decline("three", partner="OTHER")
    sealer.seal()

    assert [block.number for block in chain(register.database)] == [1]
    assert [block.number for block in chain(register.database, "OTHER")] == [1, 2]
    assert wrong(register, signer) == []


def test_a_block_is_bounded(register: Register, make_sealer: Make, signer: Signer) -> None:
    """A backlog is closed in as many transactions as it needs."""
    register.intake.record_all([a_message(f"offer-{n}") for n in range(10)])

    assert make_sealer(most=4).seal() == 10
    assert [block.count for block in chain(register.database)] == [4, 4, 2]
    assert wrong(register, signer) == []


def test_what_is_newer_is_counted(register: Register, sealer: Sealer, signer: Signer) -> None:
    """It can be told from what is sealed."""
    register.decline("one")
    sealer.seal()
    register.decline("two")

    assert tally(register, signer) == audit.Tally(blocks=1, sealed=1, newer=1)


def test_another_key_is_refused(register: Register, sealer: Sealer, tmp_path: Path) -> None:
    """Whoever has the database and the audit key still can not close a block."""
    register.decline()
    sealer.seal()
    other = Signer(load_signing_key(tmp_path / "other.pem")[0], "optout-proxy:test")

    (found,) = wrong(register, other)
    assert (found.partner, found.block, found.why) == ("ACME", 1, "no key of ours has signed it")


def test_a_block_signed_with_another_key_is_refused(
    register: Register, sealer: Sealer, signer: Signer, tmp_path: Path
) -> None:
    """Also when it says that it was ours."""
    register.decline()
    forger, _ = load_signing_key(tmp_path / "forger.pem")
    forged = Sealer(register.database, Seals(signer.kid, forger.sign))
    forged.seal()
    register.decline("second")
    sealer.seal()

    assert [(found.block, found.why) for found in wrong(register, signer)] == [
        (1, "no key of ours has signed it")
    ]


def test_two_sealers_close_nothing_twice(
    register: Register, make_sealer: Make, signer: Signer
) -> None:
    """What one has planned is void when the other was faster, or is at it."""
    register.intake.record_all([a_message(f"offer-{n}") for n in range(200)])
    sealed: list[int] = []
    sealers = [make_sealer(most=5) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda one=one: sealed.append(one.seal())) for one in sealers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sealed.append(sealers[0].seal())

    assert sum(sealed) == 200
    assert wrong(register, signer) == []


def test_a_stale_plan_writes_nothing(register: Register, sealer: Sealer, signer: Signer) -> None:
    """It was made before another block was closed."""
    register.decline()
    key = Seals(signer.kid, lambda _payload: b"")
    with register.database.read() as connection:
        stale = key.plan(connection, until=10_000, now=core.START)
    sealer.seal()

    assert register.database.write(seals.close, stale) is False
    assert wrong(register, signer) == []


@pytest.mark.parametrize("table", ["blocks", "removals"])
@pytest.mark.parametrize("change", ["UPDATE {} SET count = 0", "DELETE FROM {}"])
def test_blocks_are_append_only(
    register: Register, sealer: Sealer, table: str, change: str
) -> None:
    """The database itself refuses a change."""
    register.decline()
    sealer.seal()
    removed = (
        "INSERT INTO removals (partner, number, hash, count, removed_at, reason, kid, signature)"
        " SELECT partner, number, hash, count, 1, 'retention', kid, signature FROM blocks"
    )
    with register.database.begin() as connection:
        connection.execute(text(removed))

    with (
        pytest.raises(DBAPIError, match=f"{table} are append-only"),
        register.database.begin() as connection,
    ):
        connection.execute(text(change.format(table)))


def test_facts_are_append_only_though_sealed(register: Register, sealer: Sealer) -> None:
    """A seal alone does not open them."""
    register.decline()
    sealer.seal()

    with (
        pytest.raises(DBAPIError, match="facts are append-only"),
        register.database.begin() as connection,
    ):
        connection.execute(text("DELETE FROM facts"))


# -- kept elsewhere ---------------------------------------------------------------------------


def test_a_kept_seal_is_read_back(register: Register, sealer: Sealer, signer: Signer) -> None:
    """As JSON, and signed like a receipt."""
    register.decline()
    sealer.seal()
    (block,) = chain(register.database)

    kept = seals.read_json(block.as_json())
    assert kept == block
    assert kept.is_signed(signer.public_keys())
    with register.database.read() as connection:
        assert list(audit.verify_kept(connection, [kept])) == []


def test_the_label_of_a_seal_is_its_partner() -> None:
    """All other figures are told by the report's word."""
    registry = CollectorRegistry()
    registry.register(Figures(lambda: {"seal_number.ACME": 7.0, "deliveries.due": 2.0}))

    assert registry.get_sample_value("proxy_seal_number", {"partner": "ACME"}) == 7.0
    assert registry.get_sample_value("proxy_deliveries", {"report": "due"}) == 2.0


@pytest.mark.parametrize("changed", [{"count": "1"}, {"hash": 7}, {"more": 1}, {"digest": "x"}])
def test_what_is_no_seal_is_refused(
    register: Register, sealer: Sealer, signer: Signer, changed: dict[str, object]
) -> None:
    """Either it can not be read, or its signature does not fit."""
    register.decline()
    sealer.seal()
    (block,) = chain(register.database)
    try:
        kept = seals.read_json(block.as_json() | changed)
    except ValueError:
        return
    assert not kept.is_signed(signer.public_keys())


def test_the_newest_seal_is_in_the_figures(
    register: Register, sealer: Sealer, clock: Clock
) -> None:
    """With 48 bits of its hash, so that who stores the figures keeps a trace of it."""
    register.decline("one")
    clock.pass_ms(5_000)
    assert measure(register.database)["oldest_unsealed_seconds"] == 5.0
    sealer.seal()
    (block,) = chain(register.database)

    figures = measure(register.database)
    assert figures["seal_number.ACME"] == 1.0
    assert figures["seal_timestamp_seconds.ACME"] == clock.now / 1000
    assert int(figures["seal_hash.ACME"]).to_bytes(6, "big") == block.hash[:6]
    assert figures["oldest_unsealed_seconds"] == 0.0
