"""Receipts: signed, the same for a replay, verifiable without us."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.choices import Choice, Recorded, Report
from proxy.errors import ConfigurationError
from proxy.receipts import Signer, load_audit_key, load_signing_key, verify

RECORDED = Recorded(
    id="7d4f4a52-52a1-4d0e-9f0e-000000000001",
    partner="ACME",
    upstream="tickets",
    offer="offer-1",
    said=Choice.DECLINED,
    seq=1,
    purchased=False,
    recorded_at=2,
    choice=Choice.DECLINED,
    report=Report.DUE,
    replayed=False,
    superseded=False,
    conflict=False,
)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """A signer with a key made for the test."""
    return Signer(load_signing_key(tmp_path / "signing.pem")[0], "optout-proxy:test")


def test_a_receipt_verifies_with_the_published_key(signer: Signer) -> None:
    """It says what was recorded, when, and for which deployment."""
    claims = verify(signer.sign(RECORDED), signer.public_keys())

    assert (claims["choice"], claims["offer"], claims["at"]) == ("declined", "offer-1", 2)
    assert claims["aud"] == "optout-proxy:test"


def test_a_changed_receipt_does_not_verify(signer: Signer) -> None:
    """Not one claim can be changed."""
    payload, signature = signer.sign(RECORDED).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = json.dumps(claims | {"choice": "accepted"}).encode()
    forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()

    with pytest.raises(ValueError, match="signature is wrong"):
        verify(f"{forged}.{signature}", signer.public_keys())


def test_another_deployments_key_does_not_verify(signer: Signer, tmp_path: Path) -> None:
    """Each deployment has a key of its own."""
    other = Signer(load_signing_key(tmp_path / "other.pem")[0], "optout-proxy:test")

    with pytest.raises(ValueError, match="no published key"):
        verify(signer.sign(RECORDED), other.public_keys())


@pytest.mark.parametrize("text", ["", "x", "e30.e30", "W10.", "%%.%%"])
def test_junk_is_not_a_receipt(signer: Signer, text: str) -> None:
    """One kind of error for whatever comes in."""
    with pytest.raises(ValueError):  # noqa: PT011  # any message will do
        verify(text, signer.public_keys())


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    """Mode 0600; the second start finds the first one's."""
    first, made = load_audit_key(tmp_path / "audit")
    again, made_again = load_audit_key(tmp_path / "audit")

    assert (made, made_again, first == again) == (True, False, True)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


def test_a_world_readable_key_is_refused(tmp_path: Path) -> None:
    """The sentence says how to mend it."""
    load_audit_key(tmp_path / "audit")
    (tmp_path / "audit").chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_audit_key(tmp_path / "audit")


def test_a_short_audit_key_is_refused(tmp_path: Path) -> None:
    """32 bytes, or the evidence is worth little."""
    (tmp_path / "audit").write_text("c2hvcnQ\n")
    (tmp_path / "audit").chmod(0o600)

    with pytest.raises(ConfigurationError, match="32 random bytes"):
        load_audit_key(tmp_path / "audit")


@pytest.mark.parametrize("load", [load_signing_key, load_audit_key])
def test_processes_that_start_together_share_one_key(
    tmp_path: Path, load: Callable[[Path], tuple[object, bool]]
) -> None:
    """The first one's; the others read it."""
    path = tmp_path / "secrets" / "key"
    with ThreadPoolExecutor(16) as threads:
        made = [was_made for _, was_made in threads.map(load, [path] * 64)]

    assert made.count(True) == 1
