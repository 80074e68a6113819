"""What the signature of an export states, and the keys that the deployment states it with."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from proxy import __version__, export, funnel
from proxy.clocks import time_of, wall
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.settings import Settings


class Passing:
    """Counts and hashes what passes through it on its way out."""

    def __init__(self) -> None:
        self._size = self._lines = 0
        self._digest = hashlib.sha256()

    def through(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield *lines* as they are."""
        for line in lines:
            self._size += len(line)
            self._lines += line.count(b"\n")
            self._digest.update(line)
            yield line

    @property
    def written(self) -> export.Written:
        """Return what has passed so far."""
        digest = self._digest.hexdigest()
        return export.Written(size=self._size, lines=self._lines, sha256=digest)


def begun(settings: Settings, wanted: funnel.Wanted, kind: str, *, orders: bool) -> dict[str, Any]:
    """Return what is known of an export before it is made."""
    columns = [*export.COLUMNS, *([export.ORDER] if orders else [])]
    return {
        "v": 1,
        "deployment": settings.audience,
        "format": kind,
        "columns": columns,
        "partner": wanted.partner,
        "made_at": time_of(wall()),
        "made_with": f"optout-proxy {__version__}",
    }


def ended(
    statement: dict[str, Any], written: export.Written, complete: funnel.Completeness
) -> dict[str, Any]:
    """Return *statement* with what the file has turned out to be."""
    return statement | {
        "bytes": written.size,
        "lines": written.lines,
        "sha256": written.sha256,
        "rows": written.lines - (statement["format"] == "csv"),
        "completeness": complete.told,
    }


def period(wanted: funnel.Wanted, found: tuple[date, date] | None) -> dict[str, str | None]:
    """Return the first and the last day asked for; where none was named, that of an offer."""
    first, last = (wanted.first, wanted.last) if found is None else found
    first, last = wanted.first or first, wanted.last or last
    return {
        "from": first.isoformat() if first else None,
        "to": last.isoformat() if last else None,
    }


def ledger_of(settings: Settings) -> Ledger:
    """Return the ledger under the key that is on disk; one made anew would be known to nobody."""
    if not settings.audit_key_file.exists():
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    return Ledger(load_audit_key(settings.audit_key_file)[0])


def signer_of(settings: Settings) -> tuple[Any, Signer]:
    """Return the signing key and its published half; one made anew would be known to nobody."""
    if not settings.signing_key_file.exists():
        raise ConfigurationError(f"{settings.signing_key_file} is gone; restore it.")
    key, _ = load_signing_key(settings.signing_key_file)
    return key, Signer(key, settings.audience)
