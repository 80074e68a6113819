"""A place that can not be written: said at the start in one sentence, survived when it comes later.

A read-only place has the same look for the proxy whether a person or the kernel made it so.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import Process, until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.disk import (
    Disk,
    a_disk,
    needs_root,
    needs_strace,
    protected,
    refusing,
    serving,
)
from tests.faults.register import reports, until_delivered

pytestmark = pytest.mark.thorough  # they wait for clocks, probes and disks

FILE = "disk/optout.db"


@pytest.fixture
def cluster(make_cluster: Make) -> Cluster:
    """One partner; its database lies on `disk`, which is still to be made."""
    return make_cluster(f"sqlite:///{FILE}")


@pytest.fixture
def disk(cluster: Cluster) -> Iterator[Disk]:
    """A small disk under the database."""
    with a_disk(cluster.folder / "disk") as disk:
        yield disk
        cluster.end()


def _fill_and_stop(cluster: Cluster) -> None:
    """Have one decline on disk and nobody who serves."""
    web = cluster.start_web()
    cluster.say("before")
    until_delivered(cluster)
    assert web.stop() == 0
    web.log.unlink()


def _pid(process: Process) -> int:
    assert process.child is not None
    return process.child.pid


def _status(process: Process) -> int:
    assert process.child is not None
    return process.child.wait(30)


def _assert_refused_in_a_sentence(cluster: Cluster) -> None:
    web = cluster.start_web(wait=False)
    assert web.child is not None
    try:
        status = web.child.wait(5)
    except subprocess.TimeoutExpired:
        web.kill()
        raise AssertionError("it serves what it can not write") from None
    said = [line for line in web.log.read_text().splitlines() if "a key is made" not in line]
    assert (status, len(said)) == (2, 1), said


def _assert_goes_on(cluster: Cluster, expected: set[str]) -> None:
    cluster.start_web()
    assert cluster.say("after").status_code == 202
    until_delivered(cluster)
    assert set(reports(cluster)) == expected | {"after"}


@needs_root
def test_a_read_only_disk_without_a_database(cluster: Cluster, disk: Disk) -> None:
    """A first start that can not make its files says so, and works when they can be made."""
    disk.remount("ro")
    _assert_refused_in_a_sentence(cluster)
    disk.remount("rw")
    _assert_goes_on(cluster, set())


@pytest.mark.thorough
@needs_root
def test_a_read_only_disk_with_a_database(cluster: Cluster, disk: Disk) -> None:
    """A later start says the same, and loses nothing."""
    _fill_and_stop(cluster)
    disk.remount("ro")
    _assert_refused_in_a_sentence(cluster)
    disk.remount("rw")
    _assert_goes_on(cluster, {"before"})


@pytest.mark.thorough
@needs_root
def test_a_full_disk_at_the_start(cluster: Cluster, disk: Disk) -> None:
    """A disk without room for the files beside the database is said as plainly."""
    _fill_and_stop(cluster)
    disk.fill()
    _assert_refused_in_a_sentence(cluster)
    disk.empty()
    _assert_goes_on(cluster, {"before"})


@pytest.mark.thorough
def test_a_file_that_may_not_be_written(cluster: Cluster) -> None:
    """A database file of somebody else is said at the start, not with every decline."""
    (cluster.folder / "disk").mkdir()
    _fill_and_stop(cluster)
    with protected(cluster.folder / FILE):
        _assert_refused_in_a_sentence(cluster)
    _assert_goes_on(cluster, {"before"})


def _is_ready(cluster: Cluster) -> bool:
    try:
        return cluster.ready()[0] == 200
    except requests.RequestException:
        return False


@needs_strace
def test_a_disk_that_turns_read_only(make_cluster: Make, tmp_path: Path) -> None:
    """Under a running `serve`: nothing is acknowledged while it lasts, and it heals by itself."""
    cluster = make_cluster("sqlite:///optout.db")
    web = cluster.start_web()
    cluster.say("before")
    until_delivered(cluster)
    before = serving(_pid(web)).pid

    with refusing(before, "pwrite64,ftruncate,fdatasync", "EROFS", tmp_path / "strace"):
        # The proxy's answer to a kernel that does not write is to leave it to a new process.
        until(lambda: not _is_ready(cluster) or serving(_pid(web)).pid != before, "its reaction")

    until(lambda: cluster.is_up() and _is_ready(cluster), "it to be ready again")
    assert cluster.say("after").status_code == 202
    until_delivered(cluster)
    assert set(reports(cluster)) == {"before", "after"}


@needs_root
def test_a_disk_that_stays_read_only(cluster: Cluster, disk: Disk) -> None:
    """A process that has to begin anew on it ends with a status that tells its supervisor."""
    web = cluster.start_web()
    cluster.say("before")
    until_delivered(cluster)
    os.kill(_pid(web), signal.SIGSTOP)  # or its master would be faster than the remount
    serving(_pid(web)).kill()
    until(lambda: serving(_pid(web)).status() == "zombie", "the end of the process that serves")
    disk.remount("ro")
    os.kill(_pid(web), signal.SIGCONT)

    assert _status(web) != 0
    disk.remount("rw")
    _assert_goes_on(cluster, {"before"})
