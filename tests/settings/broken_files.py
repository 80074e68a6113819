"""What operators get wrong in secrets, keys and files: each breaks a good home in one way."""

import hashlib
import os

from proxy.secret import PLACEHOLDER
from proxy.tokens import new_secret
from tests.settings.broken_homes import Broken, both, secret, swap
from tests.settings.home import KEY_HASH, Home

LONG_AGO = 1_500_000_000  # Unix seconds
EMPTY_HASH = f"sha256:{hashlib.sha256(b'').hexdigest()}"


def _raw(home: Home, name: str, content: bytes) -> None:
    (home.folder / "secrets" / name).write_bytes(content)


def _second_key(home: Home, text: str | None = None, written_at: int | None = None) -> None:
    key = home.secret("acme-2026b", text or new_secret())
    if written_at:
        os.utime(key, (written_at, written_at))
    swap(
        r"secret_file = \"secrets/acme-2026a\" \}",
        'secret_file = "secrets/acme-2026a" }, '
        '{ kid = "acme-2026b", secret_file = "secrets/acme-2026b" }',
    )(home)


def _same_key(home: Home) -> None:
    _second_key(home, (home.folder / "secrets/acme-2026a").read_text().strip())


def _secret_in_config(home: Home) -> None:
    swap("api_key_file = .secrets/key.", 'api_key = "an-api-key-in-the-open"')(home)
    home.config.chmod(0o644)


def _foreign_file(home: Home) -> None:
    home.secret("audit", "A" * 43)
    os.chown(home.folder / "secrets/audit", 12_345, -1)
    home.folder.joinpath("secrets/signing.pem").unlink(missing_ok=True)
    (home.folder / "optout.db.lock").touch(0o600)


def _spreadsheet(home: Home) -> None:
    file = home.folder / "optout.db"
    file.touch(0o600)
    file.write_bytes(b"a spreadsheet" * 99)


# As in broken_homes.
BROKEN: dict[str, Broken] = {
    "a secret file that is missing": (
        lambda home: (home.folder / "secrets/secret").unlink(),
        "secrets",
        "fail",
        "does not exist",
        "Write the secret into it, mode 0600",
    ),
    "a secret file that others may read": (
        lambda home: (home.folder / "secrets/secret").chmod(0o644),
        "secrets",
        "fail",
        "is open to every user",
        "Run `chmod 600",
    ),
    "a secret file that is empty": (
        lambda home: _raw(home, "secret", b""),
        "secrets",
        "fail",
        "is empty",
        "Write the secret into it",
    ),
    "a secret of two lines": (
        lambda home: _raw(home, "secret", b"one\ntwo\n"),
        "secrets",
        "fail",
        "more than one line",
        "",
    ),
    "a secret file of a word processor": (
        lambda home: _raw(home, "secret", "a-secret".encode("utf-16")),
        "secrets",
        "fail",
        "is not UTF-8 text",
        "Write the secret into it",
    ),
    "an api key that no header can carry": (
        secret("key", "key of a test"),
        "secrets",
        "fail",
        "characters that a header can not carry",
        "Write it anew",
    ),
    "a byte order mark": (
        lambda home: _raw(home, "secret", b"\xef\xbb\xbfa-secret\r\n"),
        "secret_text",
        "fail",
        "invisible byte order mark",
        "without that mark",
    ),
    "a space that was copied along": (
        secret("secret", "a-secret "),
        "secret_text",
        "warn",
        "begins or ends with a space",
        "without the space",
    ),
    "quotes that were copied along": (
        secret("secret", '"a-secret"'),
        "secret_text",
        "warn",
        "stands in quotes",
        "without the quotes",
    ),
    "a secret that was never filled in": (
        secret("secret", f"{PLACEHOLDER}-with-the-api-secret-of-the-insurer"),
        "secret_text",
        "warn",
        "`partners.ACME.upstreams.tickets.hmac.api_secret` is still what `init` wrote",
        "what the insurer gave you",
    ),
    "one text for key and secret": (
        secret("secret", "key-of-a-test"),
        "secret_twice",
        "fail",
        "is the same as `api_key`",
        "The insurer gives two texts",
    ),
    "one secret under two kids": (
        _same_key,
        "secret_twice",
        "fail",
        "acme-2026a and acme-2026b are one secret",
        "keys new",
    ),
    "a secret in a configuration that others may read": (
        _secret_in_config,
        "config_file",
        "fail",
        "optout.toml holds `partners.ACME.upstreams.tickets.hmac.api_key`",
        "chmod 600",
    ),
    "a signing secret of another kind": (
        secret("acme-2026a", "c2VjcmV0"),
        "signing_keys",
        "fail",
        "must be `ots_live_` or `ots_test_`",
        "keys new --partner ACME",
    ),
    "a test key for live pages": (
        secret("acme-2026a", new_secret(test=True)),
        "signing_keys",
        "warn",
        "acme-2026a of ACME is a test one",
        "keys new --partner ACME",
    ),
    "an old key that was never taken away": (
        lambda home: _second_key(home, written_at=LONG_AGO),
        "signing_keys",
        "warn",
        "acme-2026a still stands beside acme-2026b, whose file is of 2017-07-14",
        "optout-proxy keys retire acme-2026a",
    ),
    "the hash of nothing": (
        swap(KEY_HASH, EMPTY_HASH),
        "server_keys",
        "fail",
        "that of an empty text",
        "Hash the whole key",
    ),
    "a database that anybody may read": (
        both(
            lambda home: home.folder.chmod(0o755),
            lambda home: (home.folder / "optout.db.lock").touch(0o644),
        ),
        "owners",
        "warn",
        "is open to every user",
        "chmod o=",
    ),
    "an audit key that is none": (
        secret("audit", "short"),
        "audit_key",
        "fail",
        "must hold the base64url of 32 random bytes",
        "Restore it",
    ),
    "a signing.pem that is none": (
        secret("signing.pem", "-----BEGIN CERTIFICATE-----"),
        "signing_key",
        "fail",
        "holds no PEM private key",
        "Restore it",
    ),
    "a database file that is another program's": (
        _spreadsheet,
        "database",
        "fail",
        "file is not a database",
        "restore a backup",
    ),
}
if os.geteuid() == 0:
    BROKEN["a command that was run as root"] = (
        _foreign_file,
        "owners",
        "fail",
        "audit to user 12345",
        "`chown` them all",
    )
