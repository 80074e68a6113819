"""How late a report is: from the answer to the customer's page until the insurer has it."""

from collections.abc import Iterator

from bench.deployed import ENGINES, arrived, bodies, deployed, forget, send
from bench.progress import say
from bench.row import Row, measured, percentile
from tests.faults.cluster import Cluster

ROUNDS = 5
SECONDS = 10  # of each round
RATES = (50, 200)  # choices a second
REACH_MS = 50


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table, engine by engine; nothing settles, and there is no pace."""
    rounds, seconds = (1, 2) if quick else (ROUNDS, SECONDS)
    for engine in ENGINES:
        late: dict[int, list[list[float]]] = {rate: [] for rate in RATES}
        with deployed(engine) as cluster:
            _late(cluster, "warm", 100, 50)
            for number in range(rounds):
                for rate in RATES:
                    say(f"lateness, {engine}: {rate}/s, round {number + 1} of {rounds}")
                    late[rate].append(_late(cluster, f"r{number}", rate * seconds, rate))
        for rate, found in late.items():
            yield from _rows(f"{engine} at {rate}/s", found)


def _rows(where: str, late: list[list[float]]) -> Iterator[Row]:
    tails = [percentile(one, 95) for one in late]
    yield measured(
        f"{where}: p95",
        tails,
        "ms",
        digits=0,
        at_most=REACH_MS,
        chart="lateness",
        bar=f"optout-proxy, {where}",
    )
    yield measured(f"{where}: p50", [percentile(one, 50) for one in late], "ms", digits=0)
    yield measured(f"{where}: p99", [percentile(one, 99) for one in late], "ms", digits=0)


def _late(cluster: Cluster, name: str, count: int, rate: int) -> list[float]:
    """Return how many ms after its answer each of *count* declines was at the insurer."""
    name = f"{name}-{rate}"
    answered = send(cluster.ports["web"][0], bodies(cluster, name, count), rate=rate).answered_at
    there = arrived(cluster, name, count)
    forget(cluster)
    return [there[f"{name}-{number}"] - at * 1000 for number, at in answered.items()]
