"""Several processes count together: each knows the sum, and a killed one takes nothing along."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
import requests

from proxy.tallies import ROOM, Tallies
from tests.acceptance.deployment import free_port, until
from tests.faults.cluster import Cluster
from tests.faults.postgres import a_server
from tests.operate.watched import Monitor, a_cluster

SCRAPES = 20  # so that each of two processes answers some of them


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster on PostgreSQL, nothing of it started but the insurer."""
    with a_server() as server, a_cluster(tmp_path, server.create_database("metrics")) as cluster:
        yield cluster


def web_processes(cluster: Cluster) -> list[int]:
    """Return the processes that serve."""
    child = cluster.processes["web"].child
    assert child is not None
    return [one.pid for one in psutil.Process(child.pid).children()]


def decline(cluster: Cluster, first: int, last: int) -> None:
    """Have so many offers declined, each over a connection of its own."""
    for number in range(first, last):
        assert cluster.say(f"offer-{number}").status_code == 202


def test_any_of_two_web_processes_knows_the_sum(postgres: Cluster) -> None:
    """Also after one of them was killed: nothing is lost, nothing is counted twice."""
    postgres.start_web("web", "--no-worker", "--workers", "2")
    monitor = Monitor(postgres.admin_url())
    until(lambda: len(web_processes(postgres)) == 2, "two processes")

    decline(postgres, 0, 40)
    assert {monitor.total("proxy_choices_total") for _ in range(SCRAPES)} == {40.0}

    before = web_processes(postgres)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(web_processes(postgres)) - set(before)) == 1, "a successor")
    until(lambda: _served(postgres), "somebody to answer")
    decline(postgres, 40, 60)

    assert {monitor.total("proxy_choices_total") for _ in range(SCRAPES)} == {60.0}
    assert {monitor.total("proxy_requests_under_way") for _ in range(SCRAPES)} == {0.0}


def _served(cluster: Cluster) -> bool:
    with suppress(requests.ConnectionError):
        return all(cluster.is_up() for _ in range(SCRAPES))
    return False


def test_a_worker_alone_is_watched_by_a_listener_of_its_own(postgres: Cluster) -> None:
    """Readiness, health and its own counts; there is no such listener unless it is asked for."""
    port = free_port()
    postgres.start_web("web", "--no-worker")
    postgres.start_worker("work", "--admin-bind", f"127.0.0.1:{port}")
    worker, web = Monitor(f"http://127.0.0.1:{port}"), Monitor(postgres.admin_url())
    decline(postgres, 0, 5)

    until(lambda: worker.total("proxy_attempts_total", outcome="delivered") == 5, "the attempts")
    assert worker.total("proxy_permits_taken_total", credential="ACME/tickets") == 5
    assert worker.total("proxy_credential_paused", credential="ACME/tickets") == 0
    assert worker.total("proxy_lateness_seconds_count", upstream="tickets") == 5
    assert worker.total("proxy_choices_total") == 0
    assert worker.asked("/readyz") == (200, {"ready": True, "reasons": [], "warnings": []})
    assert worker.asked("/healthz") == (200, {"healthy": True})
    assert web.total("proxy_attempts_total") == 0
    assert "proxy_credential_paused" not in web.text()  # it may not open the keys


def test_a_worker_listens_to_no_strangers(postgres: Cluster) -> None:
    """The same rule as for `serve`, in the same sentence."""
    status, said = postgres.command("work", "--admin-bind", "0.0.0.0:9")

    assert status == 2
    assert "admin_networks" in said


def test_a_killed_process_of_serve_loses_no_count(tmp_path: Path) -> None:
    """On SQLite one process does everything, and its successor counts on."""
    with a_cluster(tmp_path) as cluster:
        cluster.start_web()
        monitor = Monitor(cluster.admin_url())
        decline(cluster, 0, 3)
        until(lambda: monitor.total("proxy_attempts_total") == 3, "the deliveries")
        (before,) = web_processes(cluster)
        os.kill(before, signal.SIGKILL)
        until(lambda: web_processes(cluster) not in ([before], []), "a successor")
        until(lambda: _served(cluster), "it to answer")
        decline(cluster, 3, 5)

        until(lambda: monitor.total("proxy_attempts_total") == 5, "the deliveries")
        assert monitor.total("proxy_choices_total") == 5


# -- what they share --------------------------------------------------------------------------


def _count(tallies: Tallies, room: int, times: int) -> None:
    tallies.enter(room)
    for _ in range(times):
        tallies.add(("told", "ACME"))
    tallies.add(("busy",))
    os.kill(os.getpid(), signal.SIGKILL)


def _run(tallies: Tallies, room: int, times: int) -> None:
    child = get_context("fork").Process(target=_count, args=(tallies, room, times))
    child.start()
    child.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_successor_counts_on_in_the_room_of_the_killed() -> None:
    """And what the killed one was doing is forgotten, while what it counted stays."""
    tallies = Tallies(rooms=2)
    for room, times in ((0, 1_000), (1, 10), (0, 5)):
        _run(tallies, room, times)
        tallies.clear(room, {"busy"})

    assert tallies.sums() == {("told", "ACME"): 1_015.0, ("busy",): 0.0}


def test_a_full_room_drops_what_is_new_and_keeps_what_it_has() -> None:
    """Whoever counts goes on."""
    tallies = Tallies()
    names = [("name" * 50, str(number)) for number in range(ROOM // 200)]
    for name in (*names, *names):
        tallies.add(name)
    sums = tallies.sums()

    assert sums[names[0]] == 2.0
    assert names[-1] not in sums
