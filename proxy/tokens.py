"""Session tokens: who may say what a customer chose. Knows no HTTP and no storage.

`kid.payload.time.mac` is what itsdangerous' TimestampSigner yields. Its own rule of time is not
used: it would refuse a partner's clock that is one second ahead, and ends at `max_age` sharply.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from itsdangerous import TimestampSigner, base64_encode

from proxy.choices import Session
from proxy.claims import LONGEST_TTL, SHORTEST_TTL, read_claims
from proxy.errors import Problem
from proxy.keys import (
    SECRET_BYTES,
    SigningKey,
    decode_base64url,
    decode_secret,
    new_secret,
    signing_keys,
)
from proxy.settings import Settings

__all__ = [
    "DEFAULT_TTL",
    "LEEWAY",
    "LONGEST",
    "SALT",
    "Keyring",
    "Parts",
    "SigningKey",
    "admit",
    "decode_secret",
    "ends_at",
    "new_secret",
    "take_apart",
]

SALT = b"optout.session.v1"  # one salt per purpose: no other signature passes for a token
LEEWAY = 60  # seconds that a partner's clock may be off
DEFAULT_TTL = 1_800  # seconds
LONGEST = 2_048  # characters

_SHAPE = re.compile(
    r"\A([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{2,1400})\.([A-Za-z0-9_-]{6})\.([A-Za-z0-9_-]{43})\Z"
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A token taken apart; nothing of it is verified yet."""

    kid: str
    payload: bytes
    issued_at: int  # Unix seconds
    signed: bytes  # the text that the mac is over
    mac: bytes


class Keyring:
    """Every key that verifies, a partner's oldest first: its newest signs."""

    def __init__(self, keys: Iterable[SigningKey], audience: str) -> None:
        self._audience = audience
        self._keys = {key.kid: key for key in keys}
        self._signers = {kid: _signer(key.secret) for kid, key in self._keys.items()}
        self._nobody = _signer(secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read every signing secret; raise ConfigurationError if one is unfit."""
        return cls(signing_keys(settings), settings.audience)

    def verify(self, token: str, now: int) -> Session:
        """Return what *token* proves at *now* (Unix seconds); raise Problem(token_…).

        Its age is not judged here: an old token may still carry a choice made in time (`admit`).
        """
        parts = take_apart(token)
        key = self._keys.get(parts.kid)
        # An unknown key costs the same work as a known one, so that no clock can list the keys.
        signer = self._signers.get(parts.kid, self._nobody)
        genuine = signer.verify_signature(parts.signed, parts.mac)
        if key is None:
            raise Problem("token_unknown_key")
        if not genuine:
            raise Problem("token_bad_signature")
        session = self._session(key, read_claims(parts.payload), parts.issued_at)
        if now < session.issued_at - LEEWAY:
            raise Problem("token_not_yet_valid")
        return session

    def check(self, token: str, now: int) -> Session:
        """Verify *token* and refuse it as token_expired past its ttl and the leeway."""
        session = self.verify(token, now)
        if now > ends_at(session):
            raise Problem("token_expired")
        return session

    def mint(
        self,
        partner: str,
        *,
        offer: str | None,
        origin: str,
        now: int,
        upstream: str | None = None,
        ttl: int = DEFAULT_TTL,
        jti: str | None = None,
        kid: str | None = None,
    ) -> str:
        """Sign a token with *partner*'s newest key, or the one named *kid*; *now* in Unix seconds.

        Raise KeyError if there is no such key, ValueError if the token would not verify.
        """
        key = self._key_for(partner, kid)
        claims = {
            "v": 1,
            "aud": self._audience,
            "p": partner,
            "o": offer,
            "org": origin,
            "jti": jti or secrets.token_urlsafe(16),
            "ttl": ttl,
            "r": upstream,
        }
        given = {name: value for name, value in claims.items() if value is not None}
        payload = json.dumps(given, separators=(",", ":"), sort_keys=True).encode()
        time = base64_encode(now.to_bytes(4, "big"))
        signed = b".".join((key.kid.encode(), base64_encode(payload), time))
        token = (signed + b"." + self._signers[key.kid].get_signature(signed)).decode()
        try:
            self.verify(token, now)
        except Problem as problem:
            raise ValueError(f"no such token can be: {problem.detail or problem.code}") from None
        return token

    def _key_for(self, partner: str, kid: str | None) -> SigningKey:
        mine = [key for key in self._keys.values() if key.partner == partner]
        named = [key for key in mine if kid in (None, key.kid)]
        if not named:
            raise KeyError(partner if kid is None else kid)
        return named[-1]

    def _session(self, key: SigningKey, claims: dict[str, Any], issued_at: int) -> Session:
        """Judge the claims of a genuine token, in the order that the documents promise."""
        if claims["aud"] != self._audience:
            raise Problem("token_wrong_audience")
        if claims["p"] != key.partner:
            raise Problem("token_partner_mismatch")
        session = Session(
            kid=key.kid,
            partner=key.partner,
            upstream=claims.get("r"),
            offer=claims.get("o"),
            origin=claims["org"],
            jti=claims["jti"],
            issued_at=issued_at,
            ttl=claims["ttl"],
        )
        if fault := _fault(key, session):
            raise Problem("token_claims_invalid", fault)
        return session


def ends_at(session: Session) -> int:
    """Return the last Unix second at which *session*'s token is not expired."""
    return session.issued_at + session.ttl + LEEWAY


def admit(session: Session, *, at_ms: int, now_ms: int, late: timedelta) -> bool:
    """Tell whether a choice made at *at_ms* and received at *now_ms* is late (Unix ms).

    Raise Problem("token_expired") if it was not made within the token's life, or came too late.
    """
    end_ms = ends_at(session) * 1000
    if now_ms <= end_ms:
        return False
    begin_ms = (session.issued_at - LEEWAY) * 1000
    patience_ms = late // timedelta(milliseconds=1)
    if begin_ms <= at_ms <= end_ms and now_ms <= end_ms + patience_ms:
        return True
    raise Problem("token_expired")


def _signer(secret: bytes) -> TimestampSigner:
    """Return who signs with the key that *secret* and our salt yield, derived once for all."""
    derived = hmac.digest(secret, SALT, "sha256")  # what its `key_derivation="hmac"` does
    return TimestampSigner(derived, key_derivation="none", digest_method=hashlib.sha256)


def take_apart(token: str) -> Parts:
    """Return the parts of *token*, none of them verified; raise Problem(token_malformed)."""
    match = _SHAPE.match(token) if len(token) <= LONGEST else None
    if match is None:
        raise Problem("token_malformed")
    kid, payload, time, mac = match.groups()
    try:
        decode_base64url(mac, 32)
        return Parts(
            kid=kid,
            payload=decode_base64url(payload),
            issued_at=int.from_bytes(decode_base64url(time, 4), "big"),
            signed=token[: match.start(4) - 1].encode(),
            mac=mac.encode(),
        )
    except ValueError:
        raise Problem("token_malformed") from None


def _fault(key: SigningKey, session: Session) -> str | None:
    """Name the claim that says more than *key* may say."""
    if not SHORTEST_TTL <= session.ttl <= LONGEST_TTL:
        return "claim `ttl` is not within 60 and 86400"
    if session.offer is None and not key.open_offers:
        return "claim `o` is missing, and this partner's pages may not name the offer"
    if key.upstreams is None:
        return None
    if session.upstream is None:
        return None if len(key.upstreams) == 1 else "claim `r` is missing"
    return None if session.upstream in key.upstreams else "claim `r` names no upstream"
