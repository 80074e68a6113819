"""A disk that is full, locked or read-only: refused before it is acknowledged, never after."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster, answers
from tests.faults.conftest import Make
from tests.faults.disk import Disk, a_disk, needs_root, serving
from tests.faults.register import reports, until_delivered
from tests.faults.special_clusters import assert_one_effect

FILE = "disk/optout.db"
URL = f"sqlite:///{FILE}"


@pytest.fixture
def cluster(make_cluster: Make) -> Cluster:
    """One partner; its database lies on `disk`, which is still to be made."""
    return make_cluster(URL)


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[Disk]:
    """A small disk under the database."""
    with a_disk(cluster.folder / "disk") as disk:
        yield disk
        cluster.end()


def _assert_refused(answer: requests.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage_unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def _decline_until_refused(cluster: Cluster, name: str) -> set[str]:
    """Return the offers whose decline was acknowledged before the first that was refused."""
    taken: set[str] = set()
    for number in range(2000):
        offer = f"{name}-{number}"
        answer = cluster.say(offer)
        if answer.status_code != 202:
            _assert_refused(answer)
            return taken
        taken.add(offer)
    raise AssertionError("the disk is never full")


@needs_root
def test_a_full_disk_refuses_and_recovers(cluster: Cluster, disk: Disk) -> None:
    """What is acknowledged is there and delivered; what is refused is not; no restart is needed."""
    cluster.start_web()
    cluster.say("before")
    disk.fill()

    taken = _decline_until_refused(cluster, "filling")
    for number in range(30):
        _assert_refused(cluster.say(f"refused-{number}"))
    for answer in _decline_at_once(cluster, "crowd", 64):
        _assert_refused(answer)
    status, said = cluster.ready()
    assert status == 503
    assert said["reasons"]
    assert answers(f"{cluster.url()}/healthz")
    assert cluster.offer("before")["choice"] == "declined"
    process = serving(_pid(cluster)).pid
    disk.empty()

    until(lambda: cluster.ready()[0] == 200, "it to be ready again")
    assert cluster.say("after").status_code == 202
    assert serving(_pid(cluster)).pid == process
    until_delivered(cluster)
    assert set(reports(cluster)) == cluster.delivered() == taken | {"before", "after"}
    for offer in taken:
        assert_one_effect(cluster.received(offer))


@needs_root
def test_a_full_disk_while_deliveries_finish(cluster: Cluster, disk: Disk) -> None:
    """A finish that can not be written is not a reason to send again under another key."""
    cluster.start_web()
    offers = [f"offer-{number}" for number in range(20)]
    cluster.fault("hang", seconds=2.0)
    cluster.decline_all(offers)
    until(lambda: len(cluster.received()) == len(offers), "all to be under way")
    disk.fill()
    taken = _decline_until_refused(cluster, "filling")
    until(lambda: all(one["answered_at"] for one in cluster.received()), "the answers")
    until(lambda: "finish" in cluster.logs() or "storage.failed" in cluster.logs(), "a finish")
    cluster.heal()
    disk.empty()

    until_delivered(cluster)
    assert set(reports(cluster)) == {*offers, *taken}
    for offer in offers:
        assert_one_effect(cluster.received(offer))
        assert len(cluster.received(offer)) == 1
        assert cluster.offer(offer)["attempts"] == 1


def _pid(cluster: Cluster) -> int:
    child = cluster.processes["web"].child
    assert child is not None
    return child.pid


# -- locked -----------------------------------------------------------------------------------

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout = 5000")
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """Keep the database locked from another process while this lasts."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
    finally:
        holder.communicate()


def _decline_at_once(cluster: Cluster, name: str, count: int) -> list[requests.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda number: cluster.say(f"{name}-{number}"), range(count)))


def _locked_for(cluster: Cluster, rounds: int) -> None:
    """Lock the database for as long as it takes to refuse so many crowds, one after another."""
    (cluster.folder / "disk").mkdir(exist_ok=True)
    cluster.start_web()
    process = serving(_pid(cluster))
    before = {one.status_code for one in _decline_at_once(cluster, "before", 64)}

    with _held(cluster.folder / FILE):  # every answer below comes while it is still held
        for number in range(rounds):
            threads = process.num_threads() if number else 1000  # the first crowd fills the pool
            for answer in _decline_at_once(cluster, f"refused-{number}", 64):
                _assert_refused(answer)
            assert answers(f"{cluster.url()}/healthz")
            assert process.num_threads() <= threads
        assert cluster.ready()[0] == 503

    assert before == {202}
    until(lambda: cluster.ready()[0] == 200, "it to be ready again")
    assert {one.status_code for one in _decline_at_once(cluster, "after", 64)} == {202}
    until_delivered(cluster)
    names = {f"{when}-{number}" for when in ("before", "after") for number in range(64)}
    assert set(reports(cluster)) == cluster.delivered() == names


@pytest.mark.thorough
def test_a_locked_database_refuses_and_recovers(cluster: Cluster) -> None:
    """Whoever asks is told soon, no thread is left behind, and it goes on by itself."""
    _locked_for(cluster, rounds=2)


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_database_that_is_locked_for_long(cluster: Cluster) -> None:
    """The same for some ten times as long."""
    _locked_for(cluster, rounds=10)
