"""`kill -9` of the web side at exact stages of one request: P1 to P5 of the fault matrix."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import make_url, text

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.register import read, transaction
from tests.faults.tracing import (
    Line,
    kill_delivering,
    message,
    replace_delivering,
    serving,
    sockets_to,
    trap,
)


def facts_of(cluster: Cluster, told: dict[str, Any]) -> int:
    """Return how many facts tell of a message."""
    return len(read(cluster, "SELECT id FROM facts WHERE message = :id", id=told["id"]))


def tell_again(cluster: Cluster, told: dict[str, Any]) -> bool:
    """Tell it under the same id, as every client does; return whether that was a replay."""
    until(cluster.is_up, "a successor")
    answer = cluster.say(**told)
    assert answer.status_code == 202, answer.text
    assert facts_of(cluster, told) == 1
    return bool(answer.json()["replayed"])


@pytest.mark.parametrize("reads", [1, 2], ids=["head", "body"])
def test_killed_before_the_body_is_read(whole: Cluster, reads: int) -> None:
    """P1: no acknowledgement and no row; the same message is taken afterwards."""
    told = message("offer-1")
    with Line(whole) as line, trap(serving(whole), "recvfrom", line.far_end, nth=reads) as one:
        line.begin(told)
        one.sprung()
        assert line.status() is None

    assert read(whole, "SELECT id FROM offers") == []
    assert not tell_again(whole, told)


def test_killed_before_the_transaction(whole: Cluster) -> None:
    """P2: the message is judged and waits for the database: no acknowledgement and no row."""
    told = message("offer-1")
    alone = "BEGIN IMMEDIATE" if whole.is_embedded else "LOCK TABLE offers IN SHARE MODE"
    with Line(whole) as line, transaction(whole) as connection:
        if whole.is_embedded:
            connection.connection.isolation_level = None  # type: ignore[attr-defined]
        connection.execute(text(alone))
        line.connection.send(line.begin(told))
        time.sleep(0.3)  # it is read by now, and SQLite's writer waits for a second
        os.kill(serving(whole), signal.SIGKILL)
        assert line.status() is None

    assert read(whole, "SELECT id FROM offers") == []
    assert not tell_again(whole, told)


def test_killed_between_commit_and_answer(whole: Cluster) -> None:
    """P4: the client can not know; told again it is a replay, and there is one delivery."""
    told = message("offer-1")
    with Line(whole) as line, trap(serving(whole), "sendto", line.far_end) as one:
        assert line.tell(told) is None
        one.sprung()

    assert facts_of(whole, told) == 1
    assert tell_again(whole, told)
    until(lambda: whole.offer("offer-1")["report"] == "delivered", "the delivery")
    assert len({entry["idempotency_key"] for entry in whole.received()}) == 1
    assert [entry["effect"] for entry in whole.received()].count(True) == 1


def test_killed_after_the_answer(make_cluster: Make, database: str) -> None:
    """P5: what was acknowledged is delivered by whoever comes next."""
    cluster = make_cluster(database, partners={"ACME": {"settle": '"2s"'}})
    cluster.start()
    assert cluster.say("offer-1").status_code == 202
    os.kill(serving(cluster), signal.SIGKILL)
    if not cluster.is_embedded:
        kill_delivering(cluster)
    assert cluster.received() == []  # it had not been due yet
    replace_delivering(cluster)

    until(lambda: cluster.delivered() == {"offer-1"}, "the delivery")
    assert len(cluster.received()) == 1


def kill_at(cluster: Cluster, call: str, files: list[str], nth: int) -> tuple[bool, bool]:
    """Tell a decline and kill its process at a stage; return if it was acknowledged, and killed."""
    told = message(f"{call}-{nth}")
    with Line(cluster) as line, trap(serving(cluster), call, *files, nth=nth) as one:
        acknowledged = line.tell(told) == 202
        if acknowledged and cluster.is_embedded:  # its delivery may yet come to the stage
            until(lambda: not one.is_set or told["offer"] in cluster.delivered(), "an end")
        killed = not acknowledged or not one.is_set
        if killed:
            one.sprung()
    replayed = tell_again(cluster, told)
    assert replayed or not acknowledged
    return acknowledged, killed


def judge(cluster: Cluster) -> None:
    """Every offer is delivered: one effect, one key, and nobody else's."""
    offers = {row["offer"] for row in read(cluster, "SELECT offer FROM offers")}
    until(lambda: cluster.delivered() == offers, "every delivery")
    effects = Counter(entry["offer"] for entry in cluster.received() if entry["effect"])
    keys = {(entry["offer"], entry["idempotency_key"]) for entry in cluster.received()}
    assert set(effects.values()) == {1}
    assert len(keys) == len(offers)
    until(lambda: reports(cluster) == {"delivered"}, "every row")
    if cluster.is_embedded:
        assert read(cluster, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def reports(cluster: Cluster) -> set[str]:
    """Return where the reports stand."""
    return {row["report"] for row in read(cluster, "SELECT DISTINCT report FROM offers")}


def kill_at_each(cluster: Cluster, numbers: Iterable[int]) -> int:
    """Kill at these writes of one decline after another; return how many died unacknowledged."""
    unanswered = 0
    for nth in numbers:
        if cluster.is_embedded:
            call, files = "pwrite64", [str(cluster.folder / "optout.db-wal")]
        else:
            assert cluster.say(f"before-{nth}").status_code == 202  # so that it is connected
            port = make_url(cluster.database).port or 0
            call, files = "sendto", sockets_to(serving(cluster), port)
        acknowledged, killed = kill_at(cluster, call, files, nth)
        if not killed:
            break
        unanswered += not acknowledged
    judge(cluster)
    return unanswered


def test_killed_inside_the_transaction(whole: Cluster) -> None:
    """P3: at some writes to SQLite's log or messages to PostgreSQL: all or nothing, each time."""
    assert kill_at_each(whole, [1, 2, 3, 5, 8]) >= 3


@pytest.mark.thorough
def test_killed_at_every_write(whole: Cluster) -> None:
    """P3 to P8: at each one in turn, on SQLite through claim and finish too, to the very end."""
    assert kill_at_each(whole, count(1)) >= 5


def test_killed_before_the_log_is_synced(make_cluster: Make) -> None:
    """P3, SQLite only, for PostgreSQL syncs its own log: written, not synced, not acknowledged."""
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start()
    kill_at(cluster, "fdatasync", [str(cluster.folder / "optout.db-wal")], 1)
    judge(cluster)
