"""After an outage: the oldest first, every partner in turn, at no more than the pace."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.pace import fullest_second
from tests.faults.postgres import Postgres
from tests.faults.register import Record, attempts, change, read, reports, until_delivered
from tests.faults.special_clusters import OneCredential, running

pytestmark = pytest.mark.thorough  # they wait for clocks, probes and disks

RATE = 10  # slow enough that a busy machine can not bring two permits together
_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database; the pace is kept by the same statements on both engines."""
    if request.param == "sqlite":
        return "sqlite:///optout.db"
    server: Postgres = request.getfixturevalue("shared_postgres")
    return server.create_database(f"outage_{next(_numbers)}")


@pytest.fixture
def shared(tmp_path: Path, database: str) -> Iterator[Cluster]:
    """Two partners that share one credential, and so its pace."""
    options = {"rate_per_second": str(RATE)}
    with running(
        OneCredential(tmp_path, database, partners={"FIRST": options, "SECOND": options})
    ) as cluster:
        cluster.start_web()
        yield cluster


def _through_an_outage(cluster: Cluster, declines: int) -> None:
    """Decline while the insurer is out, let it come back, and hold what follows to the promise."""
    cluster.fault("status", partner="FIRST", status=503)
    for partner in ("FIRST", "SECOND"):
        for start in range(0, declines, 500):
            names = range(start, min(declines, start + 500))
            cluster.decline_all([f"{partner}-{number}" for number in names], partner)
    until(lambda: len(cluster.received(partner="FIRST")) > RATE, "the outage to be felt")
    cluster.heal("FIRST")
    healed = read(cluster, "SELECT MAX(id) AS fact FROM facts")[0]["fact"]
    waiting = read(cluster, "SELECT id, partner, due_at FROM offers WHERE report = 'due'")
    assert len(waiting) > declines

    _drain(cluster, 2 * declines)

    claims = read(
        cluster,
        "SELECT offer_id, partner FROM facts WHERE kind = 'delivery.claimed' AND id > :healed"
        " ORDER BY id",
        healed=healed,
    )
    _assert_oldest_first(claims, waiting)
    _assert_pace(cluster.received(partner="FIRST"))


def _drain(cluster: Cluster, declines: int) -> None:
    """Wait for the whole backlog; no patience is long enough for it, but each step has one."""
    done = 0
    while done < declines:
        before = done
        done = until(lambda least=before: max(0, _delivered(cluster) - least), "progress")
        done += before
    assert _delivered(cluster) == declines


def _delivered(cluster: Cluster) -> int:
    query = "SELECT COUNT(*) AS number FROM offers WHERE report = 'delivered'"
    return int(read(cluster, query)[0]["number"])


def _hastened(cluster: Cluster) -> int:
    """Take off what retries wait, minutes after some failures; return how many are delivered."""
    change(cluster, "UPDATE offers SET due_at = due_at - 300000 WHERE report = 'due'")
    return _delivered(cluster)


def _assert_oldest_first(claims: Sequence[Record], waiting: Sequence[Record]) -> None:
    """Hold the claims of each partner to the order in which its rows became due."""
    due = {row["id"]: row["due_at"] for row in waiting}
    for partner in ("FIRST", "SECOND"):
        ours = [
            due[one["offer_id"]]
            for one in claims
            if one["partner"] == partner and one["offer_id"] in due
        ]
        assert len(ours) == sum(row["partner"] == partner for row in waiting)
        assert ours == sorted(ours)


def _assert_pace(received: Sequence[Record]) -> None:
    """Hold every half-open second to one request more than the rate."""
    assert fullest_second(one["received_at"] for one in received) <= RATE + 1


def test_the_checks_see_what_they_guard_against() -> None:
    """One request too many in a second, and one claim out of turn, are both noticed."""
    even = [{"received_at": 100 * number} for number in range(100)]
    _assert_pace(even)
    with pytest.raises(AssertionError):
        _assert_pace([*even, {"received_at": 1001}, {"received_at": 1002}])
    waiting = [{"id": number, "partner": "FIRST", "due_at": number} for number in range(5)]
    claims = [{"offer_id": number, "partner": "FIRST"} for number in range(5)]
    _assert_oldest_first(claims, waiting)
    with pytest.raises(AssertionError):
        _assert_oldest_first([claims[1], claims[0], *claims[2:]], waiting)


def test_an_outage_is_made_up_for(shared: Cluster) -> None:
    """Nothing is lost, the oldest go first, and the pace holds while the backlog drains."""
    _through_an_outage(shared, 25)


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_a_long_outage_is_made_up_for(shared: Cluster) -> None:
    """The same with two thousand declines."""
    _through_an_outage(shared, 1000)


def test_a_backlog_delays_no_other_partner(shared: Cluster) -> None:
    """Partners of one credential take turns, however much older one's backlog is."""
    shared.decline_all([f"old-{number}" for number in range(60)], "FIRST")
    until(lambda: shared.received(partner="FIRST"), "the backlog to be worked on")

    shared.decline_all([f"new-{number}" for number in range(8)], "SECOND")

    until_delivered(shared, "SECOND")
    assert Counter(reports(shared, "FIRST").values())["due"] >= 30


def test_an_insurer_that_fails_half_of_the_time(cluster: Cluster) -> None:
    """All arrive; what was tried is what failed and what was delivered, and nothing else."""
    cluster.fault("status", status=503, chance=0.5)
    offers = [f"offer-{number}" for number in range(40)]
    cluster.decline_all(offers)
    until(lambda: len(cluster.delivered()) > 15, "many of them, failing or not")
    cluster.heal()
    until_delivered(cluster)

    received = cluster.received()
    failed = [one for one in received if one["fault"]]
    assert [one["status"] for one in failed] == [503] * len(failed)
    assert len(received) == len(failed) + len(offers)
    assert 0 < len(failed) < 100  # the dice were thrown
    for offer in offers:
        sent = sorted(cluster.received(offer), key=lambda one: one["number"])
        assert [one["status"] for one in sent] == [503] * (len(sent) - 1) + [204]
        assert len(sent) == len(attempts(cluster, offer)) == cluster.offer(offer)["attempts"]


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_an_insurer_that_goes_on_failing(make_cluster: Make, database: str) -> None:
    """Half of all requests fail until the end, and still everything arrives, once."""
    cluster = make_cluster(database)
    cluster.start_web()
    cluster.fault("lost_answer", chance=0.25)
    cluster.fault("status", status=500, chance=1 / 3)
    offers = [f"offer-{number}" for number in range(300)]

    cluster.decline_all(offers)

    until(lambda: _hastened(cluster) == len(offers), "every delivery")
    until_delivered(cluster)
    received = cluster.received()
    assert sum(one["effect"] for one in received) == len(reports(cluster))
    assert len(received) == sum(
        row["attempts"] for row in read(cluster, "SELECT attempts FROM offers")
    )
