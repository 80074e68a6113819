"""Receipts: what was recorded, signed with Ed25519, verifiable offline by anyone."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from proxy.choices import Recorded
from proxy.durable import make_folder, write_new
from proxy.errors import ConfigurationError

AUDIT_KEY_BYTES = 32
_as_json = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` would make one each time


class Signer:
    """Signs receipts for one deployment; its public half is published."""

    def __init__(self, key: Ed25519PrivateKey, audience: str) -> None:
        self._key = key
        self._audience = audience
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._public = _b64(public)
        self.kid = hashlib.sha256(public).hexdigest()[:16]

    def sign(self, recorded: Recorded) -> str:
        """Return the receipt `payload.signature`; a replay has the very same one."""
        claims = {
            "aud": self._audience,
            "at": recorded.recorded_at,
            "choice": recorded.said,
            "id": recorded.id,
            "kid": self.kid,
            "offer": recorded.offer,
            "partner": recorded.partner,
            "purchased": recorded.purchased,
            "seq": recorded.seq,
            "upstream": recorded.upstream,
            "v": 1,
        }
        payload = _b64(_as_json(claims).encode())
        return f"{payload}.{_b64(self._key.sign(payload.encode()))}"

    def public_keys(self) -> dict[str, Any]:
        """Return the JWK set (RFC 8037) that verifies these receipts."""
        key = {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "x": self._public}
        return {"keys": [key]}


def verify(receipt: str, public_keys: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of *receipt*; ValueError unless one of *public_keys* signed it."""
    payload, dot, signature = receipt.partition(".")
    claims = json.loads(_unb64(payload)) if dot else None
    if not isinstance(claims, dict):
        raise ValueError("that is not a receipt")  # noqa: TRY004  # one error for callers
    for key in public_keys.get("keys", []):
        if key.get("kid") == claims.get("kid"):
            public = Ed25519PublicKey.from_public_bytes(_unb64(key["x"]))
            try:
                public.verify(_unb64(signature), payload.encode())
            except InvalidSignature:
                raise ValueError("the receipt's signature is wrong") from None
            return claims
    raise ValueError("no published key has signed this receipt")


def load_signing_key(path: Path) -> tuple[Ed25519PrivateKey, bool]:
    """Return the key in *path* and whether it was made just now, mode 0600."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = _make(path, pem)
    try:
        loaded = load_pem_private_key(_read_secret(path), password=None)
    except ValueError as error:
        raise ConfigurationError(f"{path} holds no PEM private key; restore it.") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is not an Ed25519 key; remove it to have one made.")
    return loaded, made


def load_audit_key(path: Path) -> tuple[bytes, bool]:
    """Return the audit key in *path* and whether it was made just now, mode 0600."""
    made = _make(path, _b64(os.urandom(AUDIT_KEY_BYTES)).encode() + b"\n")
    text = _read_secret(path).decode("ascii", "replace").strip()
    try:
        key = _unb64(text)
    except ValueError:
        key = b""
    if len(key) < AUDIT_KEY_BYTES:
        raise ConfigurationError(
            f"{path} must hold the base64url of {AUDIT_KEY_BYTES} random bytes; restore it."
        )
    return key, made


def _make(path: Path, content: bytes) -> bool:
    """Write *content* to *path*; False where there is something, also from a process beside us."""
    if path.exists():
        return False
    make_folder(path.parent)
    try:
        write_new(path, content)
    except FileExistsError:
        return False
    return True


def _read_secret(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can not be read: {error.strerror}.") from error
    if mode & 0o007:
        raise ConfigurationError(f"{path} is readable by everyone; run `chmod 600 {path}`.")
    return content


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
