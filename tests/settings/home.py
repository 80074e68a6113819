"""A folder with a configuration file and its secrets, as an operator keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.settings import Settings, load
from proxy.tokens import new_secret

KEY_HASH = f"sha256:{'ab' * 32}"

BASE = f"""\
audience = "optout-proxy:test"
public_url = "https://proxy.shop.example"

[partners.ACME]
origins = ["https://shop.example"]
signing_keys = [{{ kid = "acme-2026a", secret_file = "secrets/acme-2026a" }}]
server_key_hashes = ["{KEY_HASH}"]

[partners.ACME.upstreams.tickets]
api = "xcover-offers"
partner_code = "LLODT"
hmac = {{ api_key_file = "secrets/key", api_secret_file = "secrets/secret" }}
"""

ELEMENTS = """
[partners.ACME.upstreams.elements]
api = "xone-offers"
partner_code = "LLODT"
oauth = { client_id_file = "secrets/id", client_secret_file = "secrets/secret" }
"""

CUSTOM = """
[partners.ACME.upstreams.other]
api = "custom"
base_url = "https://api.insurer.example"
partner_code = "LLODT"
path = "/v2/{partner_code}/declined/{offer}"
auth = "oauth"
oauth = { client_id_file = "secrets/id", client_secret_file = "secrets/secret" }
"""

OTHER_PARTNER = """
[partners.OTHER]
origins = ["https://other.example"]
signing_keys = [{ kid = "other-2026a", secret_file = "secrets/acme-2026a" }]

[partners.OTHER.upstreams.tickets]
api = "xcover-bookings"
partner_code = "OTHER"
hmac = { api_key_file = "secrets/key", api_secret_file = "secrets/secret" }
"""


@dataclass(frozen=True)
class Home:
    """The folder; `config` is the file in it."""

    folder: Path

    @property
    def config(self) -> Path:
        """Where the configuration is."""
        return self.folder / "optout.toml"

    def write(self, text: str = BASE) -> Path:
        """Write the configuration and return its file."""
        self.config.write_text(text, "utf-8")
        return self.config

    def secret(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a secret file and return it."""
        path = self.folder / "secrets" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
        path.chmod(mode)
        return path

    def load_again(self) -> Settings:
        """Read the configuration as it lies there."""
        return load(self.config, {})

    def load(self, text: str = BASE, environ: Mapping[str, str] | None = None) -> Settings:
        """Write the configuration and read it."""
        return load(self.write(text), environ or {})

    def refusal(self, text: str) -> list[str]:
        """Return the lines of the refusal of *text*, each without the name of the file."""
        with pytest.raises(ConfigurationError) as refused:
            self.load(text)
        return [line.removeprefix("optout.toml: ") for line in str(refused.value).splitlines()]


def at(folder: Path) -> Home:
    """Return a home in *folder* with the configuration BASE and good secrets."""
    home = Home(folder)
    home.write()
    home.secret("acme-2026a", new_secret())
    for name in ("key", "secret", "id"):
        home.secret(name, f"the {name} of a test")
    return home
