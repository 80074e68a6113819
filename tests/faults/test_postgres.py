"""PostgreSQL killed, frozen or demoted: 503 meanwhile, nothing acknowledged is lost."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.postgres import Postgres, a_server


class Shoppers:
    """They decline one offer after the other and count what they are answered."""

    def __init__(self, cluster: Cluster, threads: int = 4) -> None:
        self._cluster = cluster
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]
        self.statuses: Counter[int] = Counter()
        self.retry_afters: set[str | None] = set()
        self.acknowledged: set[str] = set()

    def _run(self, number: int) -> None:
        count = 0
        while not self._closed.is_set():
            count += 1
            offer, message = f"offer-{number}-{count}", str(uuid4())
            while not self._closed.is_set() and offer not in self.acknowledged:
                self._decline(offer, message, seq=count)

    def _decline(self, offer: str, message: str, seq: int) -> None:
        try:
            answer = self._cluster.say(offer, id=message, seq=seq)
        except requests.RequestException:  # a web process that is being stopped
            self.statuses[0] += 1
            return
        self.statuses[answer.status_code] += 1
        if answer.status_code == 202:
            self.acknowledged.add(offer)
        else:
            self.retry_afters.add(answer.headers.get("Retry-After"))
            time.sleep(0.05)

    @contextmanager
    def shopping(self) -> Iterator["Shoppers"]:
        """They shop as long as the block lasts."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._closed.set()
            for thread in self._threads:
                thread.join()

    def more(self, status: int, count: int = 20) -> None:
        """Wait until *count* more have been answered with *status*."""
        goal = self.statuses[status] + count
        until(lambda: self.statuses[status] >= goal, f"{count} answers {status}: {self.statuses}")


@pytest.fixture
def running(make_cluster: Make, own_postgres: Postgres) -> Cluster:
    """Two web processes behind one port, two workers, a server that may be harmed."""
    cluster = make_cluster(own_postgres.create_database("optout"))
    cluster.start_web("web", "--workers", "2", "--no-worker")
    for number in range(2):
        cluster.start_worker(f"work-{number}")
    return cluster


def _judge(cluster: Cluster, shoppers: Shoppers) -> None:
    """Every acknowledged decline arrives once, none is invented, and only 503 was said."""
    acknowledged = shoppers.acknowledged
    until(lambda: cluster.delivered() >= acknowledged, "every delivery")
    told = {one["offer"] for one in cluster.received()}
    pairs = {(one["offer"], one["idempotency_key"]) for one in cluster.received()}
    until(lambda: cluster.ready()[0] == 200, "readiness")

    assert len(told - acknowledged) <= 4  # committed, and the answer lost at the very end
    assert len(pairs) == len(told)
    assert set(shoppers.statuses) <= {202, 503}
    assert None not in shoppers.retry_afters
    assert "Traceback" not in cluster.logs()


def test_three_kills_of_the_server_lose_nothing(running: Cluster, own_postgres: Postgres) -> None:
    """SIGKILL under load, three times; nobody restarts anything of ours."""
    with Shoppers(running).shopping() as shoppers:
        for _ in range(3):
            shoppers.more(202)
            own_postgres.kill()
            shoppers.more(503)
            assert running.ready()[0] == 503
            own_postgres.start()
        shoppers.more(202)
    _judge(running, shoppers)


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_restart_loses_nothing(running: Cluster, own_postgres: Postgres, how: str) -> None:
    """As an upgrade of the server does it."""
    with Shoppers(running).shopping() as shoppers:
        shoppers.more(202)
        own_postgres.stop(how)
        shoppers.more(503)
        own_postgres.start()
        shoppers.more(202)
    _judge(running, shoppers)


def test_a_frozen_server_is_noticed(running: Cluster, own_postgres: Postgres) -> None:
    """It holds its connections and says nothing: 503 before long, and all threads come back."""
    with Shoppers(running).shopping() as shoppers:
        shoppers.more(202)
        own_postgres.freeze()
        try:
            shoppers.more(503)
            assert requests.get(f"{running.url()}/healthz", timeout=30).ok
        finally:
            own_postgres.thaw()
        shoppers.more(202)
    _judge(running, shoppers)


def _terminate(server: Postgres) -> None:
    server.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'optout'",
    )


def _cancel(server: Postgres) -> None:
    server.rows("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = 'optout'")


