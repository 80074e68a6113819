"""What a token says, to look at: nothing here is verified."""

from typing import Any

from proxy.claims import read_claims
from proxy.tokens import take_apart


def inspect(token: str) -> dict[str, Any]:
    """Return kid, times (Unix seconds) and claims of *token*, none of them verified.

    Raise Problem(token_malformed | token_claims_invalid) if they can not be read.
    """
    parts = take_apart(token)
    claims = read_claims(parts.payload)
    return {
        "kid": parts.kid,
        "issued_at": parts.issued_at,
        "expires_at": parts.issued_at + claims["ttl"],
        "claims": claims,
    }
