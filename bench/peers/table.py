"""The rows of the table: everyone's figures, and how far ours is ahead of the durable ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.peers.contestants import OURS, Contestant
from bench.peers.measure import Side
from bench.row import Row, measured

Sides = Mapping[Contestant, Side]


def figures(sides: Sides) -> Iterator[Row]:
    """Yield everyone's figures, one kind after the other."""
    for one, side in sides.items():
        yield _bar(one, "accepted", side.accepted, "/s", "peers-accepted")
    for one, side in sides.items():
        yield _bar(one, "p50", side.p50, "ms")
    for one, side in sides.items():
        yield _bar(one, "p99", side.p99, "ms", "peers-p99")
    for one, side in sides.items():
        if side.delivered:
            yield _bar(one, "delivered", side.delivered, "/s", "peers-delivered")
    for one, side in sides.items():
        if side.through:
            yield _bar(one, "accepted and delivered", side.through, "/s")


def ahead(sides: Sides) -> Iterator[Row]:
    """Yield ours over the best durable peer of the same engine, round by round."""
    for engine, ours in OURS.items():
        durable = [one for one in sides if one.engine == engine and one.is_durable]
        peers = [sides[one] for one in durable if one is not ours]
        if not peers:
            continue
        mine, best = sides[ours], "of the best durable peer's"
        yield measured(
            f"{engine}: accepted, {best}",
            _over(mine.accepted, [peer.accepted for peer in peers], max),
            at_least=1,
        )
        yield measured(
            f"{engine}: p99, {best}", _over(mine.p99, [peer.p99 for peer in peers], min), at_most=1
        )
        yield measured(
            f"{engine}: delivered, {best}",
            _over(mine.delivered, [peer.delivered for peer in peers], max),
            at_least=1,
        )
        yield measured(
            f"{engine}: both at once, {best}",
            _over(mine.through, [peer.through for peer in peers], max),
            at_least=1,
        )


def _bar(one: Contestant, what: str, values: Sequence[float], unit: str, chart: str = "") -> Row:
    bar = one.name if chart else ""
    return measured(f"{one.name}: {what}", values, unit, digits=0, chart=chart, bar=bar)


def _over(
    mine: Sequence[float], peers: Sequence[Sequence[float]], best: Callable[..., float]
) -> list[float]:
    return [value / best(theirs) for value, *theirs in zip(mine, *peers, strict=True)]
