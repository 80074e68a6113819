"""Personal data: readable for its row and its week only, gone with the delivery."""

from pathlib import Path

import pytest

from proxy.choices import Report
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.intake import Intake
from proxy.leases import Lane, Wanted
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.privacy import CustomerKeys
from proxy.upstreams import APIS
from tests.core.conftest import AT_ONCE, DAY, DELIVERED, START, a_message

WEEK = 7 * DAY
EMAIL = {"email": "canary@customer.example"}


@pytest.fixture
def keys(tmp_path: Path) -> CustomerKeys:
    """Weekly keys in a folder of the test's."""
    return CustomerKeys(tmp_path / "keys")


def test_what_is_sealed_can_be_opened_for_its_row(keys: CustomerKeys) -> None:
    """And only for it: a ciphertext moved to another row opens to nothing."""
    sealed, name = keys.seal(EMAIL, "row-1", START)

    assert keys.open(sealed, name, "row-1") == EMAIL
    assert keys.open(sealed, name, "row-2") == {}


def test_a_destroyed_key_opens_nothing(keys: CustomerKeys) -> None:
    """That is the erasure, in backups too."""
    sealed, name = keys.seal(EMAIL, "row-1", START)
    kept = keys.destroy_old(START + DAY)
    destroyed = keys.destroy_old(START + 3 * WEEK)

    assert (kept, destroyed) == ([], [name])
    assert keys.open(sealed, name, "row-1") == {}


def test_a_file_that_is_no_key_is_left_alone(keys: CustomerKeys, tmp_path: Path) -> None:
    """Only what is ours is destroyed."""
    (tmp_path / "keys").mkdir()
    other = tmp_path / "keys" / "notes.key"
    other.write_text("mine")

    assert keys.destroy_old(START + 100 * WEEK) == []
    assert other.exists()


def test_a_world_readable_key_is_refused(tmp_path: Path, keys: CustomerKeys) -> None:
    """A key that everyone can read protects nobody: nothing more is sealed with it, or read."""
    sealed, name = keys.seal(EMAIL, "row-1", START)
    path = tmp_path / "keys" / f"{name}.key"
    path.chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        CustomerKeys(tmp_path / "keys").seal(EMAIL, "row-1", START)
    assert CustomerKeys(tmp_path / "keys").open(sealed, name, "row-1") == {}


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_damaged_key_opens_nothing_and_stops_nothing(
    tmp_path: Path, keys: CustomerKeys, content: bytes
) -> None:
    """The decline is reported without the personal data."""
    sealed, name = keys.seal(EMAIL, "row-1", START)
    (tmp_path / "keys" / f"{name}.key").write_bytes(content)

    assert CustomerKeys(tmp_path / "keys").open(sealed, name, "row-1") == {}


def test_the_customer_travels_encrypted_and_goes_with_the_delivery(
    database: Database, keys: CustomerKeys
) -> None:
    """Into the body of the request, the same on every attempt, and out of the row after it."""
    ledger = Ledger(b"audit key of a test, 32 bytes at least")
    intake = Intake(database, ledger, lambda *_: AT_ONCE, customers=keys)
    outbox = Outbox(database, ledger, customers=keys)
    lane = Lane(bucket="b", rate=0, apis={("ACME", "now"): APIS["xone-offers"]})
    intake.record(a_message(customer=EMAIL))
    stored = intake.find("ACME", "now", "offer-1")
    wanted = Wanted(lanes=[lane], free=1, lease_ms=30_000)
    (delivery,) = outbox.claim(wanted).deliveries
    outbox.finish(delivery, "b", DELIVERED)
    after = intake.find("ACME", "now", "offer-1")

    assert delivery.body == '{"customer":{"email":"canary@customer.example"}}'
    assert stored is not None
    assert b"canary" not in (stored.customer or b"")
    assert after is not None
    assert (after.report, after.customer, after.body) == (Report.DELIVERED, None, None)
