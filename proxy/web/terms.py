"""The settings in force, prepared for judging requests. Knows no request."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Lock
from typing import Self
from urllib.parse import urlsplit

import structlog

from proxy.errors import ConfigurationError
from proxy.reload import Configuration
from proxy.settings import PartnerSetting, Settings
from proxy.tokens import Keyring

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

_INDEX = 4  # bytes of a key's digest that find its candidates; the rest is compared in full


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the settings say about requests, in the form that judging them needs."""

    settings: Settings
    host: str  # the one that the public listener answers to
    origins: frozenset[str]
    keyring: Keyring
    proxies: Networks  # peers whose X-Forwarded-For is believed
    _server_keys: Mapping[bytes, list[tuple[bytes, PartnerSetting]]]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Prepare *settings*; raise ConfigurationError if a signing secret is unfit."""
        return cls(
            settings=settings,
            host=urlsplit(settings.public_url).netloc,
            origins=frozenset(settings.origins),
            keyring=Keyring.from_settings(settings),
            proxies=networks(settings.trusted_proxies),
            _server_keys=_server_keys(settings),
        )

    def partner_of(self, key: str) -> PartnerSetting | None:
        """Return the partner whose server key *key* is."""
        digest = hashlib.sha256(key.encode()).digest()
        found = None
        for known, partner in self._server_keys.get(digest[:_INDEX], ()):
            if hmac.compare_digest(known, digest):
                found = partner
        return found


class InForce:
    """The terms of the settings that are in force now; safe to ask from many threads."""

    def __init__(self, configuration: Configuration) -> None:
        configuration.require(Terms.of)  # a reload with an unfit secret changes nothing
        self._configuration = configuration
        self._terms = Terms.of(configuration.current)
        self._refused: Settings | None = None
        self._lock = Lock()

    def __call__(self) -> Terms:
        """Return the terms; those of before while a secret of the new settings is unfit."""
        settings = self._configuration.current
        if settings is self._terms.settings or settings is self._refused:
            return self._terms
        with self._lock:
            return self._renew(settings)

    def _renew(self, settings: Settings) -> Terms:
        if settings is self._terms.settings or settings is self._refused:
            return self._terms
        try:
            self._terms = Terms.of(settings)
        except ConfigurationError as error:
            self._refused = settings
            structlog.get_logger("proxy.web").error("settings.refused", reason=str(error))
        return self._terms


def networks(texts: tuple[str, ...]) -> Networks:
    """Return the networks that *texts* name."""
    return tuple(ip_network(text) for text in texts)


@lru_cache(maxsize=4096)
def address(text: str) -> Address | None:
    """Return the address that *text* is; an IPv4 address in IPv6 clothes is undressed."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_within(found: Address, nets: Networks) -> bool:
    """Tell whether *found* lies in one of *nets*."""
    return any(found in net for net in nets)


def _server_keys(settings: Settings) -> dict[bytes, list[tuple[bytes, PartnerSetting]]]:
    index: dict[bytes, list[tuple[bytes, PartnerSetting]]] = {}
    for partner in settings.partners.values():
        for text in partner.server_key_hashes:
            digest = bytes.fromhex(text.removeprefix("sha256:"))
            index.setdefault(digest[:_INDEX], []).append((digest, partner))
    return index
