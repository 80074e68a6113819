"""Which call a path means, to the slash: a wrong slash is no call at all, and never a redirect."""

import re
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["hmac", "oauth", "none"]

_PARTNER = "/partners/(?P<partner>[^/]+)"
_OFFER = "(?P<offer>[^/]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the insurer's API, with what its path names."""

    name: str
    scheme: Scheme
    method: str
    partner: str = ""
    offer: str = ""

    @property
    def allow(self) -> str:
        """The value of the Allow header."""
        return f"{self.method}, OPTIONS"

    @property
    def api(self) -> str | None:
        """The name of the opt-out API, or None if this is another call."""
        return self.name if self.name in OPT_OUTS else None


OPT_OUTS: dict[str, tuple[Scheme, str]] = {
    "xcover-offers": ("hmac", f"{_PARTNER}/offers/{_OFFER}/opt_out/"),
    "xcover-bookings": ("hmac", f"{_PARTNER}/bookings/{_OFFER}/opt_out"),
    "xone-offers": ("oauth", f"/api{_PARTNER}/offers/{_OFFER}/opt-out"),
    "xone-quotes": ("oauth", f"/api{_PARTNER}/quotes/{_OFFER}/opt-out"),
    "xcover-renewals": ("hmac", f"{_PARTNER}/renewals/{_OFFER}/opt_out/"),
}

_OTHERS: tuple[tuple[str, Scheme, str, str], ...] = (
    ("token", "none", "POST", "/api/oauth/token"),
    ("quote", "hmac", "GET", f"{_PARTNER}/quotes/{_OFFER}/"),
    ("booking", "hmac", "POST", f"{_PARTNER}/bookings/{_OFFER}/"),  # confirms: a purchase
)


class Routes:
    """The calls of the API, the HMAC ones under *prefix*."""

    def __init__(self, prefix: str) -> None:
        rows = [(name, scheme, "POST", path) for name, (scheme, path) in OPT_OUTS.items()]
        self._rows = [
            (name, scheme, method, re.compile(self._base(scheme, prefix) + path))
            for name, scheme, method, path in [*rows, *_OTHERS]
        ]

    @staticmethod
    def _base(scheme: Scheme, prefix: str) -> str:
        return re.escape(prefix) if scheme == "hmac" else ""

    def find(self, path: str) -> Call | None:
        """Return the call that *path* means, None if there is none."""
        for name, scheme, method, pattern in self._rows:
            if match := pattern.fullmatch(path):
                return Call(name=name, scheme=scheme, method=method, **match.groupdict())
        return None
