"""How often one token, one network and one partner may call. Decides nothing else.

`limits` is the engine of Flask-Limiter. The extension itself costs 0.3 ms a call and the engine's
own memory storage looks at every counter a hundred times a second, so both are left out.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from threading import Lock
from time import monotonic
from typing import Any, ClassVar, cast

import structlog
from limits import RateLimitItem, parse
from limits.errors import ConfigurationError as PrerequisiteMissing
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from proxy.choices import Session
from proxy.errors import ConfigurationError, Problem
from proxy.web.terms import Address, Networks, Terms, address, is_within

PATIENCE = 0.25  # seconds for Redis: a limit is worth less than the choice it would delay
REST = 2.0  # seconds that Redis is left alone after it failed, but for one call that tries it
QUIET_MS = 60_000  # between two complaints about Redis

Clock = Callable[[], int]  # Unix milliseconds


class Counters(Storage):
    """Counts of the window under way, in memory; a window that is over is dropped whole."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["counters"]  # type: ignore[misc]

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[int, tuple[int, dict[int, int]]] = {}
        self._lock = Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing can fail here."""
        return StorageError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count *amount* in the window of *expiry* seconds that is under way; return the sum."""
        number = self._clock() // (expiry * 1000)
        name = hash(key)  # of a per-process secret: nobody can make two names meet
        with self._lock:
            window = self._windows.get(expiry)
            if window is None or window[0] != number:
                window = self._windows[expiry] = (number, {})
            counts = window[1]
            counts[name] = count = counts.get(name, 0) + amount
        return count

    def get(self, key: str) -> int:
        """Return the count of *key*."""
        return max((counts.get(hash(key), 0) for _, counts in self._windows.values()), default=0)

    def get_expiry(self, key: str) -> float:
        """Return the Unix second at which the window of *key* ends."""
        ends = [
            (number + 1) * expiry
            for expiry, (number, counts) in self._windows.items()
            if hash(key) in counts
        ]
        return float(max(ends, default=0))

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int | None:
        """Forget every count."""
        self._windows.clear()
        return None

    def clear(self, key: str) -> None:
        """Forget the count of *key*."""
        for _, counts in self._windows.values():
            counts.pop(hash(key), None)


class Limits:
    """The counters of this process, or those in Redis that all processes share."""

    def __init__(self, redis_url: str | None, clock: Clock) -> None:
        """Connect to nothing yet; raise ConfigurationError if Redis can not be talked to."""
        self._clock = clock
        self._strategy = FixedWindowRateLimiter(_storage(redis_url, clock))
        self._resting_until = 0.0  # monotonic seconds; 0 while Redis answers
        self._silent_until = 0  # ms

    def prefix(self, terms: Terms, environ: dict[str, Any]) -> None:
        """Count one call from this network; raise Problem(rate_limited) beyond its limit."""
        limit = terms.settings.limits.prefix
        if limit != "off" and (client := client_address(environ, terms)) is not None:
            self._count(limit, "prefix", prefix_of(client))

    def token(self, terms: Terms, session: Session) -> None:
        """Count one call with this token; raise Problem(rate_limited) beyond its limit."""
        limit = terms.settings.limits.token
        if limit != "off":
            self._count(limit, "token", session.partner, session.jti)

    def partner(self, terms: Terms, name: str, cost: int = 1) -> None:
        """Count *cost* messages of this partner; raise Problem(rate_limited) beyond its limit."""
        limit = terms.settings.limits.partner
        if limit != "off":
            self._count(limit, "partner", name, cost=cost)

    def _count(self, limit: str, *names: str, cost: int = 1) -> None:
        if self._is_resting():
            return
        item = _item(limit)
        try:
            has_room = self._strategy.hit(item, *names, cost=min(cost, item.amount))
            ends_at = 0 if has_room else self._strategy.get_window_stats(item, *names).reset_time
        except StorageError as error:
            self._resting_until = monotonic() + REST
            self._complain(error)
            return
        self._resting_until = 0.0
        if not has_room:
            raise Problem("rate_limited", retry_after=max(1, int(ends_at) - self._clock() // 1000))

    def _is_resting(self) -> bool:
        """Tell whether to leave Redis alone; after its rest one call tries it, the others pass."""
        now = monotonic()
        if now < self._resting_until:
            return True
        if self._resting_until:
            self._resting_until = now + REST
        return False

    def _complain(self, error: StorageError) -> None:
        """Say, once a minute, that calls pass uncounted."""
        if self._clock() >= self._silent_until:
            self._silent_until = self._clock() + QUIET_MS
            reason = type(error.storage_error).__name__
            structlog.get_logger("proxy.web").warning("limits.unavailable", reason=reason)


def client_address(environ: dict[str, Any], terms: Terms) -> Address | None:
    """Return who calls the public listener."""
    return client_of(environ, terms.proxies)


def client_of(environ: dict[str, Any], proxies: Networks) -> Address | None:
    """Return who calls: the peer, or whom the nearest trusted proxy says it speaks for.

    None if nobody can be told: a Unix socket, whose only peers are on this machine.
    """
    found = address(environ.get("REMOTE_ADDR", ""))
    if not proxies:
        return found
    hops = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while (found is None or is_within(found, proxies)) and hops:
        before = address(_without_port(hops.pop().strip()))
        if before is None:
            break
        found = before
    return found


def _without_port(hop: str) -> str:
    """Return the address in *hop*: some balancers write the port behind it."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=4096)
def prefix_of(client: Address) -> str:
    """Return the network that counts as one caller: /24, or /48 for IPv6."""
    bits = 48 if isinstance(client, IPv6Address) else 24
    return str(ip_network((client, bits), strict=False).network_address)


@lru_cache(maxsize=32)
def _item(limit: str) -> RateLimitItem:
    return parse(limit)


def _storage(redis_url: str | None, clock: Clock) -> Storage:
    if redis_url is None:
        return Counters(clock)
    address = f"redis+{redis_url}" if redis_url.startswith("unix:") else redis_url
    options = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    try:
        return cast(Storage, storage_from_string(address, wrap_exceptions=True, **options))
    except PrerequisiteMissing:
        raise ConfigurationError(
            "`redis_url` needs the Redis client; run `pip install 'optout-proxy[redis]'`."
        ) from None
