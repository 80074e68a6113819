"""The worker: everything due is sent, stopping loses nothing, nobody takes every sender."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from proxy.choices import Delivery, Outcome, Report
from proxy.clocks import Steady
from proxy.clocks import wall as real_clock
from proxy.leases import Lane
from proxy.upstreams import APIS
from proxy.wakeup import Wakeup
from proxy.worker import Limits, Routing, Worker
from tests.core.conftest import DELIVERED, POLICIES, THROTTLED, UNAUTHORISED, Register

PATIENCE_S = 30.0


@dataclass
class Upstream:
    """An insurer that answers when it is let."""

    open: threading.Event = field(default_factory=threading.Event)
    sent: list[Delivery] = field(default_factory=list)
    hangs: set[str] = field(default_factory=lambda: {"now"})
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answer: Outcome = DELIVERED

    def send(self, delivery: Delivery) -> Outcome:
        """Take one attempt."""
        self.sent.append(delivery)
        self.arrived.release()
        if delivery.upstream in self.hangs:
            self.open.wait(PATIENCE_S)
        return self.answer


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An insurer whose upstream `now` hangs until it is opened."""
    upstream = Upstream()
    yield upstream
    upstream.open.set()


@pytest.fixture
def make_worker(register: Register, upstream: Upstream) -> Callable[..., Worker]:
    """Build a worker with one lane per upstream name, or one for all."""
    register.clock.now = real_clock()

    def make(senders: int = 4, *, lanes: int = 1) -> Worker:
        names = list(POLICIES)
        buckets = {("ACME", name): f"b{number % lanes}" for number, name in enumerate(names)}
        made = tuple(
            Lane(
                bucket=bucket,
                rate=0,
                apis={pair: APIS["xcover-offers"] for pair in buckets if buckets[pair] == bucket},
            )
            for bucket in sorted(set(buckets.values()))
        )
        by_bucket = {lane.bucket: lane for lane in made}
        lane_of = {pair: by_bucket[bucket] for pair, bucket in buckets.items()}
        routing = Routing(lanes=made, lane_of=lane_of)
        limits = Limits(senders=senders, lease_ms=30_000, deadline_ms=20_000)
        return Worker(register.outbox, Wakeup(), lambda: routing, upstream.send, limits)

    return make


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_everything_due_is_sent_once(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """However many there are."""
    upstream.open.set()
    for number in range(30):
        register.decline(f"offer-{number}")
    worker = make_worker()
    worker.start()
    _until(lambda: register.measure().get("deliveries.delivered") == 30)
    worker.stop()

    assert len({delivery.offer for delivery in upstream.sent}) == len(upstream.sent) == 30


def test_stopping_finishes_what_is_in_flight(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """A send under way is waited for and written down."""
    register.decline()
    worker = make_worker()
    worker.start()
    upstream.arrived.acquire(timeout=PATIENCE_S)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    upstream.open.set()
    stopper.join()

    assert register.find().report is Report.DELIVERED


def test_stopping_leaves_what_hangs_to_its_lease(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """Still `sending`: it will be retried under the same key."""
    register.decline()
    worker = make_worker()
    worker.start()
    upstream.arrived.acquire(timeout=PATIENCE_S)
    worker.stop(grace_s=0.1)

    assert register.find().report is Report.SENDING


def _has_come_round(worker: Worker, since: float) -> bool:
    return worker.claimed_at > since


def test_the_claim_after_a_429_knows_of_it(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """A sender is free when what it heard of the credential is on disk, not before."""
    upstream.open.set()
    upstream.answer = THROTTLED
    for number in range(5):
        register.decline(f"offer-{number}")
    worker = make_worker(senders=1)
    worker.start()
    upstream.arrived.acquire(timeout=PATIENCE_S)
    for _ in range(2):  # the first round may have been under way
        began = time.monotonic()
        _until(partial(_has_come_round, worker, began))
    worker.stop()

    assert len(upstream.sent) == 1


def test_one_lane_that_hangs_leaves_senders_to_the_others(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """A bad partner does not delay another."""
    for number in range(20):
        register.decline(f"hangs-{number}", upstream="now")
    worker = make_worker(senders=4, lanes=4)
    worker.start()
    upstream.arrived.acquire(timeout=PATIENCE_S)
    register.decline("good", upstream="purchase", purchased=True)
    _until(lambda: register.find("good", "purchase").report is Report.DELIVERED)
    upstream.open.set()
    worker.stop()

    assert register.find("good", "purchase").attempts == 1


@pytest.mark.parametrize(("lanes", "hung"), [(1, ["now"]), (4, ["now", "settling"])], ids=str)
def test_what_hangs_leaves_the_rest_at_full_speed(
    register: Register,
    upstream: Upstream,
    make_worker: Callable[..., Worker],
    lanes: int,
    hung: list[str],
) -> None:
    """Most senders wait for an insurer that hangs; the others do not wait for the poll."""
    upstream.hangs = set(hung)
    for name in hung:
        for number in range(12):
            register.decline(f"hangs-{number}", upstream=name, purchased=True)
    register.clock.pass_ms(5_000)
    worker = make_worker(senders=16, lanes=lanes)
    worker.start()
    for _ in range(12):
        upstream.arrived.acquire(timeout=PATIENCE_S)
    for number in range(100):
        register.decline(f"quick-{number}", upstream="purchase", purchased=True)
    _until(lambda: register.measure().get("deliveries.delivered") == 100)
    claims = register.find("quick-99", "purchase")
    upstream.open.set()
    worker.stop()

    assert claims.attempts == 1


def test_a_bell_rung_early_wakes_at_once() -> None:
    """What is due sooner than the listener meant to sleep is heard."""
    bell = Wakeup()
    heard = threading.Event()

    def listen() -> None:
        bell.wait(60.0)
        heard.set()

    threading.Thread(target=listen, daemon=True).start()
    bell.ring()

    assert heard.wait(PATIENCE_S)


def test_a_bell_rung_for_later_does_not_wake_now() -> None:
    """A decline that settles for a minute wakes nobody yet."""
    bell = Wakeup()
    bell.ring(60_000)
    before = time.monotonic()
    bell.wait(0.02)

    assert time.monotonic() >= before + 0.02


def test_a_paused_credential_is_waited_for_asleep(register: Register) -> None:
    """Up to the probe the claim says when to look again, and never a time that is past."""
    register.rate = 10.0
    register.decline("one")
    register.decline("two")
    register.outbox.finish(register.claim(1).deliveries[0], register.bucket, UNAUTHORISED)
    register.clock.pass_ms(30_000 - 50)
    early = register.claim()

    assert (early.deliveries, early.next_at) == ([], register.clock.now + 50)


def test_permits_made_late_keep_their_distance(
    register: Register, upstream: Upstream, make_worker: Callable[..., Worker]
) -> None:
    """After a slow commit three permits do not leave at once."""
    upstream.open.set()
    register.rate = 10.0
    for number in range(3):
        register.decline(f"offer-{number}")
    worker, lane = make_worker(), register.lane()
    taken = register.claim()
    long_ago = replace(taken, seen_at=time.monotonic() - 60.0)
    began = time.monotonic()
    for delivery in taken.deliveries:
        worker._fly(delivery, lane, long_ago, began)  # noqa: SLF001  # no thread, so no chance
    flights = [worker._queue.get() for _ in range(3)]  # noqa: SLF001  # the same
    leaves = [flight.send_at for flight in flights if flight]

    assert leaves[0] >= began
    assert [round(b - a, 3) for a, b in itertools.pairwise(leaves)] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [([100.0, 101.0], 1_000), ([100.0, 40.0], 0), ([100.0, 160.0], 60_000)],
    ids=["goes on", "set back", "set forward"],
)
def test_a_steady_clock_never_goes_back(readings: list[float], expected: int) -> None:
    """What is due must not become due an hour later because a clock was set back."""
    wall_clock = iter(readings)
    clock = Steady(lambda: next(wall_clock), lambda: 0.0)

    assert clock() - 100_000 == expected
