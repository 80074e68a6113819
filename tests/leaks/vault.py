"""Every secret of a deployment, made for one run, and the search for each in every spelling."""

import base64
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.evidence import canary

MARK = "Qzvxwk"  # of the customer


@dataclass(frozen=True)
class Hit:
    """A secret that stands where it may not."""

    secret: str
    place: str
    spelling: str


@dataclass
class Vault:
    """Secrets by name; what is learnt while the run goes on is added."""

    texts: dict[str, str] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)  # that are no text
    allowed: dict[str, tuple[str, ...]] = field(default_factory=dict)  # beginnings of places

    def add(self, name: str, text: str, *allowed: str) -> str:
        """Keep *text* as secret everywhere but at *allowed* places; return it."""
        self.texts[name] = text
        self.allowed[name] = (*self.allowed.get(name, ()), *allowed)
        return text

    def __getitem__(self, name: str) -> str:
        return self.texts[name]

    def hits(self, evidence: Mapping[str, bytes]) -> set[Hit]:
        """Return every secret that stands in any place that may not hold it."""
        return {
            Hit(name, place, spelling)
            for name, spelt_ways in self._needles()
            for spelling, spelt in spelt_ways.items()
            for place, content in evidence.items()
            if spelt in content and not place.startswith(self.allowed.get(name, ()))
        }

    def _needles(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        yield from ((name, _spellings(text)) for name, text in list(self.texts.items()))
        yield from ((name, _of_bytes(key)) for name, key in self.keys.items())


def filled() -> Vault:
    """Return a vault with all that a deployment is told; two have signs that encoders escape."""
    vault = Vault()
    for name in ("signing", "next signing"):
        vault.add(name, f"ots_test_{_b64(os.urandom(32))}")
    vault.add("server key", f"osk_live_{secrets.token_urlsafe(32)}")
    vault.add("api key", f"ak-{secrets.token_hex(16)}")
    vault.add("api secret", f'as"{secrets.token_hex(8)}/+\\%&={secrets.token_hex(8)}')
    vault.add("next api secret", _random())
    vault.add("client id", f"ci-{secrets.token_hex(12)}")
    vault.add("client secret", f'cs"{secrets.token_hex(8)}/é\\%&={secrets.token_hex(8)}')
    vault.add("audit key", _b64(os.urandom(32)))
    vault.add("database password", _random())
    vault.add("redis password", _random())
    vault.add("webhook path", _random())
    vault.add("webhook secret", f"whsec_{base64.b64encode(os.urandom(32)).decode()}")
    for number, text in enumerate(canary.texts(canary.customer(MARK))):
        vault.add(f"customer {number}", text)
    return vault


def below(
    folder: Path, *, leave: Iterable[Path], since: float = 0.0
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files below *folder* that were written later than *since*."""
    left = tuple(leave)
    for path, content in canary.files(folder):
        if path.stat().st_mtime >= since and not any(path.is_relative_to(one) for one in left):
            yield str(path.relative_to(folder)), content


def pem_body(path: Path) -> str:
    """Return the line of a PEM file that is the key."""
    return path.read_text().splitlines()[1]


def _spellings(text: str) -> dict[str, bytes]:
    core = text.removeprefix("ots_test_").removeprefix("osk_live_").removeprefix("whsec_")
    spelt = canary.spellings(text) | {"without its prefix": core.encode()}
    if text.startswith("ots_test_"):
        spelt |= _of_bytes(base64.urlsafe_b64decode(core + "="))
    return spelt


def _of_bytes(key: bytes) -> dict[str, bytes]:
    return {"bytes": key, "hex of bytes": key.hex().encode(), "base64 of bytes": _b64(key).encode()}


def _random() -> str:
    return f"z9{secrets.token_urlsafe(24)}"  # one without a digit would look like a word


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
