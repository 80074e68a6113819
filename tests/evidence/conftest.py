"""A register on each engine, and a deployment that commands can be run in."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy import migrate
from proxy.database import Database
from proxy.receipts import Signer, load_signing_key
from tests.core.conftest import (  # noqa: F401  # fixtures of these tests too
    Clock,
    Register,
    clock,
    database,
    make_register,
    postgres,
    register,
    url,
)
from tests.evidence.filled import fill
from tests.evidence.sealed import Record
from tests.settings.home import Home, at

MONDAY = 1_780_272_000_000  # 2026-06-01, midnight UTC


@dataclass(frozen=True)
class Deployment:
    """A home with a register that is full, its keys, and where they are published."""

    home: Home
    database: Database
    clock: Clock
    keys: Path

    def fill(self, days: int, scale: float) -> None:
        """Record offers of so many days."""
        self.database.start()
        fill(self.database, self.clock, days, scale)
        self.database.stop()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Two weeks of four shops' offers; tests only read it."""
    deployment = _deploy(tmp_path_factory.mktemp("filled"))
    deployment.fill(days=14, scale=0.2)
    return deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A deployment with an empty register, to do with as the test likes."""
    return _deploy(tmp_path)


def _deploy(folder: Path) -> Deployment:
    home = at(folder)
    home.secret("audit", "YXVkaXQga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXMgYXQgbGVhc3Q")  # that is KEY
    key, _ = load_signing_key(folder / "secrets" / "signing.pem")
    keys = publish(folder / "choice-keys.json", Signer(key, "optout-proxy:test"))
    time = Clock(MONDAY)
    made = Database(f"sqlite:///{folder / 'optout.db'}", time, server_time=False)
    migrate.upgrade(made)
    return Deployment(home=home, database=made, clock=time, keys=keys)


@pytest.fixture
def record(register: Register, tmp_path: Path) -> Record:  # noqa: F811  # the fixture above
    """A register that is sealed and removed from, one on each engine."""
    return Record(register, tmp_path)


def publish(path: Path, signer: Signer) -> Path:
    """Write what /.well-known/choice-keys.json would answer."""
    path.write_text(json.dumps(signer.public_keys()), "utf-8")
    return path
