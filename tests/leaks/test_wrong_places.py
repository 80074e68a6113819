"""A secret that was written to a wrong place of the settings is refused without being shown."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ConfigurationError
from proxy.settings import load
from proxy.settings_sources import PREFIX
from tests.leaks import commands
from tests.leaks.guarded import Guarded
from tests.leaks.vault import Vault, filled

# Names that everybody may know, told to callers and insurers; and of files that are made.
PUBLIC = ("kid", "audience", "partner_code", "audit_key_file", "signing_key_file", "customer_keys")
SHAPES = ("signing", "redis password", "webhook secret", "server key")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A deployment of which nothing runs."""
    guarded = Guarded(tmp_path, filled())
    yield guarded
    guarded.end()


def check(guarded: Guarded) -> tuple[int, str]:
    """Return what `check` says of the settings as they lie there."""
    return commands.said_by("check", {"config": guarded.config})


def assert_hidden(vault: Vault, said: str, what: str) -> None:
    """Hold *said* to have no secret in it."""
    found = {(hit.secret, hit.spelling) for hit in vault.hits({what: said.encode()})}
    assert (what, found, said if found else "") == (what, set(), "")


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_in_the_place_of_another_value(guarded: Guarded, name: str) -> None:
    """Each setting of the file in its turn, by itself and within an address."""
    good, secret = guarded.config.read_text(), guarded.vault[name]
    for before in sorted(set(_values(tomllib.loads(good)))):
        for after in (secret, f"https://user:{secret}@host.example", f"//{secret}"):
            guarded.config.write_text(good.replace(f'"{before}"', f'"{after}"'))
            assert_hidden(guarded.vault, check(guarded)[1], f"{before} = {name}")


@pytest.mark.parametrize("name", SHAPES)
def test_a_secret_in_the_place_of_another_variable(guarded: Guarded, name: str) -> None:
    """The environment is held to the same."""
    secret = guarded.vault[name]
    for setting in ("PUBLIC_URL", "LEASE", "THREADS", "LOG_LEVEL", "ADMIN_NETWORKS", "REDIS_URL"):
        with pytest.raises(ConfigurationError) as refused:
            load(guarded.config, {PREFIX + setting: secret})
        assert_hidden(guarded.vault, str(refused.value), setting)
        assert PREFIX + setting in str(refused.value) or "redis_url" in str(refused.value)


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://user:{}@127.0.0.1:1/name",
        "postgresql://user:p@{}@127.0.0.1:1/name",
        "postgresql://user:p@h:{}@127.0.0.1:1/name",
        "postgresql://user:p@h:{}/name",
        "postgresql://user:p/{}@127.0.0.1:x/name",
        "{}",
        "mysql://user:{}@127.0.0.1/name",
    ],
)
def test_a_password_in_the_address_of_the_database(guarded: Guarded, written: str) -> None:
    """Also one with signs that divide an address: the driver would quote half of it."""
    address = written.format(guarded.vault["database password"])
    guarded.put("database", address)

    status, said = check(guarded)

    assert status in (1, 2)
    assert_hidden(guarded.vault, said, written)


@pytest.mark.parametrize(
    "written", ["redis://:{}@h:p/0", "redis://:p@h:{}/0", "redis://:{}/x@h/0", "http://:{}@h", "{}"]
)
def test_a_password_in_the_address_of_redis(guarded: Guarded, written: str) -> None:
    """The same for the other address that has one."""
    guarded.put("redis", written.format(guarded.vault["redis password"]))

    status, said = check(guarded)

    assert status == 2
    assert_hidden(guarded.vault, said, written)


@pytest.mark.parametrize("spoil", ["folder", "unreadable", "open", "empty", "twice", "missing"])
@pytest.mark.parametrize("name", ["acme-1", "api-secret", "audit", "signing.pem", "webhook-secret"])
def test_a_secret_file_that_is_unfit(guarded: Guarded, name: str, spoil: str) -> None:
    """The sentence names the file, and nothing of what is in it."""
    path = guarded.secrets / name
    text = path.read_text() if path.exists() else "-----BEGIN PRIVATE KEY-----\n"
    path.unlink(missing_ok=True)
    if spoil == "folder":
        path.mkdir()
    elif spoil != "missing":
        path.write_text({"empty": "", "twice": text * 2}.get(spoil, text))
        path.chmod({"unreadable": 0o000, "open": 0o644}.get(spoil, 0o600))

    _, said = check(guarded)

    assert_hidden(guarded.vault, said, f"{name} {spoil}")


def test_a_secret_where_its_file_should_be_named(guarded: Guarded) -> None:
    """The likeliest mistake of all: the secret itself as `…_file`."""
    good = guarded.config.read_text()
    for name in ("acme-1", "api-secret", "client-secret", "api_key"):
        for secret in (*SHAPES, "next api secret"):
            text = good.replace(f'"secrets/{name}"', f'"{guarded.vault[secret]}"')
            guarded.config.write_text(text)
            values = {"config": guarded.config, "offer": "a", "upstream": "calm"}
            command = "token mint" if name == "acme-1" else "check"
            status, said = commands.said_by(command, values)
            assert (name, status) == (name, 2 if name == "acme-1" else 1)
            assert "does not exist" in said
            assert "rite the secret into it" in said  # a sentence of its own in `check`
            assert_hidden(guarded.vault, said, f"{name}_file = {secret}")


def _values(table: Any) -> Iterator[str]:
    """Yield every text of the settings that is neither a secret's nor a public name."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _values(value)
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, str))
            yield from (text for one in value if isinstance(one, dict) for text in _values(one))
        elif isinstance(value, str) and key not in PUBLIC:
            yield value
