"""Several web processes and workers on one PostgreSQL: they share the work and the pace."""

import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.pace import fullest_second


def test_several_web_processes_and_workers(make_cluster: Make, postgres_url: str) -> None:
    """Two `serve`, one of them with two processes, and two `work`: each decline is sent once."""
    cluster = make_cluster(postgres_url)
    webs = ["web-1", "web-2"]
    cluster.start_web(webs[0], "--workers", "2", "--no-worker")
    cluster.start_web(webs[1], "--no-worker")
    workers = [cluster.start_worker(f"work-{number}") for number in range(2)]
    offers = [f"offer-{number}" for number in range(300)]
    for number, offer in enumerate(offers):
        assert cluster.say(offer, web=webs[number % 2]).status_code == 202
    until(lambda: cluster.delivered() == set(offers), "every delivery")

    assert len(cluster.received()) == len(offers)
    assert [worker.stop() for worker in workers] == [0, 0]


@pytest.mark.parametrize(
    ("rate", "count"), [(10, 60), pytest.param(20, 400, marks=pytest.mark.thorough)]
)
def test_three_workers_keep_one_pace(
    make_cluster: Make, postgres_url: str, rate: int, count: int
) -> None:
    """No half-open second holds more than rate + 1, and the insurer has nothing to refuse."""
    cluster = make_cluster(postgres_url, partners={"ACME": {"rate_per_second": str(rate)}})
    cluster.start_web("web", "--no-worker")
    for number in range(3):
        cluster.start_worker(f"work-{number}")
    cluster.decline_all(offers := [f"offer-{number}" for number in range(count)])
    until(lambda: cluster.delivered() == set(offers), "every delivery")
    received = cluster.received()

    assert {one["status"] for one in received} == {204}
    assert fullest_second([one["received_at"] for one in received]) <= rate + 1


@pytest.mark.thorough
def test_a_pace_that_is_broken_is_seen(make_cluster: Make, postgres_url: str) -> None:
    """The count has teeth: without a pace the same load fills a second beyond the rate."""
    cluster = make_cluster(postgres_url)
    cluster.start_web("web", "--no-worker")
    for number in range(3):
        cluster.start_worker(f"work-{number}")
    cluster.decline_all(offers := [f"offer-{number}" for number in range(60)])
    until(lambda: cluster.delivered() == set(offers), "every delivery")

    assert fullest_second([one["received_at"] for one in cluster.received()]) > 21


def test_a_429_shuts_the_bucket_for_every_worker(make_cluster: Make, postgres_url: str) -> None:
    """One worker is told to wait, so all wait: nothing arrives before the time is over."""
    cluster = make_cluster(postgres_url, partners={"ACME": {"rate_per_second": "20"}})
    cluster.start_web("web", "--no-worker")
    for number in range(3):
        cluster.start_worker(f"work-{number}")
    cluster.fault("status", status=429, retry_after="3", times=1)
    cluster.decline_all(offers := [f"offer-{number}" for number in range(20)])
    until(lambda: cluster.delivered() == set(offers), "every delivery")
    received = cluster.received()
    (refused,) = [one for one in received if one["status"] == 429]
    after = [one["received_at"] for one in received if one["received_at"] > refused["received_at"]]
    flying = [at for at in after if at < refused["answered_at"] + 500]  # had left, or was leaving

    assert all(at >= refused["answered_at"] + 2_900 for at in after if at not in flying)
    assert len(flying) <= 10


@pytest.mark.thorough
def test_a_killed_workers_rows_go_to_the_other(make_cluster: Make, postgres_url: str) -> None:
    """It is not started again: its leases run out, and the other delivers with the same keys."""
    cluster = make_cluster(postgres_url, top={"lease": '"25s"'})
    cluster.start_web("web", "--no-worker")
    doomed = cluster.start_worker("work-1")
    cluster.fault("hang", seconds=15.0, times=8)
    cluster.decline_all(offers := [f"offer-{number}" for number in range(100)])
    until(lambda: sum(one["status"] is None for one in cluster.received()) >= 8, "rows in flight")
    doomed.kill()
    cluster.start_worker("work-2")
    until(lambda: cluster.delivered() == set(offers), "the delivery of all")
    until(lambda: _all_delivered(cluster, offers), "every row to be delivered")

    pairs = {(one["offer"], one["idempotency_key"]) for one in cluster.received()}
    assert len(pairs) == len(offers)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.thorough)])
def test_an_insurer_that_hangs_delays_no_other(
    make_cluster: Make, database: str, count: int
) -> None:
    """20 s a call and many rows due at one partner; another's arrive before the first answer."""
    cluster = make_cluster(database, partners={"ACME": {}, "OTHER": {}})
    cluster.start_web()
    cluster.fault("hang", seconds=19.0)
    cluster.decline_all([f"hangs-{number}" for number in range(count)])
    until(lambda: len(cluster.received()) >= 8, "the insurer to hang")
    offers = [f"quick-{number}" for number in range(40)]
    for offer in offers:
        assert cluster.say(offer, partner="OTHER").status_code == 202
    until(lambda: cluster.delivered("OTHER") == set(offers), "the other partner's deliveries")

    assert [one for one in cluster.received() if one["answered_at"] is not None] == []


def _all_delivered(cluster: Cluster, offers: list[str]) -> bool:
    return all(cluster.offer(offer)["report"] == "delivered" for offer in offers)
