"""The simulation behind docs/scaling.md: of one seed, without loss, within the pace, and right."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import pytest

from bench.queueing import Lane, about, always, arrivals, simulate, waiting
from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.pace import fullest_second

DECLINES, RATE = 300, 50.0


def some_lanes() -> list[Lane]:
    """Return lanes of several paces, one without, one without anything to do."""
    rates = (2.0, 10.0, 20.0, 0.0, 10.0)
    lanes = [Lane(rate=rate, due=arrivals(12, 60, seed)) for seed, rate in enumerate(rates)]
    return [*lanes, Lane(rate=10.0, due=[])]


def test_one_seed_has_one_outcome() -> None:
    """To the last microsecond; another seed has another."""
    runs = [
        simulate(some_lanes(), senders=20, seconds=about(1.3), seed=seed, failing=0.1)
        for seed in (7, 7, 8)
    ]

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("senders", [1, 7, 500])
@pytest.mark.parametrize("failing", [0.0, 0.3])
def test_no_decline_is_lost_or_made_up(senders: int, failing: float) -> None:
    """Each is delivered once, however often it was tried, and never before it was due."""
    lanes = some_lanes()
    run = simulate(lanes, senders=senders, seconds=about(0.2), failing=failing)

    told = Counter((lane, due) for lane, one in enumerate(lanes) for due in one.due)
    assert Counter((one.lane, one.due) for one in run.delivered) == told
    assert all(one.at > one.due for one in run.delivered)
    assert (len(run.attempts) > len(run.delivered)) == (failing > 0)


@pytest.mark.parametrize("senders", [3, 500])
def test_no_lane_is_faster_than_its_pace(senders: int) -> None:
    """Requests of one lane are at least one over its rate apart, retries among them."""
    lanes = some_lanes()
    run = simulate(lanes, senders=senders, seconds=about(0.2), failing=0.2)

    for number, lane in enumerate(lanes):
        times = [one.at for one in run.attempts if one.lane == number]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert times == sorted(times)
        assert not lane.rate or min(gaps, default=1) >= 1 / lane.rate - 1e-9


def test_never_more_are_under_way_than_there_are_senders() -> None:
    """With requests of one length that can be counted from outside."""
    run = simulate(some_lanes(), senders=5, seconds=always(1.3))
    times = [one.at for one in run.attempts]

    assert all(
        later - earlier >= 1.3 - 1e-9 for earlier, later in zip(times, times[5:], strict=False)
    )


def test_the_wait_for_a_permit_is_that_of_the_books() -> None:
    """A pace that is used to 80 % is an M/D/1 queue: rho / (2 mu (1 - rho)) = 0.2 s on average."""
    lane = Lane(rate=10.0, due=arrivals(8, 10_000, seed=3))
    run = simulate([lane], senders=1_000, seconds=always(1e-6))

    assert mean(one.at - one.due for one in run.delivered) == pytest.approx(0.2, rel=0.05)


def test_the_wait_for_a_sender_is_that_of_the_books() -> None:
    """One sender and requests of random length are an M/M/1 queue: 1 / (mu - lambda) = 0.5 s."""
    lane = Lane(rate=0.0, due=arrivals(8, 10_000, seed=4))
    run = simulate([lane], senders=1, seconds=lambda dice: dice.expovariate(10))

    assert mean(one.at - one.due for one in run.delivered) == pytest.approx(0.5, rel=0.05)


def test_what_waits_is_counted() -> None:
    """Due and not yet delivered."""
    dues = [0.0, 0.0, 0.0, 5.0]
    run = simulate([Lane(rate=1.0, due=dues)], senders=9, seconds=always(0.5))

    assert waiting(run, dues, [0.25, 0.75, 1.75, 2.75, 5.25, 6.0]) == [3, 2, 1, 0, 1, 0]


# -- beside the real thing --------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A real `serve` and a sandbox, at a pace of fifty a second."""
    cluster = Cluster(tmp_path, partners={"ACME": {"rate_per_second": f"{RATE:g}"}})
    try:
        cluster.start_insurers()
        cluster.start()
        yield cluster
    finally:
        cluster.end()


def per_second(times: list[float]) -> list[int]:
    """Return how many of *times* lie in each second from the first one on."""
    counts = Counter(int(at - times[0]) for at in times)
    return [counts[second] for second in range(max(counts) + 1)]


def test_the_real_thing_does_what_the_simulation_says(cluster: Cluster) -> None:
    """As many requests each second.

    On its way from the permit to the insurer a request may be held up, so that some come in a
    bunch; the pace itself is held to its bound in tests/faults.
    """
    offers = [f"offer-{number}" for number in range(DECLINES)]
    cluster.decline_all(offers)
    until(lambda: cluster.delivered() == set(offers), "every delivery")
    real_ms = sorted(one["received_at"] for one in cluster.received())
    run = simulate([Lane(rate=RATE, due=[0.0] * DECLINES)], senders=32, seconds=always(0.01))

    real = per_second([at / 1000 for at in real_ms])
    told = per_second([one.at for one in run.attempts])
    assert sum(real) == sum(told) == DECLINES
    assert (len(told), min(told) >= 49, max(told) <= 51) == (6, True, True)
    assert fullest_second(real_ms) <= 1.2 * RATE
    assert len(real) >= len(told)
    assert median(real[:-1]) >= 0.5 * median(told)