@pytest.mark.thorough
@pytest.mark.parametrize("disturb", [_terminate, _cancel])
def test_an_administrator_disturbs(
    running: Cluster, own_postgres: Postgres, disturb: Callable[[Postgres], None]
) -> None:
    """Every connection is ended, or its statement is, again and again."""
    with Shoppers(running).shopping() as shoppers:
        for _ in range(10):
            shoppers.more(202, 5)
            disturb(own_postgres)
        shoppers.more(202)
    _judge(running, shoppers)


@pytest.mark.thorough
def test_a_lock_that_a_stranger_holds(running: Cluster, own_postgres: Postgres) -> None:
    """Somebody locks the table and goes to lunch: 503, not threads that wait for ever."""
    with Shoppers(running).shopping() as shoppers:
        shoppers.more(202)
        stranger = threading.Thread(
            target=own_postgres.rows,
            args=("DO $$ BEGIN LOCK TABLE offers; PERFORM pg_sleep(6); END $$", "optout"),
        )
        stranger.start()
        shoppers.more(503, 4)
        stranger.join()
        shoppers.more(202)
    _judge(running, shoppers)


@pytest.mark.thorough
def test_too_few_connections(make_cluster: Make) -> None:
    """The server refuses more connections: some work goes on, nothing is lost."""
    with a_server({"max_connections": "8", "superuser_reserved_connections": "3"}) as server:
        server.rows("CREATE ROLE shop LOGIN SUPERUSER")
        cluster = make_cluster(server.create_database("optout").replace("postgres@", "shop@"))
        server.rows("ALTER ROLE shop NOSUPERUSER")
        server.rows("GRANT ALL ON ALL TABLES IN SCHEMA public TO shop", "optout")
        cluster.start_web()
        with Shoppers(cluster).shopping() as shoppers:
            shoppers.more(202)
        _judge(cluster, shoppers)
        cluster.end()


@pytest.mark.thorough
def test_a_failover_to_a_synchronous_standby_loses_nothing(
    make_cluster: Make, own_postgres: Postgres
) -> None:
    """The primary dies; the standby that had confirmed each commit takes over."""
    standby = Postgres()
    try:
        standby.copy_from(own_postgres, "standby")
        standby.start()
        own_postgres.rows("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        own_postgres.rows("SELECT pg_reload_conf()")
        own_postgres.create_database("optout")
        both = f"postgresql+psycopg://postgres@/optout?host=127.0.0.1:{own_postgres.port}"
        both += f"&host=127.0.0.1:{standby.port}&target_session_attrs=read-write"
        cluster = make_cluster(both)
        cluster.start_web("web", "--no-worker")
        cluster.start_worker("work-1")
        with Shoppers(cluster).shopping() as shoppers:
            shoppers.more(202)
            own_postgres.kill()
            shoppers.more(503)
            standby.promote()
            shoppers.more(202)
        _judge(cluster, shoppers)
        cluster.end()
    finally:
        standby.end()


@pytest.mark.thorough
def test_a_demoted_server_is_left(make_cluster: Make, own_postgres: Postgres) -> None:
    """Its open connections refuse to write; they are dropped, and 503 says so meanwhile."""
    cluster = make_cluster(own_postgres.create_database("optout"))
    cluster.start_web()
    with Shoppers(cluster).shopping() as shoppers:
        shoppers.more(202)
        own_postgres.rows("ALTER SYSTEM SET default_transaction_read_only = on")
        own_postgres.rows("SELECT pg_reload_conf()")
        shoppers.more(503)
        own_postgres.rows("ALTER SYSTEM RESET default_transaction_read_only")
        own_postgres.rows("SELECT pg_reload_conf()")
        shoppers.more(202)
    _judge(cluster, shoppers)


@pytest.mark.parametrize(
    "setting", ["synchronous_commit", pytest.param("fsync", marks=pytest.mark.thorough)]
)
def test_a_server_that_forgets_is_refused(
    make_cluster: Make, own_postgres: Postgres, setting: str
) -> None:
    """At the start, in one sentence; and while running, with 503 on every new connection."""
    cluster = make_cluster(own_postgres.create_database("optout"))
    cluster.start_web("web", "--no-worker")
    own_postgres.rows(f"ALTER SYSTEM SET {setting} = off")
    own_postgres.rows("SELECT pg_reload_conf()")
    until(lambda: own_postgres.rows(f"SHOW {setting}")[0][0] == "off", "the reload")
    _terminate(own_postgres)
    until(lambda: cluster.say("offer-1").status_code == 503, "a refusal")
    status, said = cluster.command("work")

    assert (status, "Traceback" in said) == (2, False)
    assert f"{setting}=off" in said
