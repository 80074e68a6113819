"""Making tokens: byte for byte what any other language makes, and nothing that would not verify."""

from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ConfigurationError
from proxy.inspection import inspect
from proxy.tokens import Keyring, SigningKey, decode_secret, new_secret
from tests.settings.home import BASE, ELEMENTS, Home, at
from tests.tokens.tools import AUDIENCE, CLAIMS, IAT, KID, SECRET, TOKEN, keyring

OFFER = {"offer": CLAIMS["o"], "origin": CLAIMS["org"], "now": IAT}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with a good configuration."""
    return at(tmp_path)


def two_keys() -> Keyring:
    """Return a keyring in the middle of a rotation."""
    keys = [
        SigningKey(kid="old", partner="ACME", secret=SECRET),
        SigningKey(kid="new", partner="ACME", secret=b"x" * 32),
        SigningKey(kid="other", partner="OTHER", secret=b"y" * 32),
    ]
    return Keyring(keys, AUDIENCE)


def test_the_published_token() -> None:
    """Python, Node, PHP, Ruby and Java make this very text."""
    assert keyring().mint("ACME", **OFFER, jti=CLAIMS["jti"]) == TOKEN


def test_every_token_is_its_own() -> None:
    """The id is random unless it is given."""
    ids = {keyring().verify(keyring().mint("ACME", **OFFER), IAT).jti for _ in range(3)}

    assert [len(one) for one in ids] == [22, 22, 22]


def test_the_newest_key_signs() -> None:
    """The last one of the partner, and no other partner's."""
    assert inspect(two_keys().mint("ACME", **OFFER))["kid"] == "new"


def test_a_key_can_be_named() -> None:
    """To try an old one, for instance."""
    assert inspect(two_keys().mint("ACME", **OFFER, kid="old"))["kid"] == "old"


@pytest.mark.parametrize(
    ("partner", "kid"), [("NOBODY", None), ("ACME", "none"), ("ACME", "other")]
)
def test_no_such_key(partner: str, kid: str | None) -> None:
    """A partner without a key, or with others, is a KeyError."""
    with pytest.raises(KeyError):
        two_keys().mint(partner, **OFFER, kid=kid)


@pytest.mark.parametrize(
    "change",
    [
        {"offer": "a/b"},
        {"offer": None},
        {"origin": "http://shop.example"},
        {"ttl": 59},
        {"ttl": 86_401},
        {"jti": "short"},
        {"upstream": "a b"},
    ],
)
def test_a_token_that_would_not_verify_is_not_made(change: dict[str, Any]) -> None:
    """The fault is found where it is made."""
    with pytest.raises(ValueError, match="no such token can be"):
        keyring().mint("ACME", **OFFER | change)


def test_an_open_token_names_no_offer() -> None:
    """The claim is absent, not empty."""
    token = keyring(open_offers=True).mint("ACME", **OFFER | {"offer": None})

    assert "o" not in inspect(token)["claims"]


def test_inspect_verifies_nothing() -> None:
    """It says what a text says, of whatever key and age."""
    assert inspect(TOKEN) == {
        "kid": KID,
        "issued_at": IAT,
        "expires_at": IAT + 1800,
        "claims": CLAIMS,
    }


def test_a_new_secret_is_32_random_bytes() -> None:
    """It begins so that scanners for leaked secrets know it."""
    one, other = new_secret(), new_secret(test=True)

    assert one.startswith("ots_live_")
    assert other.startswith("ots_test_")
    assert len(decode_secret(one)) == len(decode_secret(other)) == 32
    assert decode_secret(one) != decode_secret(other)


UNFIT = {
    "ots_live_c2hvcnQ": "is too short: `ots_live_` needs 43 characters (32 bytes) after it, not 7",
    "ots_live_": "is too short: `ots_live_` needs 43 characters (32 bytes) after it, not 0",
    f"ots_live_{'A' * 44}": "is not the base64url of 32 bytes, without padding",
    f"ots_live_{'A' * 42}B": "is not the base64url of 32 bytes, without padding",
    f"ots_live_{'A' * 43}=": "must be `ots_live_` or `ots_test_` and the base64url of 32 random"
    " bytes",
    "A" * 43: "must be `ots_live_` or `ots_test_` and the base64url of 32 random bytes",
    "osk_live_x": "must be `ots_live_` or `ots_test_` and the base64url of 32 random bytes",
}


@pytest.mark.parametrize("text", UNFIT)
def test_an_unfit_secret_is_refused(home: Home, text: str) -> None:
    """The sentence names the key, what is wrong, and the command that writes a good one."""
    home.secret("acme-2026a", text)

    with pytest.raises(ConfigurationError) as refused:
        Keyring.from_settings(home.load_again())

    assert str(refused.value) == (
        f"The signing secret of kid `acme-2026a` {UNFIT[text]};"
        " `optout-proxy keys new --partner ACME` writes a good one."
    )


def test_a_secret_file_open_to_all_is_refused(home: Home) -> None:
    """A keyring is not built from a secret that everybody knows."""
    home.secret("acme-2026a", new_secret(), 0o644)

    with pytest.raises(ConfigurationError, match="open to every user of this machine"):
        Keyring.from_settings(home.load_again())


def test_a_keyring_shows_no_secret() -> None:
    """Neither do its keys."""
    key = SigningKey(kid=KID, partner="ACME", secret=b"hush" * 8)

    assert "hush" not in repr(key)


def test_the_keyring_knows_what_the_settings_allow(home: Home) -> None:
    """With two upstreams a token must name one of them."""
    ring = Keyring.from_settings(home.load(BASE + ELEMENTS))
    offer = OFFER | {"origin": "https://shop.example"}

    with pytest.raises(ValueError, match="claim `r` is missing"):
        ring.mint("ACME", **offer)

    assert ring.verify(ring.mint("ACME", **offer, upstream="elements"), IAT).upstream == "elements"


def test_a_partner_that_is_switched_off_keeps_its_keys(home: Home) -> None:
    """Its tokens are told partner_disabled, not unknown."""
    text = BASE.replace("[partners.ACME]\n", "[partners.ACME]\ndisabled = true\n")
    ring = Keyring.from_settings(home.load(text))

    assert ring.verify(ring.mint("ACME", **OFFER), IAT).partner == "ACME"
