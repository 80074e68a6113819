"""The public listener on a register in memory, with a clock that the test holds."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry

from proxy.receipts import Signer
from proxy.web.public import create_public
from tests.web.deployment import Clock, Deployment, Files, a_configuration
from tests.web.memory import MemoryIntake


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The files of a deployment of its own."""
    files = Files(tmp_path)
    files.write()
    return files


@pytest.fixture
def intake() -> MemoryIntake:
    """What stands in for the register: pass another one in to run these tests against it."""
    return MemoryIntake()


@pytest.fixture
def signer() -> Signer:
    """A signer of receipts with a key of its own."""
    return Signer(Ed25519PrivateKey.generate(), "optout-proxy:test")


@pytest.fixture
def registry() -> CollectorRegistry:
    """What counts refusals."""
    return CollectorRegistry()


@pytest.fixture
def deployment(
    files: Files, intake: MemoryIntake, signer: Signer, registry: CollectorRegistry
) -> Deployment:
    """The public listener, and the means of those who call it."""
    clock = Clock()
    configuration = a_configuration(files)
    public = create_public(configuration, intake, signer, clock, registry)
    return Deployment(files, configuration, intake, clock, public.test_client())
