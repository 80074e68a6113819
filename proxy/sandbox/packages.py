"""Quote packages: what was offered, and whether it was opted out of or booked."""

import hashlib
import re
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from proxy.sandbox.options import SandboxOptions

_WELL_FORMED = re.compile("[A-Za-z0-9-]{1,64}")
_STRICT = re.compile("[A-Z0-9]{4,5}-[A-Z0-9]{4,5}-INS|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_LETTERS = string.ascii_uppercase + string.digits


def timestamp(at: int) -> str:
    """Return *at* (ms) as the insurer writes times."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def reference(offer: str) -> str:
    """Return the INS number of *offer*, always the same one."""
    if offer.endswith("-INS"):
        return offer
    letters = [_LETTERS[byte % 36] for byte in hashlib.sha256(offer.encode()).digest()[:10]]
    return f"{''.join(letters[:5])}-{''.join(letters[5:])}-INS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One quote package; opting out changes its status, and nothing of its quotes."""

    id: str
    created_at: int  # ms
    status: str = "RECEIVED"
    opted_out_at: int | None = None  # ms

    def as_xcover(self, partner: str) -> dict[str, Any]:
        """Return the answer of `GET quotes/{id}/`; `updated_at` is not touched by an opt-out."""
        created = timestamp(self.created_at)
        quote = hashlib.sha256(self.id.encode()).hexdigest()
        quotes = [
            {"id": f"{quote[:8]}-{quote[8:12]}-4{quote[13:16]}-a{quote[17:20]}-{quote[20:32]}"}
        ]
        return {
            "id": self.id,
            "ins_number": reference(self.id),
            "status": self.status,
            "partner": {"code": partner},
            "currency": "USD",
            "quotes": [{**quotes[0], "status": "RECEIVED"}],
            "created_at": created,
            "updated_at": created,
        }

    def as_xone(self) -> dict[str, Any]:
        """Return `data` as the older Elements API prints it after an opt-out."""
        ins = reference(self.id)
        changed_at = self.created_at if self.opted_out_at is None else self.opted_out_at
        return {
            "provider_reference": ins,
            "currency": "AUD",
            "language": "en",
            "expires_at": timestamp(self.created_at + 60 * 24 * 3600 * 1000),
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(changed_at),
            "security_token": None,
            "is_fast_quote": False,
            "opted_out_at": None if self.opted_out_at is None else timestamp(self.opted_out_at),
            "source": None,
            "booking": None,
            "id": self.id,
            "total_price": 81.8,
            "total_price_formatted": "A$81.80",
            "pds_url": f"https://www.xcover.com/en/pds/{ins}",
        }


class Packages:
    """All quote packages of the partner, made when they are first asked for."""

    def __init__(self, options: SandboxOptions, clock: Callable[[], int]) -> None:
        self._options = options
        self._clock = clock
        self._lock = Lock()
        self._found: dict[str, Package] = {}

    def knows(self, offer: str) -> bool:
        """Return whether there is a package with this id."""
        if not (_STRICT if self._options.strict_ids else _WELL_FORMED).fullmatch(offer):
            return False
        return self._options.known_offers is None or offer in self._options.known_offers

    def find(self, offer: str) -> Package:
        """Return the package of *offer*."""
        with self._lock:
            return self._find(offer)

    def opt_out(self, offer: str) -> Package:
        """Write down that *offer* was declined; a booked one stays booked."""
        with self._lock:
            package = self._find(offer)
            status = package.status if package.status == "CONFIRMED" else "OPTED_OUT"
            self._found[offer] = replace(package, status=status, opted_out_at=self._clock())
            return self._found[offer]

    def confirm(self, offer: str) -> bool:
        """Book *offer*, also after an opt-out; return False if it was booked before."""
        with self._lock:
            package = self._find(offer)
            self._found[offer] = replace(package, status="CONFIRMED")
            return package.status != "CONFIRMED"

    def confirmed(self) -> list[str]:
        """Return the ids of all booked packages."""
        with self._lock:
            return [
                offer for offer, package in self._found.items() if package.status == "CONFIRMED"
            ]

    def clear(self) -> None:
        """Forget what happened to every package."""
        with self._lock:
            self._found.clear()

    def _find(self, offer: str) -> Package:
        return self._found.setdefault(offer, Package(id=offer, created_at=self._clock()))
