#!/usr/bin/env python3
"""Print a session token: mint_itsdangerous.py KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]."""

import hashlib
import json
import os
import secrets
import sys
import time

from itsdangerous import Signer, base64_decode, base64_encode


def mint(secret: str, kid: str, claims: dict[str, object], now: int) -> str:
    """Sign *claims* with *secret*, as it was handed out, at *now* in Unix seconds."""
    key, salt = base64_decode(secret[9:]), b"optout.session.v1"
    signer = Signer(key, salt, key_derivation="hmac", digest_method=hashlib.sha256)
    payload = json.dumps(claims, separators=(",", ":")).encode()
    body = b".".join([kid.encode(), base64_encode(payload), base64_encode(now.to_bytes(4, "big"))])
    return signer.sign(body).decode()


if __name__ == "__main__":
    kid, aud, partner, offer, origin, *fixed = sys.argv[1:]
    jti, now = fixed or (secrets.token_urlsafe(16), time.time())
    claims = {"aud": aud, "jti": jti, "o": offer, "org": origin, "p": partner, "ttl": 1800, "v": 1}
    sys.stdout.write(mint(os.environ["OPTOUT_SIGNING_SECRET"], kid, claims, int(now)) + "\n")
