"""Three workers on PostgreSQL that share one pace: how much of it they use, and never more."""

from collections.abc import Iterator

from bench.deployed import deployed
from bench.progress import say
from bench.row import Row, measured
from tests.acceptance.deployment import until
from tests.faults.pace import fullest_second

PACED = 600
RATE = 20  # a second, for all workers together


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table."""
    count = 60 if quick else PACED
    pace = {"ACME": {"rate_per_second": str(RATE)}}
    offers = [f"offer-{number}" for number in range(count)]
    with deployed("PostgreSQL", workers=3, partners=pace) as cluster:
        say(f"pace: {count} declines at {RATE}/s")
        cluster.decline_all(offers)
        until(lambda: cluster.delivered() == set(offers), "every delivery")
        received = cluster.received()
    assert {one["status"] for one in received} == {204}, "the insurer refused"
    times = sorted(one["received_at"] for one in received)
    share = (count - 1) / RATE / ((times[-1] - times[0]) / 1000)
    yield measured("pace with 3 workers, of the rate", [share], digits=3, at_least=0.95)
    yield measured(
        f"fullest second at {RATE}/s", [fullest_second(times)], digits=0, at_most=RATE + 1
    )
