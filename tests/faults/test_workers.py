"""Several web processes and workers on one PostgreSQL."""

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster


def test_trial(cluster: Cluster) -> None:
    """It works."""
    assert cluster.say("offer-1").status_code == 202
    until(lambda: cluster.delivered() == {"offer-1"}, "the delivery")
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "delivered")
