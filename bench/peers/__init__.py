"""Ours beside what else could do its work, each built as its own documentation recommends.

Every peer answers the same POST, verifies the token and makes the same signed call to the insurer.
Each is made as durable as it can be; docs/performance.md says how.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from bench.peers import nginx
from bench.peers.contestants import BARE, OURS, PEERS, POSTGRES, Contestant, Nginx
from bench.peers.killed import fate
from bench.peers.measure import Side, a_round
from bench.peers.table import ahead, figures
from bench.progress import say
from bench.row import Row
from tests.faults.postgres import Postgres, a_server

ROUNDS = 3
CHOICES = 1_000  # of each round
KILLED = 300
AT_ONCE = 3  # kills are counted, not timed: several may share the machine


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows: the figures of each, how far ours is ahead, and what a kill leaves."""
    rounds, count, killed = (1, 200, 60) if quick else (ROUNDS, CHOICES, KILLED)
    missing = {peer: why for peer in PEERS if (why := _missing(peer))}
    for peer, why in missing.items():
        yield Row(what=peer.name, figure=f"not measured: {why}")
    there = [*OURS.values(), *(peer for peer in PEERS if peer not in missing)]
    with a_server() as postgres:
        sides = {one: Side() for one in (BARE, *there)}
        for number in range(1, rounds + 1):
            for one, side in sides.items():
                say(f"peers: {one.name}, round {number} of {rounds}")
                a_round(one, side, postgres=_server(one, postgres), count=count)
        yield from figures(sides)
        yield from ahead(sides)
        yield from _kills(there, postgres, killed)


def _kills(there: Sequence[Contestant], postgres: Postgres, count: int) -> Iterator[Row]:
    say("peers: kill -9 of each")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [
            pool.submit(fate, one, postgres=_server(one, postgres), count=count) for one in there
        ]
    for one, end in zip(there, ends, strict=True):
        yield Row(what=f"{one.name}: after kill -9", figure=str(end.result()))


def _server(one: Contestant, postgres: Postgres) -> Postgres | None:
    return postgres if one.engine == POSTGRES else None


def _missing(peer: Contestant) -> str:
    """Return why *peer* can not be measured here; nothing if it can."""
    if isinstance(peer, Nginx):
        return nginx.missing()
    is_there = peer.package is None or find_spec(peer.package) is not None
    return "" if is_there else f"{peer.package} is not installed"
