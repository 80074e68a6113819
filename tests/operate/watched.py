"""Reads what a process says of itself, as a monitor does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.acceptance.deployment import PATIENCE_S
from tests.faults.cluster import Cluster

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Monitor:
    """One scrape after the other of one private listener."""

    def __init__(self, url: str) -> None:
        self.url = url

    def text(self) -> str:
        """Return what /metrics says, over a connection of its own."""
        answer = requests.get(f"{self.url}/metrics", timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.text

    def series(self) -> Series:
        """Return every value by name and labels."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series called *name* that have *labels*."""
        wanted = set(labels.items())
        return sum(v for (n, found), v in self.series().items() if n == name and wanted <= found)

    def asked(self, path: str) -> tuple[int, Any]:
        """Return status and document of another call."""
        answer = requests.get(f"{self.url}{path}", timeout=PATIENCE_S)
        return answer.status_code, answer.json()


@contextmanager
def a_cluster(
    folder: Path, database: str = "sqlite:///optout.db", **more: Any
) -> Iterator[Cluster]:
    """Yield a cluster with its insurers running and its database migrated."""
    cluster = Cluster(folder, database, **more)
    try:
        if not cluster.is_embedded:
            register = Database(database, wall)
            migrate.upgrade(register)
            register.dispose()
        cluster.start_insurers()
        yield cluster
    finally:
        cluster.end()
