"""A partner beside one whose insurer hangs: three workers on PostgreSQL, 10,000 declines due."""

import time
from collections.abc import Iterator

from bench.deployed import deployed
from bench.progress import say
from bench.row import Row, measured, percentile
from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster

HANGING, QUICK = 10_000, 1_000
REACH_MS = 1_000


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the row of the table."""
    hang, count = (200, 50) if quick else (HANGING, QUICK)
    with deployed("PostgreSQL", workers=3, partners={"ACME": {}, "OTHER": {}}) as cluster:
        say(f"hanging: {hang} declines at an insurer that hangs, {count} at another")
        cluster.fault("hang", seconds=20.0)
        cluster.decline_all([f"hangs-{number}" for number in range(hang)])
        until(lambda: len(cluster.received()) >= 8, "the insurer to hang")
        late = _late(cluster, count)
    p95 = [percentile(late, 95)]
    yield measured("beside a hanging one, p95", p95, "ms", digits=0, at_most=REACH_MS)


def _late(cluster: Cluster, count: int) -> list[float]:
    """Return how many ms after it was said each decline of the other partner arrived."""
    said = {}
    for number in range(count):
        assert cluster.say(f"quick-{number}", partner="OTHER").status_code == 202
        said[f"quick-{number}"] = time.time() * 1000
    until(lambda: cluster.delivered("OTHER") == set(said), "the other's deliveries")
    arrived = {one["offer"]: one["received_at"] for one in cluster.received(partner="OTHER")}
    return [arrived[offer] - at for offer, at in said.items()]
