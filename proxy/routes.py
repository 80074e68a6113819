"""Which lane and which credential serve a partner's upstream; follows the settings in force."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.choices import Delivery, Kind, Outcome
from proxy.credentials import Credentials, bucket_of, credentials_for
from proxy.errors import ConfigurationError
from proxy.leases import Lane
from proxy.reload import Configuration
from proxy.sender import Sender
from proxy.settings import Settings
from proxy.settings_upstreams import HmacSetting, OAuthSetting, UpstreamSetting
from proxy.waiting import Pair
from proxy.worker import Routing

Way = tuple[UpstreamSetting, Credentials]


@dataclass(frozen=True, slots=True)
class _Ways:
    """Everything that follows from one set of settings; a host never meets another's key."""

    settings: Settings | None
    routing: Routing
    ways: Mapping[Pair, Way]


class Routes:
    """The way of every delivery; safe to use from many threads.

    Raises ConfigurationError when made, if a secret is unfit; a reload that brings an unfit one
    changes nothing.
    """

    def __init__(self, configuration: Configuration, sender: Sender) -> None:
        self._configuration = configuration
        self._sender = sender
        self._lock = threading.Lock()
        self._now = _Ways(None, Routing(lanes=(), lane_of={}), {})
        configuration.require(_judge)

    def routing(self) -> Routing:
        """Return the lanes in force."""
        return self._in_force().routing

    def send(self, delivery: Delivery) -> Outcome:
        """Make one attempt with the credential that serves *delivery* now."""
        way = self._in_force().ways.get((delivery.partner, delivery.upstream))
        if way is None:  # taken out of the settings since the claim
            return Outcome(kind=Kind.TRANSIENT, reason="upstream_not_configured")
        return self._sender.send(delivery, *way)

    def _in_force(self) -> _Ways:
        settings = self._configuration.current
        with self._lock:
            if settings is not self._now.settings:
                self._now = _ways(settings)
            return self._now


def _judge(settings: Settings) -> None:
    _ways(settings)


def _ways(settings: Settings) -> _Ways:
    buckets: dict[Pair, str] = {}
    ways: dict[Pair, Way] = {}
    shared: dict[tuple[str, ...], Credentials] = {}
    lanes: dict[str, Lane] = {}
    for partner, upstream in _upstreams(settings):
        pair, bucket = (partner, upstream.name), bucket_of(upstream)
        buckets[pair] = bucket
        credentials = shared.setdefault(_identity(upstream), credentials_for(upstream))
        ways[pair] = (upstream, credentials)
        lane = lanes.get(bucket) or Lane(bucket=bucket, rate=upstream.rate_per_second, apis={})
        apis = lane.apis | {pair: upstream.definition}
        rate = _slower(lane.rate, upstream.rate_per_second)
        lanes[bucket] = Lane(bucket=bucket, rate=rate, apis=apis)
    lane_of = {pair: lanes[bucket] for pair, bucket in buckets.items()}
    return _Ways(settings, Routing(lanes=tuple(lanes.values()), lane_of=lane_of), ways)


def _identity(upstream: UpstreamSetting) -> tuple[str, ...]:
    """Return what two upstreams must share to share one credential, and so one access token."""
    shared = (bucket_of(upstream), upstream.base_url)
    match upstream.hmac or upstream.oauth:
        case HmacSetting() as hmac:
            return (*shared, hmac.api_secret.read(), hmac.algorithm, hmac.headers)
        case OAuthSetting() as oauth:
            return (*shared, oauth.client_secret.read())
        case None:
            raise ConfigurationError(f"Upstream {upstream.name} has neither `hmac` nor `oauth`.")


def _slower(one: float, other: float) -> float:
    """Return the lower of two rates, where 0 is no limit."""
    return min((rate for rate in (one, other) if rate > 0), default=0.0)


def _upstreams(settings: Settings) -> list[tuple[str, UpstreamSetting]]:
    return [
        (name, upstream)
        for name, partner in settings.partners.items()
        for upstream in partner.upstreams.values()
    ]
