"""The log of a running process: which request and which delivery each line belongs to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import ORIGIN, Cluster
from tests.operate.watched import Monitor, a_cluster


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Cluster]:
    """One `serve` on SQLite with one thread for requests and two for reports."""
    with a_cluster(tmp_path) as cluster:
        cluster.start_web("web", "--threads", "1", "--senders", "2")
        yield cluster


def lines(cluster: Cluster, event: str) -> list[dict[str, Any]]:
    """Return the lines that tell of *event*."""
    text = cluster.processes["web"].log.read_text()
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def expose(cluster: Cluster) -> str:
    """Send a server key from a page, as nobody should; return the request's id."""
    answer = requests.post(
        f"{cluster.url()}/v1/choices",
        json={},
        headers=cluster.headers() | {"Origin": ORIGIN},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 403
    request_id: str = answer.json()["request_id"]
    return request_id


def test_a_line_has_the_id_that_its_answer_quotes(served: Cluster) -> None:
    """Each request has its own, though one thread has answered all."""
    ids = [expose(served) for _ in range(3)]
    until(lambda: len(lines(served, "server_key.exposed")) == 3, "the lines")

    assert [line["request_id"] for line in lines(served, "server_key.exposed")] == ids
    assert len(set(ids)) == 3


def test_a_line_has_the_ids_of_its_delivery(served: Cluster) -> None:
    """Row, epoch and attempt, whichever thread has sent what before."""
    for offer in ("offer-1", "offer-2"):
        served.fault("status", status=503, times=1, match={"offer": offer})
        served.say(offer)
    for offer in ("offer-1", "offer-2"):
        until(lambda one=offer: served.offer(one)["report"] == "delivered", "the delivery")
    until(lambda: len(lines(served, "attempt.finished")) == 4, "the lines")
    told = {
        (line["delivery"], line["offer"], line["epoch"], line["attempt"], line["outcome"])
        for line in lines(served, "attempt.finished")
    }

    assert told == {
        (1, "offer-1", 1, 1, "upstream_unavailable"),
        (1, "offer-1", 1, 2, "delivered"),
        (2, "offer-2", 1, 1, "upstream_unavailable"),
        (2, "offer-2", 1, 2, "delivered"),
    }
    assert not [line for line in lines(served, "attempt.finished") if "request_id" in line]


def test_warnings_are_counted_by_their_event(served: Cluster) -> None:
    """Lines below are not, and what was never warned of stands at 0 from the start."""
    monitor = Monitor(served.admin_url())
    expose(served)
    served.say("offer-1")
    until(lambda: lines(served, "attempt.finished"), "a line at level info")

    assert monitor.total("proxy_warnings_total", event="server_key.exposed") == 1
    assert monitor.total("proxy_warnings_total", event="attempt.finished") == 0
    assert ("proxy_warnings_total", frozenset({("event", "storage.failed")})) in monitor.series()
