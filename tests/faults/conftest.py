"""Clusters on both engines; each test's processes end with it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.faults.cluster import Cluster
from tests.faults.postgres import Postgres, a_server

_numbers = itertools.count(1)
Make = Callable[..., Cluster]


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[Postgres]:
    """One server for all tests that do it no harm."""
    with a_server() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server for a test that does it harm."""
    with a_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: on each engine, in the fast pass on the embedded one."""
    if request.param == "sqlite":
        return "sqlite:///optout.db"
    server: Postgres = request.getfixturevalue("shared_postgres")
    return server.create_database(f"faults_{next(_numbers)}")


@pytest.fixture
def postgres_url(shared_postgres: Postgres) -> str:
    """The URL of an empty database on the shared server, for what only several machines do."""
    return shared_postgres.create_database(f"faults_{next(_numbers)}")


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Make]:
    """Build clusters; `make(url, partners=…)` is migrated and has its insurers running."""
    made: list[Cluster] = []

    def make(database: str, **options: Any) -> Cluster:
        folder = tmp_path / f"cluster-{len(made)}"
        folder.mkdir()
        cluster = Cluster(folder, database, **options)
        made.append(cluster)
        if not database.startswith("sqlite"):
            register = Database(database, wall)  # here, because a process of its own is slow
            migrate.upgrade(register)
            register.dispose()
        cluster.start_insurers()
        return cluster

    yield make
    for cluster in made:
        cluster.end()


@pytest.fixture
def cluster(make_cluster: Make, database: str) -> Cluster:
    """One partner, a web process with the worker inside, on each engine."""
    cluster = make_cluster(database)
    cluster.start_web()
    return cluster


@pytest.fixture
def whole(make_cluster: Make, database: str) -> Cluster:
    """A web process and a worker, in one process on SQLite."""
    cluster = make_cluster(database)
    cluster.start()
    return cluster
