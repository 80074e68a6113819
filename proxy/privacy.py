"""Personal data: encrypted per row under a weekly key that lies outside the database.

Destroying a week's key makes every copy unreadable, also those in backups.
"""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.choices import Delivery, Outcome
from proxy.durable import make_folder, sync_folder, write_new
from proxy.errors import ConfigurationError
from proxy.register import Offer
from proxy.upstreams import PERSONAL_FIELDS

log = structlog.get_logger()

KEY_LIFE = timedelta(days=8)  # a week of use and a day for what it sealed last
_NONCE_BYTES = 12  # NIST SP 800-38D
_PERSONAL = '{"customer":'  # how a body begins that holds personal data
_NEVER_SENT = ("token_failed", "unsafe_url")  # their words are of something else


class CustomerKeys:
    """The weekly keys in one folder; safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, customer: Mapping[str, str], row: str, now_ms: int) -> tuple[bytes, str]:
        """Return *customer* encrypted for *row* only, and the name of the key."""
        name = _week(now_ms)
        nonce = os.urandom(_NONCE_BYTES)
        plain = json.dumps(dict(customer), sort_keys=True).encode()
        return nonce + self._cipher(name, make=True).encrypt(nonce, plain, row.encode()), name

    def open_for(self, offer: Offer) -> dict[str, str]:
        """Return the customer of *offer*; nothing where there is none or its key is destroyed."""
        if offer.customer is None or offer.customer_key is None:
            return {}
        return self.open(offer.customer, offer.customer_key, row_name(offer))

    def seal_for(self, offer: Offer, customer: Mapping[str, str], now_ms: int) -> Offer:
        """Return *offer* with *customer* encrypted in it, unless its body is frozen already."""
        if not customer or offer.body is not None:
            return offer
        sealed, name = self.seal(customer, row_name(offer), now_ms)
        return offer._replace(customer=sealed, customer_key=name)

    def open(self, sealed: bytes, name: str, row: str) -> dict[str, str]:
        """Return what was sealed for *row*; nothing once its key is destroyed, lost or damaged.

        The decline is reported without it: it must not wait for what can not come back.
        """
        try:
            cipher = self._cipher(name, make=False)
            plain = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], row.encode())
        except (OSError, ValueError, InvalidTag, ConfigurationError) as error:
            log.warning("customer.unreadable", key=name, error=type(error).__name__)
            return {}
        customer: dict[str, str] = json.loads(plain)
        return customer

    def destroy_old(self, now_ms: int) -> list[str]:
        """Destroy every key whose week began more than 8 days ago; return their names.

        Several processes may do so at once, and each may hold in memory what another destroyed.
        """
        oldest = datetime.fromtimestamp(now_ms / 1000, UTC) - KEY_LIFE
        with self._lock:
            for name in [name for name in self._ciphers if _began(name) < oldest]:
                del self._ciphers[name]
        old = [path for path in self._folder.glob("*.key") if _began(path.stem) < oldest]
        return [path.stem for path in old if _overwrite(path)]

    def _cipher(self, name: str, *, make: bool) -> AESGCM:
        with self._lock:
            if name not in self._ciphers:
                path = self._folder / f"{name}.key"
                if make and not path.exists():
                    _make(path)
                self._ciphers[name] = AESGCM(_read(path))
            return self._ciphers[name]


def opened(keys: CustomerKeys | None, offer: Offer) -> tuple[Offer, dict[str, str]]:
    """Return *offer* as it is sent, with its customer.

    Where that can not be opened it goes without, now and for ever: one key never has two bodies.
    """
    customer = keys.open_for(offer) if keys else {}
    return (offer if customer else offer._replace(customer=None, customer_key=None)), customer


def is_other(keys: CustomerKeys | None, offer: Offer) -> bool:
    """True where a request that may have arrived held a customer that is lost by now.

    The insurer may know the key with that body.
    """
    if offer.unknown_at is None or offer.customer is None:
        return False
    return not (keys and keys.open_for(offer))


def note_of(delivery: Delivery, outcome: Outcome) -> str | None:
    """Return what a fact keeps of the insurer's words on *delivery*.

    If that held personal data, only which fields they name: they may quote a value in a spelling
    of their own, and a fact can not be erased.
    """
    if outcome.reason in _NEVER_SENT or not delivery.body.startswith(_PERSONAL):
        return outcome.detail or None
    return ", ".join(name for name in PERSONAL_FIELDS if name in outcome.detail) or None


def row_name(offer: Offer) -> str:
    """Return what binds a ciphertext to its row: moved to another row it can not be opened."""
    return f"{offer.partner}\n{offer.upstream}\n{offer.offer}"


def _week(now_ms: int) -> str:
    """Return the ISO week, such as 2026-W47."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%G-W%V")


def _began(week: str) -> datetime:
    try:
        return datetime.strptime(f"{week}-1", "%G-W%V-%u").replace(tzinfo=UTC)
    except ValueError:  # a file that is not ours is not ours to destroy
        return datetime.max.replace(tzinfo=UTC)


def _make(path: Path) -> None:
    make_folder(path.parent)
    with suppress(FileExistsError):  # another process made it first
        write_new(path, AESGCM.generate_key(bit_length=256))


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o007:
        raise ConfigurationError(f"{path} is readable by everyone; run `chmod 600 {path}`.")
    return path.read_bytes()


def _overwrite(path: Path) -> bool:
    """Make the key unreadable before its name goes: the file's blocks may live on.

    False if another process was first.
    """
    try:
        with path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True
