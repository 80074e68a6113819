"""One-time codes (RFC 6238): their secrets, encrypted at rest, and which code is good when."""

import hmac
import os

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

STEP_S = 30
_AROUND = (0, -1, 1)  # steps: clocks differ, and typing takes a while
_DIGITS = 6
_NONCE_BYTES = 12  # NIST SP 800-38D


class Codes:
    """Seals the secrets under a key of the deployment; a stolen database gives none away."""

    def __init__(self, audit_key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(audit_key, b"optout.totp.v1", "sha256"))

    def seal(self, secret: str, name: str) -> bytes:
        """Return *secret* encrypted for the user *name* only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), name.encode())

    def step(self, sealed: bytes | None, name: str, code: str, now_ms: int) -> int | None:
        """Return the step whose code *code* is, near *now_ms*; None if it is of none."""
        if sealed is None or not (code.isascii() and code.isdecimal() and len(code) == _DIGITS):
            return None
        try:
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            secret = self._cipher.decrypt(nonce, rest, name.encode()).decode()
        except (InvalidTag, ValueError):  # of another audit key, or of another user
            return None
        now = now_ms // 1000 // STEP_S
        generator = pyotp.TOTP(secret)
        good = [
            now + off
            for off in _AROUND
            if hmac.compare_digest(generator.generate_otp(now + off), code)
        ]
        return good[0] if good else None


def fresh() -> str:
    """Return a secret for a new authenticator, as it is typed."""
    return pyotp.random_base32()


def address(secret: str, name: str, issuer: str) -> str:
    """Return the `otpauth://` address that an authenticator takes."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)
