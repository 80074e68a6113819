"""Real processes on loopback, ended with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment


@pytest.fixture
def deployment(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A running sandbox and a running proxy; a parameter sets values of the upstream."""
    deployment = Deployment(tmp_path, **getattr(request, "param", {}))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.end()
