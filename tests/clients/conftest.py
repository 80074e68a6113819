"""One proxy for all clients, nginx in front of it, and a Redis of the test's own."""

from collections.abc import Iterator

import pytest

from tests.clients.front import Behind, Nginx
from tests.clients.store import Store
from tests.faults.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A `serve` that believes what nginx on this machine says of its callers."""
    top = {
        "trusted_proxies": '["127.0.0.1/32"]',
        "limits": '{ token = "off", prefix = "9/hour", partner = "off" }',
    }
    cluster = Cluster(tmp_path_factory.mktemp("clients"), top=top)
    try:
        cluster.start_insurers()
        cluster.start_web()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="session")
def nginx(cluster: Cluster) -> Iterator[Nginx]:
    """The nginx that the deployment ships, in front of the proxy."""
    with Nginx(cluster.ports["web"][0]) as nginx:
        yield nginx


@pytest.fixture
def behind() -> Iterator[Behind]:
    """What takes requests and never answers."""
    with Behind() as behind:
        yield behind


@pytest.fixture
def broken(behind: Behind) -> Iterator[Nginx]:
    """The same nginx in front of what never answers."""
    with Nginx(behind.port) as nginx:
        yield nginx


@pytest.fixture
def store() -> Iterator[Store]:
    """A Redis that nobody else uses."""
    with Store() as store:
        yield store
