"""An insurer that is silent, drips or refuses for long: one deadline each, one probe after.

Each test waits for the deadline or for a probe, half a minute, so all of it is thorough.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.register import all_are, attempts, paused, read, reports, until_delivered
from tests.faults.special_clusters import ElsewhereCluster, assert_one_effect, running

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

OFFERS = [f"offer-{number}" for number in range(20)]
# What never comes to an end by itself, within any patience.
ENDLESS: dict[str, dict[str, Any]] = {
    "silent": {"fault": "hang", "seconds": 600.0},
    "locked": {"fault": "hang", "seconds": 600.0, "locked": True},
    "drip-head": {"fault": "drip_head"},
    "drip-body": {"fault": "drip_body", "pause": 2.0},
    "interim": {"fault": "endless_interim"},
}


@contextmanager
def _a_black_hole() -> Iterator[int]:
    """A port that never takes a connection: its queue is full, so the kernel answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003  # the only name of it
            one.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


@pytest.fixture
def cluster(tmp_path: Path, database: str) -> Iterator[Cluster]:
    """Partners with an insurer that is slow, one that can not be reached and one that is well."""
    partners: dict[str, dict[str, str]] = {"SLOW": {}, "HOLE": {}, "CALM": {}}
    with _a_black_hole() as port:
        bases = {"HOLE": f"http://127.0.0.1:{port}/x"}
        made = ElsewhereCluster(tmp_path, database, partners=partners, bases=bases)
        with running(made):
            made.start_web()
            yield made


def test_every_attempt_ends_at_the_deadline(cluster: Cluster) -> None:
    """Whatever an insurer does with an attempt, it is over in time, and tried again."""
    for offer, rule in ENDLESS.items():
        cluster.fault(**rule, partner="SLOW", match={"offer": offer}, times=1)
    cluster.decline_all(list(ENDLESS), "SLOW")
    cluster.say("hole", partner="HOLE")
    until(lambda: len(cluster.received(partner="SLOW")) == len(ENDLESS), "all to be under way")
    cluster.decline_all(OFFERS, "CALM")
    until(all_are(cluster, "delivered", "CALM"), "the others'")
    assert set(reports(cluster, "SLOW").values()) == {"sending"}

    until(lambda: attempts(cluster, "hole", "HOLE"), "the deadline")
    for offer in ENDLESS:
        until(lambda one=offer: attempts(cluster, one, "SLOW"), "the deadline")
        assert attempts(cluster, offer, "SLOW")[0]["outcome"] == "timed_out", offer
    assert attempts(cluster, "hole", "HOLE")[0]["outcome"] == "timed_out"
    doubtful = read(cluster, "SELECT offer FROM offers WHERE unknown_at IS NOT NULL")
    assert {row["offer"] for row in doubtful} == set(ENDLESS)

    # A key that is still being worked on is answered 423 until the insurer has let go of it.
    until(lambda: {"silent", "drip-head", "drip-body", "interim"} <= _done(cluster), "the rest")
    for offer in set(ENDLESS) - {"locked"}:
        assert_one_effect(cluster.received(offer, "SLOW"))
    *_, again = cluster.received("locked", "SLOW")
    assert again["status"] in (423, None)


def _done(cluster: Cluster) -> set[str]:
    return {offer for offer, report in reports(cluster, "SLOW").items() if report == "delivered"}


def test_a_credential_that_works_again_is_used_again(make_cluster: Make, database: str) -> None:
    """A probe finds out; and a row that alone is refused is given up when others pass."""
    cluster = make_cluster(database, partners={"HEALED": {}, "ALONE": {}})
    cluster.start_web()
    cluster.fault("status", partner="HEALED", status=403)
    cluster.fault("status", partner="ALONE", status=403, match={"offer": "alone"})
    for name in ("HEALED", "ALONE"):
        cluster.say("alone", partner=name)
        until(lambda one=name: attempts(cluster, "alone", one), "the 403")
        cluster.decline_all(OFFERS, name)
    assert len(paused(cluster)) == 2

    until(lambda: set(reports(cluster, "ALONE").values()) == {"delivered", "dead"}, "the probe")
    assert len(cluster.received("alone", "ALONE")) == 1
    assert reports(cluster, "ALONE")["alone"] == "dead"
    # Only a second refusal, of another row, tells that it is the credential's fault.
    until(lambda: len(cluster.received(partner="HEALED")) == 2, "the other probe")
    cluster.heal("HEALED")
    with suppress(AssertionError):  # the next probe comes a minute later
        until_delivered(cluster, "HEALED")
    until_delivered(cluster, "HEALED")
    assert paused(cluster) == []
