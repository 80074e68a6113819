"""The claims of a session token, each with its rule. Knows no key, no clock and no partner."""

import re
from collections.abc import Callable
from typing import Any

from proxy.errors import Problem
from proxy.origins import is_origin
from proxy.strictjson import loads

SHORTEST_TTL, LONGEST_TTL = 60, 86_400  # seconds


def _is(pattern: str) -> Callable[[object], bool]:
    matches = re.compile(rf"\A(?:{pattern})\Z").match
    return lambda value: type(value) is str and matches(value) is not None


_CLAIMS: dict[str, Callable[[object], bool]] = {
    "v": lambda value: type(value) is int and value == 1,  # True is an int to isinstance
    "aud": lambda value: type(value) is str,
    "p": lambda value: type(value) is str,
    "o": _is("[A-Za-z0-9-]{1,64}"),
    "org": lambda value: type(value) is str and is_origin(value),
    "jti": _is("[A-Za-z0-9_-]{22,43}"),
    "ttl": lambda value: type(value) is int,
    "r": _is("[A-Za-z0-9_-]{1,64}"),
    "ch": _is("[A-Za-z0-9_-]{43}|[0-9a-f]{64}"),  # a digest of personal data; no page may send any
}
_NEEDED = frozenset({"v", "aud", "p", "org", "jti", "ttl"})


def read_claims(payload: bytes) -> dict[str, Any]:
    """Return the claims if each is of its type; raise Problem("token_claims_invalid") if not.

    A claim that we do not know may be a limit that we would not keep, so it is refused too.
    """
    try:
        claims = loads(payload, max_depth=1)
    except ValueError:
        raise Problem("token_claims_invalid", "the payload is not strict JSON") from None
    if not isinstance(claims, dict) or not _NEEDED <= claims.keys() <= _CLAIMS.keys():
        raise Problem("token_claims_invalid", "a claim is missing or unknown")
    for name, is_fit in _CLAIMS.items():
        if name in claims and not is_fit(claims[name]):
            raise Problem("token_claims_invalid", f"claim `{name}`")
    return claims
