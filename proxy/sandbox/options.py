"""What a sandbox is told before it starts."""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta


def _random_key() -> str:
    return secrets.token_hex(16)


def _random_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """The partner, its credentials and how strict the insurer is; credentials are random."""

    partner: str = "LLODT"
    prefix: str = "/x"  # of the HMAC APIs; the OAuth ones lie at the root
    api_key: str = field(default_factory=_random_key)
    api_secret: str = field(default_factory=_random_secret, repr=False)
    client_id: str = field(default_factory=_random_key)
    client_secret: str = field(default_factory=_random_secret, repr=False)
    allow_sha1: bool = False  # deprecated by the insurer
    clock_skew: timedelta | None = None  # how far `Date` may be off; None: any distance
    rate_per_second: float = 0.0  # 0: no limit
    strict_bodies: bool = True  # unknown and wrongly typed fields are 422
    strict_ids: bool = False  # only UUIDs and XXXXX-XXXXX-INS, not any [A-Za-z0-9-]{1,64}
    known_offers: frozenset[str] | None = None  # None: every well-formed id is known
    token_lifetime: timedelta = timedelta(hours=1)
    latency: timedelta = timedelta(0)  # what an opt-out takes, its idempotency key locked
    remember: int = 200_000  # so many requests are kept for reading, the newest
