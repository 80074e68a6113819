"""The call to the insurer that every peer makes: signed, with the same key on every attempt."""

import threading
import time
from functools import cache

import requests

from bench.peers import place
from proxy.credentials import credentials_for
from proxy.exchange import Request
from proxy.settings import Settings
from proxy.upstreams import idempotency_key, url_for

TIMEOUT_S = 20
REPEATED = 409  # the key was used before, and only we have it


class Insurer:
    """The one upstream of the one partner; shared by threads, each with a session of its own."""

    def __init__(self, settings: Settings) -> None:
        self._audience = settings.audience
        [self._partner] = settings.partners
        [self._upstream] = settings.partners[self._partner].upstreams.values()
        self._credentials = credentials_for(self._upstream)
        self._local = threading.local()

    def decline(self, offer: str) -> None:
        """Report that *offer* was declined; raise unless the insurer took it, now or before."""
        request = self._request(offer)
        self._credentials.stamp(request)
        answer = self._session().post(
            request.url, data=request.body, headers=request.headers, timeout=TIMEOUT_S
        )
        if answer.status_code not in (*self._upstream.definition.success, REPEATED):
            answer.raise_for_status()
            raise requests.HTTPError(f"the insurer answered {answer.status_code}")

    def key(self, offer: str) -> str:
        """Return the idempotency key of *offer*'s report."""
        return idempotency_key(
            audience=self._audience,
            partner=self._partner,
            upstream=self._upstream.name,
            offer=offer,
            epoch=1,
        )

    def _request(self, offer: str) -> Request:
        return Request(
            method="POST",
            url=url_for(
                self._upstream.definition,
                base_url=self._upstream.base_url,
                partner_code=self._upstream.partner_code,
                offer=offer,
            ),
            body=b"{}",
            headers={"Content-Type": "application/json", "x-idempotency-key": self.key(offer)},
            until=time.monotonic() + TIMEOUT_S,
        )

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


@cache
def insurer() -> Insurer:
    """Return the one of this process."""
    return Insurer(place.settings())
