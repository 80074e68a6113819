"""`audit seal` and `audit verify` as they are typed, beside a file that nobody serves."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy.app import Service
from proxy.cli import main
from proxy.cli.options import configuration_of
from tests.core.conftest import a_message

Type = Callable[..., Result]
TRIGGERS = ("facts_no_update", "facts_no_delete", "blocks_no_update", "blocks_no_delete")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configuration as `init` writes it, with three offers on record, sealed as it stopped."""
    result = CliRunner().invoke(main, ["init", str(tmp_path), "--partner", "ACME"])
    assert result.exit_code == 0, result.output
    say(tmp_path, "first", "second", "third")
    return tmp_path


@pytest.fixture
def typed(home: Path) -> Type:
    """Type a command in that folder."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--config", str(home / "optout.toml")])

    return run


def say(home: Path, *offers: str) -> None:
    """Serve for as long as it takes to record a decline of each of *offers*."""
    service = Service(configuration_of(home / "optout.toml"))
    service.start()
    try:
        for offer in offers:
            service.intake.record(a_message(offer, upstream="tickets"))
    finally:
        service.stop()


def tamper(home: Path, *statements: str) -> None:
    """Do what only somebody with the file in hand can."""
    with closing(sqlite3.connect(home / "optout.db", isolation_level=None)) as connection:
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.execute(statement)


def test_what_is_sealed_is_said(typed: Type) -> None:
    """And that without a seal from elsewhere nobody can know of a cut tail."""
    result = typed("audit", "verify")

    assert result.exit_code == 0, result.output
    assert "3 offers and all their facts are as they were written." in result.stdout
    assert "3 facts are sealed, in 1 blocks." in result.stdout
    assert "Without --seal it can not be excluded that the end" in result.stdout


def test_a_kept_seal_vouches(typed: Type, home: Path) -> None:
    """For what there was when it was written."""
    seal = str(home / "seal.json")
    assert typed("audit", "seal", "--out", seal).exit_code == 0
    (kept,) = json.loads(Path(seal).read_text())["seals"]
    say(home, "fourth")

    result = typed("audit", "verify", "--seal", seal)
    assert (kept["partner"], kept["number"], kept["count"]) == ("ACME", 1, 3)
    assert {"hash", "kid", "signature"} < kept.keys()
    assert result.exit_code == 0, result.output
    assert "The kept seal vouches for 3 facts of ACME" in result.stdout
    assert "can not be excluded" not in result.stdout


def test_a_cut_tail_is_named(typed: Type, home: Path) -> None:
    """With the seal; the file alone looks whole."""
    seal = str(home / "seal.json")
    typed("audit", "seal", "--out", seal)
    tables = ("facts", "offers", "blocks")
    tamper(home, *(f"DELETE FROM {table}" for table in tables))
    assert typed("audit", "verify").exit_code == 0

    result = typed("audit", "verify", "--seal", seal)
    assert result.exit_code == 1
    assert "block 1 of ACME: it is gone: the tail was cut" in result.stdout


def test_a_block_is_named_as_json(typed: Type, home: Path) -> None:
    """One object a line, and nothing else on standard output."""
    tamper(home, "UPDATE blocks SET sealed_at = 0")

    result = typed("audit", "verify", "--json")
    (wrong,) = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert (wrong["partner"], wrong["block"], wrong["offer_id"]) == ("ACME", 1, None)
    assert wrong["why"] == "its hash is wrong; no key of ours has signed it"


def test_how_many_more_is_said(typed: Type, home: Path) -> None:
    """The first of them by name, in order."""
    say(home, *(f"more-{n}" for n in range(30)))
    tamper(home, "UPDATE facts SET at = at + 1")

    result = typed("audit", "verify")
    assert result.stdout.startswith("offer 1, fact 1: the digest is wrong\n")
    assert "... and 13 more." in result.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[]", "is no JSON object"),
        ("{", "is no JSON object"),
        ('{"seals": [{"partner": "ACME"}]}', "holds no seals"),
        ('{"seals": 5}', "holds no seals"),
    ],
)
def test_a_file_without_seals_is_refused(
    typed: Type, home: Path, content: str, sentence: str
) -> None:
    """It would prove nothing."""
    path = home / "seal.json"
    path.write_text(content)

    result = typed("audit", "verify", "--seal", str(path))
    assert (result.exit_code, sentence in result.stderr) == (2, True)


def test_a_seal_that_was_changed_is_refused(typed: Type, home: Path) -> None:
    """Its signature tells."""
    path = home / "seal.json"
    typed("audit", "seal", "--out", str(path))
    path.write_text(path.read_text().replace('"count": 3', '"count": 2'))

    result = typed("audit", "verify", "--seal", str(path))
    assert (result.exit_code, "was changed" in result.stderr) == (2, True)


def test_older_keys_are_named(typed: Type, home: Path) -> None:
    """A signing key that was replaced has sealed what it has sealed."""
    key = home / "secrets" / "signing.pem"
    service = Service(configuration_of(home / "optout.toml"))
    published = home / "choice-keys.json"
    published.write_text(json.dumps(service.signer.public_keys()))
    key.rename(home / "old.pem")
    say(home, "fourth")

    assert typed("audit", "verify").exit_code == 1
    assert typed("audit", "verify", "--keys", str(published)).exit_code == 0


def test_a_signing_key_that_is_gone_is_not_made_anew(typed: Type, home: Path) -> None:
    """It would make every seal look forged."""
    key = home / "secrets" / "signing.pem"
    key.unlink()

    result = typed("audit", "verify")
    assert (result.exit_code, "is gone; restore it" in result.stderr) == (2, True)
    assert not key.exists()


def test_nothing_is_written_over(typed: Type, home: Path) -> None:
    """A seal that is there already stays."""
    path = home / "seal.json"
    path.write_text("kept")

    assert typed("audit", "seal", "--out", str(path)).exit_code == 2
    assert path.read_text() == "kept"


def test_without_a_block_there_is_no_seal(typed: Type, home: Path) -> None:
    """It says so, instead of writing an empty file."""
    tamper(home, "DELETE FROM blocks")

    result = typed("audit", "seal")
    assert (result.exit_code, "Nothing is sealed yet" in result.stderr) == (2, True)
