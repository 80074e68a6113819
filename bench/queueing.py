"""What waits when: declines that become due, a pace per credential, senders that all share.

A model of its own that knows nothing of the proxy; events in order of time, from one seed.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

FIRST_BACKOFF, LONGEST_BACKOFF = 2.0, 900.0  # seconds; full jitter between 0 and the doubled first

Seconds = Callable[[Random], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One credential: what it may send a second (0: no pace), and when its declines are due."""

    rate: float
    due: Sequence[float]  # seconds from the beginning


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to the insurer."""

    at: float
    lane: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """One decline that the insurer has."""

    due: float  # when it was due at first
    at: float
    lane: int
    unknown_at: float | None  # its first attempt whose answer nobody knows


@dataclass(slots=True)
class Run:
    """What happened, in order of time."""

    attempts: list[Attempt] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)


@dataclass(slots=True)
class _Decline:
    due: float
    tries: int = 0
    unknown_at: float | None = None


@dataclass(slots=True)
class _Queue:
    rate: float
    waiting: list[tuple[float, int, _Decline]] = field(default_factory=list)
    opens_at: float = 0.0
    has_turn: bool = False  # a permit is booked, or it stands in the ring


class Simulation:
    """A heap of events, a queue per lane, and a ring of the lanes that may send."""

    def __init__(
        self, lanes: Sequence[Lane], *, senders: int, seconds: Seconds, seed: int, failing: float
    ) -> None:
        self._queues = [_Queue(lane.rate) for lane in lanes]
        self._free = senders
        self._seconds = seconds
        self._failing = failing
        self._random = Random(seed)
        self._numbers = count()
        self._ring: deque[int] = deque()
        self._run = Run()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        for number, lane in enumerate(lanes):
            for due in lane.due:
                self._at(due, number, _Decline(due))

    def run(self) -> Run:
        """Let everything happen; nothing is left over."""
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            happen(now)
            self._send_all(now)
        return self._run

    def _plan(self, at: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), happen))

    def _at(self, due: float, number: int, decline: _Decline) -> None:
        """Let *decline* be due at *due*, for the first time or again."""

        def happen(now: float) -> None:
            heapq.heappush(self._queues[number].waiting, (due, next(self._numbers), decline))
            self._take_turn(now, number)

        self._plan(due, happen)

    def _take_turn(self, now: float, number: int) -> None:
        """Book the next permit of a lane, unless it has one."""
        queue = self._queues[number]
        if not queue.has_turn and queue.waiting:
            queue.has_turn = True
            self._plan(max(now, queue.opens_at), lambda _now: self._ring.append(number))

    def _send_all(self, now: float) -> None:
        """Let lanes send in turn, one request each, while there is a sender."""
        while self._free and self._ring:
            number = self._ring.popleft()
            queue = self._queues[number]
            *_, decline = heapq.heappop(queue.waiting)
            queue.opens_at = now + (1 / queue.rate if queue.rate else 0.0)
            queue.has_turn = False
            self._free -= 1
            self._run.attempts.append(Attempt(now, number))
            self._plan(
                now + self._seconds(self._random), self._answered(number, decline, sent_at=now)
            )
            self._take_turn(now, number)

    def _answered(
        self, number: int, decline: _Decline, *, sent_at: float
    ) -> Callable[[float], None]:
        def happen(now: float) -> None:
            self._free += 1
            if self._random.random() >= self._failing:
                done = Delivered(decline.due, now, number, decline.unknown_at)
                self._run.delivered.append(done)
                return
            decline.unknown_at = sent_at if decline.unknown_at is None else decline.unknown_at
            decline.tries += 1
            most = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**decline.tries)
            self._at(now + self._random.uniform(0, most), number, decline)

        return happen


def simulate(
    lanes: Sequence[Lane],
    *,
    senders: int,
    seconds: Seconds,
    seed: int = 1,
    failing: float = 0.0,
) -> Run:
    """Return what happens to *lanes*; the share *failing* of the requests gets no answer."""
    return Simulation(lanes, senders=senders, seconds=seconds, seed=seed, failing=failing).run()


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Return when declines come in, *rate* a second by chance, for so many seconds."""
    dice, times, now = Random(seed), list[float](), 0.0
    while (now := now + dice.expovariate(rate)) < seconds:
        times.append(now)
    return times


def crowd(count: int, seconds: float, seed: int) -> list[float]:
    """Return when *count* declines come in that all come within so many seconds."""
    dice = Random(seed)
    return sorted(dice.uniform(0, seconds) for _ in range(count))


def always(seconds: float) -> Seconds:
    """Return requests that take exactly *seconds*."""
    return lambda _dice: seconds


def about(mean: float, spread: float = 0.5, most: float = 20.0) -> Seconds:
    """Return requests that take *mean* seconds on average, some much longer, none above *most*."""
    return lambda dice: min(most, mean * dice.lognormvariate(-(spread**2) / 2, spread))


def waiting(run: Run, dues: Sequence[float], times: Sequence[float]) -> list[int]:
    """Return how many declines are due and not delivered at each of *times*, which ascend."""
    came, went = sorted(dues), sorted(one.at for one in run.delivered)
    counts, coming, going = [], 0, 0
    for at in times:
        while coming < len(came) and came[coming] <= at:
            coming += 1
        while going < len(went) and went[going] <= at:
            going += 1
        counts.append(coming - going)
    return counts
