"""Deliveries and settings that name only what a test is about."""

import secrets
import time
from uuid import uuid4

from proxy.choices import Delivery
from proxy.secret import Secret
from proxy.settings_upstreams import HmacSetting, OAuthSetting, UpstreamSetting
from proxy.upstreams import APIS

KEY = secrets.token_hex(16)
PASSWORD = secrets.token_urlsafe(32)


class Clock:
    """The monotonic clock, and a hand to push it on."""

    def __init__(self) -> None:
        self.ahead = 0.0  # seconds

    def __call__(self) -> float:
        """Return seconds."""
        return time.monotonic() + self.ahead


def a_delivery(*, offer: str | None = None, body: str = "{}", epoch: int = 1) -> Delivery:
    """Return a claimed report of *offer*, any offer if none is named."""
    return Delivery(
        row=1,
        claim="claim",
        partner="ACME",
        upstream="tickets",
        offer=offer or str(uuid4()),
        epoch=epoch,
        attempt=1,
        body=body,
        send_at=0,
        lease_until=0,
    )


def an_upstream(
    base_url: str,
    api: str = "xcover-offers",
    *,
    key: str = KEY,
    secret: str = PASSWORD,
    partner_code: str = "LLODT",
) -> UpstreamSetting:
    """Return the setting of *api* at *base_url*, with the credentials that it wants."""
    pair = (Secret(key), Secret(secret))
    is_hmac = APIS[api].auth == "hmac"
    return UpstreamSetting(
        name="tickets",
        api=api,
        base_url=base_url,
        partner_code=partner_code,
        hmac=HmacSetting(api_key=pair[0], api_secret=pair[1]) if is_hmac else None,
        oauth=None if is_hmac else OAuthSetting(client_id=pair[0], client_secret=pair[1]),
    )
