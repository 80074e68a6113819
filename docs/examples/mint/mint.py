#!/usr/bin/env python3
"""Print a session token: mint.py KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]."""

import hmac
import json
import os
import secrets
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def mint(secret: str, kid: str, claims: dict[str, object], now: int) -> str:
    """Sign *claims* with *secret*, as it was handed out, at *now* in Unix seconds."""
    key = hmac.digest(urlsafe_b64decode(secret[9:] + "="), b"optout.session.v1", "sha256")
    payload = json.dumps(claims, separators=(",", ":")).encode()
    body = f"{kid}.{_b64(payload)}.{_b64(now.to_bytes(4, 'big'))}"
    return f"{body}.{_b64(hmac.digest(key, body.encode(), 'sha256'))}"


if __name__ == "__main__":
    kid, aud, partner, offer, origin, *fixed = sys.argv[1:]
    jti, now = fixed or (secrets.token_urlsafe(16), time.time())
    claims = {"aud": aud, "jti": jti, "o": offer, "org": origin, "p": partner, "ttl": 1800, "v": 1}
    sys.stdout.write(mint(os.environ["OPTOUT_SIGNING_SECRET"], kid, claims, int(now)) + "\n")
