"""Receipts, verified as anyone can: Ed25519 over the payload, the public key published."""

import base64
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.faults.judge_run import Call, Record


def receipt_fault(about: Record, call: Call, fact: Record) -> str:
    """Return what is wrong with the receipt that acknowledged *call*, an empty text if nothing."""
    receipt = str((call.body or {}).get("receipt", ""))
    payload, _, signature = receipt.partition(".")
    try:
        claims = json.loads(_decoded(payload))
        key = next(one for one in about["public_keys"]["keys"] if one["kid"] == claims["kid"])
        public = Ed25519PublicKey.from_public_bytes(_decoded(key["x"]))
        public.verify(_decoded(signature), payload.encode())
    except (ValueError, KeyError, StopIteration, InvalidSignature):
        return "its receipt does not verify"
    said = call.said
    expected = {
        "aud": about["audience"],
        "at": fact["at"],
        "choice": said["choice"],
        "id": call.id,
        "offer": said["offer"],
        "partner": said["partner"],
        "purchased": said["purchased"],
        "seq": said["seq"],
        "upstream": said["upstream"],
    }
    wrong = [name for name, value in expected.items() if claims.get(name) != value]
    return f"its receipt tells another {', '.join(wrong)}" if wrong else ""


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
