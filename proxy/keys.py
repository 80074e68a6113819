"""Signing keys: as text that is handed out, as the bytes that sign. Knows no token."""

import base64
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.errors import ConfigurationError
from proxy.settings import PartnerSetting, Settings, SigningKeySetting

SECRET_BYTES = 32

_ENCODED = 43  # characters that 32 bytes take
_SECRET = re.compile(r"\Aots_(?:live|test)_([A-Za-z0-9_-]*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key of a partner, and what its tokens may speak of."""

    kid: str
    partner: str
    secret: bytes = field(repr=False)
    open_offers: bool = False  # a token may leave the offer to the page
    upstreams: frozenset[str] | None = None  # names that claim `r` may have; None: any


def signing_keys(settings: Settings) -> Iterator[SigningKey]:
    """Yield every key of every partner, oldest first; ConfigurationError if a secret is unfit."""
    for partner in settings.partners.values():
        for setting in partner.signing_keys:
            yield _signing_key(partner, setting)


def new_secret(*, test: bool = False) -> str:
    """Return a fresh signing secret as it is handed out: `ots_live_…`, or `ots_test_…`."""
    return f"ots_{'test' if test else 'live'}_{secrets.token_urlsafe(SECRET_BYTES)}"


def decode_secret(text: str) -> bytes:
    """Return the HMAC key that `ots_live_…` stands for; raise ValueError unless it is 32 bytes."""
    match = _SECRET.match(text)
    if match is None:
        raise ValueError("must be `ots_live_` or `ots_test_` and the base64url of 32 random bytes")
    encoded = match[1]
    if len(encoded) < _ENCODED:
        raise ValueError(
            f"is too short: `ots_live_` needs 43 characters (32 bytes) after it, not {len(encoded)}"
        )
    try:
        return decode_base64url(encoded, SECRET_BYTES)
    except ValueError:
        raise ValueError("is not the base64url of 32 bytes, without padding") from None


def decode_base64url(text: str, length: int | None = None) -> bytes:
    """Undo base64url; raise ValueError for any but the one spelling of that many bytes.

    The last character has bits to spare: without this, one mac could be written in four ways.
    """
    encoded = text.encode()
    raw = base64.urlsafe_b64decode(encoded + b"==")
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != encoded or length not in (None, len(raw)):
        raise ValueError("not the canonical spelling")
    return raw


def _signing_key(partner: PartnerSetting, setting: SigningKeySetting) -> SigningKey:
    try:
        secret = decode_secret(setting.secret.read())
    except ValueError as error:
        raise ConfigurationError(
            f"The signing secret of kid `{setting.kid}` {error}; "
            f"`optout-proxy keys new --partner {partner.name}` writes a good one."
        ) from None
    return SigningKey(
        kid=setting.kid,
        partner=partner.name,
        secret=secret,
        open_offers=partner.open_offers,
        upstreams=frozenset(partner.upstreams),
    )
