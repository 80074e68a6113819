"""`init`: a configuration that works, and nothing written over."""

import json
from pathlib import Path

import pytest

from proxy.cli.files import write_secret
from proxy.cli.init import command as init
from proxy.cli.options import Refusal
from proxy.secret import PLACEHOLDER
from proxy.settings import load
from proxy.tokens import Keyring
from tests.settings.shell import mode, run

ORIGIN = "https://shop.example"


def test_init_writes_a_configuration_that_works(tmp_path: Path) -> None:
    """It loads, its secrets are good, and it mints a token that verifies."""
    assert run(init, tmp_path / "new").exit_code == 0

    settings = load(tmp_path / "new" / "optout.toml", {})
    ring = Keyring.from_settings(settings)
    minted = ring.mint("ACME", offer="o", origin=ORIGIN, now=1_767_225_600)
    assert ring.verify(minted, 1_767_225_600).partner == "ACME"


def test_init_keeps_its_files_to_one_user(tmp_path: Path) -> None:
    """Files 0600, the folder of secrets 0700."""
    run(init, tmp_path / "new")
    folder = tmp_path / "new"

    assert mode(folder / "optout.toml") == 0o600
    assert mode(folder / "secrets") == 0o700
    assert {mode(file) for file in (folder / "secrets").iterdir()} == {0o600}


def test_init_shows_the_server_key_and_keeps_its_hash(tmp_path: Path) -> None:
    """The key itself is in no file."""
    said = json.loads(run(init, tmp_path, "--json").stdout)
    text = (tmp_path / "optout.toml").read_text("utf-8")

    assert said["server_key"].startswith("osk_live_")
    assert said["server_key"] not in text
    assert load(tmp_path / "optout.toml", {}).partners["ACME"].server_key_hashes


def test_init_says_what_only_the_insurer_knows(tmp_path: Path) -> None:
    """Placeholders are marked as such, in the words that `check` looks for."""
    run(init, tmp_path)

    upstream = load(tmp_path / "optout.toml", {}).partners["ACME"].upstream(None)
    assert upstream.hmac is not None
    assert upstream.hmac.api_secret.read().startswith(PLACEHOLDER)
    assert upstream.partner_code == PLACEHOLDER


def test_init_for_a_sandbox(tmp_path: Path) -> None:
    """The credentials are made up, and the command that starts the sandbox has the same."""
    result = run(init, tmp_path, "--sandbox", "http://127.0.0.1:9000")

    upstream = load(tmp_path / "optout.toml", {}).partners["ACME"].upstream(None)
    assert upstream.base_url == "http://127.0.0.1:9000/x"
    assert upstream.hmac is not None
    assert f"--port 9000 --api-key {upstream.hmac.api_key.read()}" in result.stdout
    assert f"SANDBOX_API_SECRET={upstream.hmac.api_secret.read()} " in result.stdout


def test_init_takes_names(tmp_path: Path) -> None:
    """The partner and its origin can be given."""
    run(init, tmp_path, "--partner", "my-shop", "--origin", "http://localhost:8000")

    partner = load(tmp_path / "optout.toml", {}).partners["my-shop"]
    assert partner.origins == ("http://localhost:8000",)
    assert partner.signing_keys[0].kid.startswith("my-shop-")


@pytest.mark.parametrize("name", ["optout.toml", "secrets/xcover-api-key"])
def test_init_never_overwrites(tmp_path: Path, name: str) -> None:
    """One file in the way, and nothing at all is written."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / name).write_text("mine", "utf-8")

    result = run(init, tmp_path)

    assert result.exit_code == 2
    assert result.stderr == (
        f"{tmp_path / name} exists already; name another folder: `optout-proxy init DIR`.\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_init_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A file in the place of the folder is told in one sentence."""
    (tmp_path / "file").write_text("", "utf-8")

    result = run(init, tmp_path / "file")

    assert result.exit_code == 2
    assert "can not be made (not a directory)" in result.stderr


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    """Not even if the file appeared after the look."""
    write_secret(tmp_path / "secret", "old")

    with pytest.raises(Refusal, match="exists already; nothing is ever written over it"):
        write_secret(tmp_path / "secret", "new")
    with pytest.raises(Refusal, match=r"can not be written \(no such file or directory\)"):
        write_secret(tmp_path / "none" / "secret", "new")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--partner", "a b"),
        ("--origin", "https://shop.example/"),
        ("--sandbox", "http://x.example"),
    ],
)
def test_init_refuses_what_would_not_load(tmp_path: Path, option: str, value: str) -> None:
    """Options are held to the rules of the settings."""
    result = run(init, tmp_path, option, value)

    assert result.exit_code == 2
    assert option in result.stderr
    assert list(tmp_path.iterdir()) == []
