"""Where the threads that answer run: on one core while there is much to do, anywhere else."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from proxy.cores import MANY, STAY_S, WINDOW_S, Core, Places

ENOUGH = MANY / WINDOW_S  # requests a second
ALL = os.sched_getaffinity(0) if sys.platform == "linux" else set()

pytestmark = pytest.mark.skipif(len(ALL) < 2, reason="needs Linux and two cores")


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Threads:
    """Two threads that answer."""

    def __init__(self, pools: list[ThreadPoolExecutor], places: Places | None, own: int) -> None:
        self._pools = pools
        self.clock = Clock()
        self.core = Core(self.clock, places=places, own=own)

    def answer(self, thread: int = 0) -> set[int]:
        """Have a thread answer a request now; return where it may run then."""
        return self._in(thread, self.core.enter)

    def write(self, thread: int = 1) -> set[int]:
        """Have a thread write; return where it may run then."""
        return self._in(thread, self.core.stay)

    def answer_for(self, seconds: float, rate: float = 2 * ENOUGH) -> list[set[int]]:
        """Answer so many requests a second; return where the thread might run after each."""
        places = []
        for _ in range(round(seconds * rate)):
            self.clock.now += 1 / rate
            places.append(self.answer())
        return places

    def _in(self, thread: int, does: Callable[[], object]) -> set[int]:
        def work() -> set[int]:
            does()
            return os.sched_getaffinity(0)

        return self._pools[thread].submit(work).result(10)


@contextmanager
def _threads(places: Places | None = None, own: int = 0) -> Iterator[Threads]:
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    try:
        yield Threads(pools, places, own)
    finally:
        for pool in pools:
            pool.shutdown()


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Two threads that have just begun."""
    with _threads() as two:
        yield two


def test_few_requests_run_anywhere(threads: Threads) -> None:
    """Until there is much to do, the kernel knows better."""
    assert set(map(len, threads.answer_for(1.0, 0.9 * ENOUGH))) == {len(ALL)}


def test_many_requests_run_on_one_core(threads: Threads) -> None:
    """So do those who answer and who writes; nobody else does."""
    places = threads.answer_for(1.0)

    assert places[: MANY // 2] == [ALL] * (MANY // 2)
    assert {len(place) for place in places[2 * MANY :]} == {1}
    assert threads.write() == places[-1]
    assert os.sched_getaffinity(0) == ALL


def test_a_thread_follows_with_its_next_request(threads: Threads) -> None:
    """It is not told before; nobody looks for it."""
    place = threads.answer_for(0.5)[-1]

    assert len(place) == 1
    assert threads.answer(thread=1) == place


def test_a_pause_ends_it(threads: Threads) -> None:
    """What comes after it is little, until it is much."""
    threads.answer_for(0.5)
    assert len(threads.write()) == 1
    threads.clock.now += 3.0

    assert threads.answer() == ALL
    assert threads.write() == ALL


def test_the_kernel_chooses_again_now_and_then(threads: Threads) -> None:
    """Somebody else may need the core: for a moment in ten seconds all are free."""
    threads.answer_for(0.5)
    places = threads.answer_for(2 * STAY_S)

    assert 2 * MANY <= sum(place == ALL for place in places) <= 3 * MANY
    assert {len(place) for place in places} == {1, len(ALL)}


def test_one_core_is_no_choice() -> None:
    """Where the process may use one core alone, nothing is done, and nothing is undone."""
    only = {min(ALL)}
    os.sched_setaffinity(os.getpid(), only)
    try:
        with _threads() as two:  # they begin where their process may run
            assert set(map(frozenset, two.answer_for(0.5))) == {frozenset(only)}
    finally:
        os.sched_setaffinity(os.getpid(), ALL)


def test_what_the_process_may_use_is_asked_anew(threads: Threads) -> None:
    """Whoever moves a running process to other cores moves these threads too."""
    assert len(threads.answer_for(0.5)[-1]) == 1
    only = {min(ALL)}
    os.sched_setaffinity(os.getpid(), only)
    try:
        threads.clock.now += 3.0
        assert threads.answer() == only
    finally:
        os.sched_setaffinity(os.getpid(), ALL)


def test_processes_leave_each_other_their_cores() -> None:
    """They are told apart by their places; whoever has much to do no more has none."""
    places = Places(len(ALL) + 1)
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(_threads(places, own)) for own in range(len(ALL))]
        cores = [min(one.answer_for(0.5)[-1]) for one in all_of_them]
        assert set(cores) == ALL

        one_more = stack.enter_context(_threads(places, len(ALL)))
        assert len(one_more.answer_for(0.5)[-1]) == 1  # none is left: it shares one
        for one in (all_of_them[0], one_more):
            one.clock.now += 3.0
            one.answer()
        assert one_more.answer_for(0.5)[-1] == {cores[0]}


def test_what_a_process_has_chosen_is_known_to_those_forked_before() -> None:
    """And whoever comes after it in its place begins without a core."""
    places = Places(2)
    child = os.fork()
    if not child:
        places.put(1, 7)
        os._exit(0)
    os.waitpid(child, 0)

    assert places.of_others(0) == {7}
    assert places.of_others(1) == set()
    Core(places=places, own=1)
    assert places.of_others(0) == set()


def test_all_of_them_at_once() -> None:
    """Threads that ask at the same time fail nobody."""
    core = Core()
    together = threading.Barrier(8)

    def answer() -> None:
        together.wait(10)
        for _ in range(2_000):
            core.enter()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(answer) for _ in range(8)]:
            done.result(30)
