"""Passwords: what one may be, how a fresh one is made, and what is kept of it. Knows no table."""

import secrets
import string
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 15  # characters
LONGEST = 256
_GROUPS = 5  # of a fresh password, five characters each: 124 bits
_ALPHABET = "".join(c for c in string.ascii_lowercase + string.digits if c not in "l1o0")
_AT_ONCE = 2  # each takes 46 MiB for some 50 ms

_hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)  # OWASP's first choice
_places = BoundedSemaphore(_AT_ONCE)
# What an unknown name is compared with, so that it takes as long as a known one.
_NOBODY = (
    "$argon2id$v=19$m=47104,t=1,p=1$3qIaaWy3gj5JsFl57lJJFg"
    "$dZAvdAj9+Pxp6y9Ot0VD3COwRD6rF4UHagxPrOsd7EU"
)


def fresh() -> str:
    """Return a password that nobody chose."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(_GROUPS))


def fault(password: str, name: str) -> str | None:
    """Say why *password* can not be one of the user *name*; None if it can."""
    if len(password) < SHORTEST:
        return f"A password has at least {SHORTEST} characters."
    if len(password) > LONGEST:
        return f"A password has at most {LONGEST} characters."
    if len(set(password)) < SHORTEST // 3 or name.casefold() in password.casefold():
        return "That password is too easy to guess."
    return None


def hashed(password: str) -> str:
    """Return what is kept of *password*."""
    with _places:
        return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Tell whether *kept* was made of *password*; as slowly where nothing was kept."""
    with _places:
        try:
            _hasher.verify(kept or _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Tell whether *kept* was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(kept)
