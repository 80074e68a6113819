"""`kill -9` beside the requests: P10, migration and checkpoint; P11, master and child."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.acceptance.deployment import PATIENCE_S, Process, until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.register import change, read
from tests.faults.tracing import delivering, is_gone, require_tracer, serving, tracer, trap


def migrate_until(cluster: Cluster, call: str, nth: int) -> bool:
    """Migrate and die at the *nth* such call on the database; False if it came through."""
    names = ("optout.db", "optout.db-wal", "optout.db-journal") if cluster.is_embedded else ()
    process = Process(
        ["migrate", "--config", str(cluster.config)],
        cluster.folder / "migrate.log",
        prefix=tracer(call, *(str(cluster.folder / name) for name in names), nth=nth),
        cwd=cluster.folder,
    )
    cluster.processes["migrate"] = process
    process.start()
    assert process.child is not None
    return process.child.wait(PATIENCE_S) != 0


def empty(cluster: Cluster) -> None:
    """Leave a database with nothing in it."""
    if not cluster.is_embedded:
        change(cluster, "DROP SCHEMA public CASCADE")
        change(cluster, "CREATE SCHEMA public")
        return
    for path in cluster.folder.glob("optout.db*"):
        path.unlink()


def judge_migrated(cluster: Cluster) -> None:
    """The next start finds nothing, or all of it, and mends what there is to mend."""
    if not cluster.is_embedded:
        cluster.migrate()
    cluster.start()
    assert cluster.say("offer-1").status_code == 202
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")
    if cluster.is_embedded:
        assert read(cluster, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@pytest.mark.thorough
def test_killed_while_it_migrates(make_cluster: Make, database: str) -> None:
    """P10: in the midst of the first migration; the next start goes on as if it had not been."""
    require_tracer()
    cluster = make_cluster(database)
    empty(cluster)
    assert migrate_until(cluster, "pwrite64" if cluster.is_embedded else "sendto", 20)
    judge_migrated(cluster)


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_killed_at_every_stage_of_a_migration(make_cluster: Make, database: str) -> None:
    """P10: at one write after the other; each time all of the schema is there, or none."""
    require_tracer()
    cluster = make_cluster(database)
    call = "pwrite64" if cluster.is_embedded else "sendto"
    empty(cluster)
    nth = 1
    while migrate_until(cluster, call, nth):
        if nth % 8 == 1:  # what was half done before is gone on with, or begun anew
            empty(cluster)
        nth += 3
    judge_migrated(cluster)
    assert nth > 10


@pytest.mark.thorough
def test_killed_at_a_checkpoint(make_cluster: Make) -> None:
    """P10, SQLite only: while the log is copied into the database, which happens at no other time.

    PostgreSQL's checkpoints are its own.
    """
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start()
    with trap(serving(cluster), "pwrite64", str(cluster.folder / "optout.db"), nth=5) as one:
        told: list[str] = []
        while one.is_set and len(told) < 5000:
            told += say_many(cluster, len(told))
        one.sprung()
    until(cluster.is_up, "a successor")

    kept = {row["offer"] for row in read(cluster, "SELECT offer FROM offers")}
    assert set(told) <= kept
    assert read(cluster, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    until(lambda: cluster.delivered() >= set(told), "every delivery")


def say_many(cluster: Cluster, first: int) -> list[str]:
    """Tell a hundred declines; return those that were acknowledged."""
    offers = [f"offer-{number}" for number in range(first, first + 100)]
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda offer: acknowledged(cluster, offer), offers))
    return [offer for offer, taken in zip(offers, answers, strict=True) if taken]


def acknowledged(cluster: Cluster, offer: str) -> bool:
    """Tell a decline; return whether it was acknowledged."""
    try:
        return cluster.say(offer).status_code == 202
    except OSError:
        return False


def test_killed_master(make_cluster: Make, database: str) -> None:
    """P11: what it leaves behind ends by itself and lets go of ports and lock for a new `serve`."""
    cluster = make_cluster(database)
    cluster.start()
    cluster.fault("hang", seconds=0.5)
    for number in range(5):
        cluster.say(f"offer-{number}")
    master, orphan = cluster.processes["web"].child, serving(cluster)
    assert master is not None
    os.kill(master.pid, signal.SIGKILL)
    master.wait()
    until(lambda: is_gone(orphan), "its child to end by itself")
    cluster.start_web("web", *([] if cluster.is_embedded else ["--no-worker"]))

    assert cluster.say("offer-5").status_code == 202
    until(lambda: len(cluster.delivered()) == 6, "every delivery")
    keys = {(entry["offer"], entry["idempotency_key"]) for entry in cluster.received()}
    assert len(keys) == 6


def test_killed_child(make_cluster: Make, database: str) -> None:
    """P11: what the kernel does when memory runs out; the master starts a successor by itself."""
    cluster = make_cluster(database)
    cluster.start()
    cluster.fault("hang", seconds=0.5)
    for number in range(5):
        cluster.say(f"offer-{number}")
    before = serving(cluster)
    os.kill(before, signal.SIGKILL)
    until(lambda: is_gone(before), "its end")
    until(cluster.is_up, "a successor")

    assert cluster.say("offer-5").status_code == 202
    until(lambda: len(cluster.delivered()) == 6, "every delivery")
    until(
        lambda: read(cluster, "SELECT DISTINCT report FROM offers") == [{"report": "delivered"}],
        "every row",
    )
    assert serving(cluster) != before
    locked = Path(f"/proc/{serving(cluster)}/fd")
    if cluster.is_embedded:
        assert "optout.db.lock" in {link.readlink().name for link in locked.iterdir()}
    assert psutil.pid_exists(delivering(cluster))
