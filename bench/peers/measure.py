"""One round of one contestant: it accepts, then delivers what waits, then does both at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.deployed import arrived, bodies, send
from bench.load import Result
from bench.peers.contestants import BARE, Contestant
from bench.peers.site import Site, a_site
from bench.row import percentile
from tests.faults.postgres import Postgres

WARM = 100


@dataclass
class Side:
    """The figures of one contestant, round by round."""

    accepted: list[float] = field(default_factory=list)  # per second
    p50: list[float] = field(default_factory=list)  # ms
    p99: list[float] = field(default_factory=list)  # ms
    delivered: list[float] = field(default_factory=list)  # per second, first to last
    through: list[float] = field(default_factory=list)  # per second, first accepted to last there

    def accept(self, result: Result) -> None:
        """Take what the load generator saw."""
        self.accepted.append(len(result.latencies) / result.seconds)
        self.p50.append(1000 * percentile(result.latencies, 50))
        self.p99.append(1000 * percentile(result.latencies, 99))


def a_round(contestant: Contestant, side: Side, *, postgres: Postgres | None, count: int) -> None:
    """Measure *contestant* on a site of its own, *count* declines at a time."""
    with a_site(postgres, contestant.options) as site:
        contestant.prepare(site)
        contestant.start_web(site)
        send(site.port, bodies(site.cluster, "warm", WARM))
        if contestant is BARE:
            side.accept(send(site.port, bodies(site.cluster, "round", count)))
        elif contestant.has_worker:
            _in_two(contestant, side, site, count)
        else:
            _in_one(side, site, count)


def _in_two(contestant: Contestant, side: Side, site: Site, count: int) -> None:
    """Have it accept without delivering, deliver without accepting, then do both."""
    side.accept(send(site.port, bodies(site.cluster, "first", count)))
    contestant.start_work(site)
    side.delivered.append(_pace(arrived(site.cluster, "first", count)))
    both = send(site.port, bodies(site.cluster, "second", count // 2))
    side.through.append(_through(both, arrived(site.cluster, "second", count // 2)))


def _in_one(side: Side, site: Site, count: int) -> None:
    """Take all figures from one run: it delivers before it answers."""
    result = send(site.port, bodies(site.cluster, "first", count))
    times = arrived(site.cluster, "first", count)
    side.accept(result)
    side.delivered.append(_pace(times))
    side.through.append(_through(result, times))


def _pace(times: Mapping[str, int]) -> float:
    """Return how many a second came, from the first to the last."""
    span = max(times.values()) - min(times.values())
    return 1000 * (len(times) - 1) / max(span, 1)


def _through(result: Result, times: Mapping[str, int]) -> float:
    """Return how many a second went the whole way, from the first answer to the last arrival."""
    return len(times) / (max(times.values()) / 1000 - min(result.answered_at.values()))
