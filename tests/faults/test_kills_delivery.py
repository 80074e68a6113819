"""`kill -9` and SIGSTOP of whoever delivers, at exact stages: P6 to P9 and P12 of the matrix."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import text

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.postgres import Postgres
from tests.faults.register import change, kinds, read, transaction
from tests.faults.tracing import delivering, kill_delivering, replace_delivering, serving, trap
from tests.upstream.token_server import TokenServer, grant

AGAIN = ["choice.recorded", "delivery.claimed", "delivery.lapsed", "delivery.claimed"]
LAPSED = "UPDATE offers SET due_at = due_at - 3600000 WHERE report = 'sending'"


def end(cluster: Cluster, offer: str, statuses: list[int | None]) -> None:
    """It is delivered after all: these answers, one key, one effect, and the facts say so."""
    until(lambda: cluster.offer(offer)["report"] == "delivered", "the delivery")
    entries = cluster.received(offer)
    assert [entry["status"] for entry in entries] == statuses
    assert len({(entry["idempotency_key"], entry["body"]) for entry in entries}) == 1
    assert [entry["effect"] for entry in entries].count(True) == 1
    assert all(entry["verified"] for entry in entries)
    assert kinds(cluster, offer) == [*AGAIN, "attempt.finished"]
    assert cluster.offer(offer)["conflict"] is False


def test_killed_between_claim_and_connection(whole: Cluster) -> None:
    """P6: the insurer has heard nothing; it is claimed again and sent once."""
    if not whole.is_embedded:  # or it could die when it opens its connection to the database
        until(lambda: len(connections(whole)) >= 2, "the worker to be connected")
    with trap(delivering(whole), "connect") as one:
        assert whole.say("offer-1").status_code == 202
        one.sprung()
    assert whole.received() == []
    replace_delivering(whole)

    end(whole, "offer-1", [204])


def connections(cluster: Cluster) -> list[dict[str, Any]]:
    """Return what is connected to the cluster's database on PostgreSQL."""
    query = (
        "SELECT pid, wait_event_type FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return read(cluster, query)


def test_killed_between_request_and_answer(whole: Cluster) -> None:
    """P7: the insurer has it and nobody heard so; the same key again is answered 409."""
    whole.fault("hang", seconds=2.0, times=1)
    whole.say("offer-1")
    until(lambda: whole.received("offer-1"), "the request")
    kill_delivering(whole)
    replace_delivering(whole)

    until(lambda: whole.received("offer-1")[0]["status"], "the end of the first call")
    end(whole, "offer-1", [204, 409])


@contextmanager
def held(cluster: Cluster, offer: str) -> Iterator[None]:
    """Hold an offer's row on PostgreSQL until whoever wants to change it waits."""
    with transaction(cluster) as connection:
        connection.execute(
            text("SELECT id FROM offers WHERE offer = :offer FOR UPDATE"), {"offer": offer}
        )
        until(lambda: "Lock" in {one["wait_event_type"] for one in connections(cluster)}, "it")
        yield


def test_killed_between_answer_and_finish(whole: Cluster) -> None:
    """P8: delivered and not written down; the same key again, and 409 counts as delivered."""
    whole.fault("hang", seconds=1.0, times=1)
    whole.say("offer-1")
    until(lambda: whole.received("offer-1"), "the request")
    if whole.is_embedded:
        with trap(serving(whole), "pwrite64", str(whole.folder / "optout.db-wal")) as one:
            one.sprung()
    else:
        with held(whole, "offer-1"):
            kill_delivering(whole)
    replace_delivering(whole)

    end(whole, "offer-1", [204, 409])


@pytest.fixture
def insurer() -> Iterator[TokenServer]:
    """An insurer with a token endpoint that can hang, and access tokens that we know."""
    with TokenServer(lambda _: grant(f"token-{uuid4().hex}")) as server:
        yield server


def use_oauth(cluster: Cluster, insurer: TokenServer) -> None:
    """Report to *insurer*, which wants access tokens."""
    partner = cluster.partners["ACME"]
    settings = cluster.config.read_text()
    for old, new in (
        ("xcover-offers", "xone-offers"),
        (f"{partner.insurer}/x", insurer.url),
        ("hmac", "oauth"),
        ("api_key_file", "client_id_file"),
        ("api_secret_file", "client_secret_file"),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    cluster.config.write_text(settings)


def test_killed_while_it_gets_a_token(
    make_cluster: Make, database: str, insurer: TokenServer
) -> None:
    """P9: another gets its own token and delivers; neither token nor secret is in any file."""
    cluster = make_cluster(database, partners={"ACME": {"report_on": '"decline"'}})
    use_oauth(cluster, insurer)
    cluster.start()
    insurer.open.clear()
    cluster.say("offer-1")
    assert insurer.asked.wait(60)
    kill_delivering(cluster)
    insurer.open.set()
    replace_delivering(cluster)
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")

    assert (len(insurer.token_calls), len(insurer.reports)) == (2, 1)
    token = insurer.reports[0].headers["authorization"].removeprefix("Bearer ")
    secret = cluster.partners["ACME"].api_secret
    assert [path for path in written(cluster) if token.encode() in path.read_bytes()] == []
    assert [path for path in written(cluster) if secret.encode() in path.read_bytes()] == []


def written(cluster: Cluster) -> list[Path]:
    """Return the files that the processes wrote: database and logs, not the secrets."""
    names = [path.name for path in cluster.folder.iterdir() if path.is_file()]
    return [cluster.folder / name for name in names if ".db" in name or ".log" in name]


def two_workers(make_cluster: Make, database: str, **top: str) -> Cluster:
    """A web process and the worker `first`; `second` comes later. PostgreSQL only."""
    cluster = make_cluster(database, top=top)
    cluster.start_worker("first")
    cluster.start_web("web", "--no-worker")
    return cluster


def stop_mid_send(cluster: Cluster) -> psutil.Process:
    """Stop the first worker while the insurer is at work on offer-1 and offer-2."""
    cluster.fault("hang", seconds=1.0, times=2)
    for offer in ("offer-1", "offer-2"):
        cluster.say(offer)
        until(lambda offer=offer: cluster.received(offer), "the request")
    child = cluster.processes["first"].child
    assert child is not None
    first = psutil.Process(child.pid)
    first.suspend()
    assert cluster.say("offer-2", "accepted").json()["conflict"] is True
    return first


def judge_stale(cluster: Cluster, first: psutil.Process) -> None:
    """Another delivers what `first` had; when it wakes up its results are refused."""
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the other worker")
    until(lambda: cluster.offer("offer-2")["report"] == "cancelled", "the lapse")
    before = everything(cluster)
    first.resume()
    log = cluster.processes["first"].log
    until(lambda: log.read_text().count("lease.lost") == 2, "the refusals")

    assert everything(cluster) == before
    end(cluster, "offer-1", [204, 409])
    assert len(cluster.received("offer-2")) == 1  # nothing is claimed after the acceptance
    assert cluster.offer("offer-2")["conflict"] is True
    assert cluster.processes["first"].stop() == 0


def everything(cluster: Cluster) -> list[list[dict[str, Any]]]:
    """Return the register and its facts."""
    queries = ("SELECT * FROM offers ORDER BY id", "SELECT * FROM facts ORDER BY id")
    return [read(cluster, query) for query in queries]


@pytest.mark.postgres
def test_a_stopped_worker_finds_its_lease_taken(
    make_cluster: Make, shared_postgres: Postgres
) -> None:
    """P12, PostgreSQL only: SQLite has one worker. The lease is set back, for nobody waits."""
    cluster = two_workers(make_cluster, shared_postgres.create_database(f"stop_{uuid4().hex}"))
    first = stop_mid_send(cluster)
    change(cluster, LAPSED)
    cluster.start_worker("second")
    judge_stale(cluster, first)


@pytest.mark.thorough
def test_a_worker_that_slept_longer_than_its_lease(make_cluster: Make, database: str) -> None:
    """P12, with the real lease: on PostgreSQL another takes over, on SQLite it is itself."""
    if not database.startswith("sqlite"):
        cluster = two_workers(make_cluster, database, lease='"25s"')
        first = stop_mid_send(cluster)
        cluster.start_worker("second")
        judge_stale(cluster, first)
        return
    cluster = make_cluster(database, top={"lease": '"25s"'})
    cluster.start()
    cluster.fault("hang", seconds=1.0, times=1)
    cluster.say("offer-1")
    until(lambda: cluster.received("offer-1"), "the request")
    alone = psutil.Process(serving(cluster))
    alone.suspend()
    signal.sigtimedwait([], 27)
    alone.resume()
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")
    keys = {entry["idempotency_key"] for entry in cluster.received("offer-1")}
    assert len(keys) == 1
    assert cluster.offer("offer-1")["conflict"] is False
