"""An insurer's customer that shares no code with the sandbox: it signs and fetches by itself."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import quote

import requests

from proxy.sandbox.serve import Sandbox

PATHS = {
    "xcover-offers": "/x/partners/LLODT/offers/{}/opt_out/",
    "xcover-bookings": "/x/partners/LLODT/bookings/{}/opt_out",
    "xone-offers": "/api/partners/LLODT/offers/{}/opt-out",
    "xone-quotes": "/api/partners/LLODT/quotes/{}/opt-out",
    "xcover-renewals": "/x/partners/LLODT/renewals/{}/opt_out/",
}
HMAC_APIS = [name for name in PATHS if name.startswith("xcover")]
OAUTH_APIS = [name for name in PATHS if name.startswith("xone")]


def authorization(
    key: str, secret: str, content: str, *, algorithm: str = "hmac-sha512", signed: str = ""
) -> str:
    """Return the Authorization header over *content*; *signed* is the `headers=` parameter."""
    digest = hmac.digest(secret.encode(), content.encode(), algorithm.removeprefix("hmac-"))
    signature = quote(base64.b64encode(digest), safe="")
    names = f'headers="{signed}",' if signed else ""
    return f'Signature keyId="{key}",algorithm="{algorithm}",{names}signature="{signature}"'


class Caller:
    """Calls one sandbox with its credentials over one session."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.bearer = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def signature(self, secret: str | None = None, **more: str) -> dict[str, str]:
        """Return the three headers that sign a request made now over its date."""
        options, date = self.sandbox.options, formatdate(usegmt=True)
        header = authorization(
            options.api_key, secret or options.api_secret, f"date: {date}", **more
        )
        return {"Date": date, "X-Api-Key": options.api_key, "Authorization": header}

    def token(self, **changes: Any) -> requests.Response:
        """Call the token endpoint; *changes* replace fields of its body."""
        options = self.sandbox.options
        body = {
            "grant_type": "client_credentials",
            "client_id": options.client_id,
            "client_secret": options.client_secret,
        }
        return self.post("/api/oauth/token", headers={}, body=json.dumps({**body, **changes}))

    def credentials(self, path: str) -> dict[str, str]:
        """Return the headers that authorize a call of *path*."""
        if not path.startswith("/api/"):
            return self.signature()
        if not self.bearer:
            self.bearer = self.token().json()["access_token"]
        return {"Authorization": f"Bearer {self.bearer}"}

    def post(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | bytes = "{}",
        method: str = "POST",
        **more: Any,
    ) -> requests.Response:
        """Send one request, authorized unless *headers* replace that; never follow a redirect."""
        sent = self.credentials(path) if headers is None else headers
        return self.session.request(
            method,
            self.sandbox.url + path,
            data=body,
            headers={"Content-Type": "application/json", **sent},
            allow_redirects=False,
            **{"timeout": 10, **more},
        )

    def opt_out(
        self,
        api: str = "xcover-offers",
        offer: str = "OFFER-1",
        *,
        key: str | None = None,
        body: str | bytes = "{}",
        **more: Any,
    ) -> requests.Response:
        """Opt *offer* out over *api*, with the idempotency key *key* if given."""
        path = PATHS[api].format(offer)
        headers = self.credentials(path) | ({"x-idempotency-key": key} if key else {})
        return self.post(path, headers=headers, body=body, **more)

    def status(self, offer: str = "OFFER-1") -> str:
        """Return the status of the quote package of *offer*."""
        path = f"/x/partners/LLODT/quotes/{offer}/"
        return str(self.post(path, method="GET").json()["status"])


@contextmanager
def calling(sandbox: Sandbox) -> Iterator[Caller]:
    """Start *sandbox*, yield a caller of it, and stop it."""
    with sandbox.start(), Caller(sandbox) as caller:
        yield caller
