"""`receipt verify`: a receipt is worth what its signature is, and needs nothing of ours."""

import json
from pathlib import Path

import pytest

from proxy.choices import Choice, Recorded, Report
from proxy.cli import main
from proxy.receipts import Signer, load_signing_key
from tests.evidence.conftest import publish
from tests.settings.shell import run

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
    """A deployment's signer."""
    return Signer(load_signing_key(tmp_path / "signing.pem")[0], "optout-proxy:test")


@pytest.fixture
def keys(tmp_path: Path, signer: Signer) -> Path:
    """What it publishes."""
    return publish(tmp_path / "keys.json", signer)


def test_a_receipt_says_what_was_recorded(signer: Signer, keys: Path) -> None:
    """As an argument, or on standard input."""
    receipt = signer.sign(RECORDED)

    told = run(main, "receipt", "verify", receipt, "--keys", keys)
    piped = run(main, "receipt", "verify", "--keys", keys, "--json", input=f"{receipt}\n")

    assert (told.exit_code, piped.exit_code) == (0, 0)
    assert "The receipt is genuine." in told.stdout
    assert json.loads(piped.stdout)["choice"] == "declined"


def test_a_receipt_of_another_deployment_is_refused(keys: Path, tmp_path: Path) -> None:
    """Its key is not among the published ones."""
    other = Signer(load_signing_key(tmp_path / "other.pem")[0], "optout-proxy:test")

    result = run(main, "receipt", "verify", other.sign(RECORDED), "--keys", keys)

    assert result.exit_code == 1
    assert result.stderr == "No published key has signed this receipt.\n"


@pytest.mark.parametrize("text", ["", "nonsense", "a.b", ".", "e30.e30", "é.é", "W10.W10"])
def test_what_is_no_receipt_is_refused(keys: Path, text: str) -> None:
    """One sentence, and never what a decoder says."""
    result = run(main, "receipt", "verify", "--keys", keys, input=text)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "receipt" in result.stderr


def test_a_cut_receipt_is_refused(signer: Signer, keys: Path) -> None:
    """A signature that is too short, and one that is gone."""
    receipt = signer.sign(RECORDED)

    for cut in (receipt[:-4], receipt.partition(".")[0]):
        assert run(main, "receipt", "verify", cut, "--keys", keys).exit_code == 1


def test_keys_are_needed(signer: Signer, tmp_path: Path) -> None:
    """Without a file of keys, or with one that is none, the command is used wrongly."""
    (tmp_path / "none.json").write_text("{}", "utf-8")
    receipt = signer.sign(RECORDED)

    assert run(main, "receipt", "verify", receipt).exit_code == 2
    none = run(main, "receipt", "verify", receipt, "--keys", tmp_path / "none.json")
    assert none.exit_code == 2
