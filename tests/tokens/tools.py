"""Tokens made by hand, right and wrong; what the keyring of the vectors makes of them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from itsdangerous import Signer
from itsdangerous.encoding import base64_encode

from proxy.errors import Problem
from proxy.tokens import SALT, Keyring, SigningKey

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "token_vectors.json").read_text("utf-8")
)
SECRET = bytes.fromhex(VECTORS["secret_hex"])
KID: str = VECTORS["kid"]
IAT: int = VECTORS["iat"]
CLAIMS: dict[str, Any] = VECTORS["claims"]
TOKEN: str = VECTORS["token"]
AUDIENCE: str = CLAIMS["aud"]


def keyring(**key: Any) -> Keyring:
    """Return the keyring of the vectors, its key changed by *key*."""
    fields = {"kid": KID, "partner": "ACME", "secret": SECRET} | key
    return Keyring([SigningKey(**fields)], AUDIENCE)


def sign(payload: bytes, *, iat: int = IAT, kid: str = KID, salt: bytes = SALT) -> str:
    """Return a token with a good signature over any *payload*."""
    signer = Signer(SECRET, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    time = base64_encode(iat.to_bytes(4, "big"))
    return signer.sign(b".".join((kid.encode(), base64_encode(payload), time))).decode()


def with_claims(*without: str, **changes: Any) -> str:
    """Return a signed token with the claims of the vectors, changed."""
    claims = {**CLAIMS, **changes}
    kept = {name: value for name, value in claims.items() if name not in without}
    return sign(json.dumps(kept).encode())


def verdict(token: str, ring: Keyring | None = None, now: int = IAT) -> str:
    """Return "ok" or the code of the refusal."""
    try:
        (ring or keyring()).check(token, now)
    except Problem as problem:
        return problem.code
    return "ok"
