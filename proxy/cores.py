"""Keeps the threads that answer and send on one core while there is much to do.

The interpreter runs one of them at a time. Where each turn wakes another core, that one finds the
interpreter taken as often as not, and a request costs a quarter more (decision 0032).
"""

import mmap
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

WINDOW_S = 0.1
MANY = 20  # requests and reports in that time from which on one core is better
STAY_S = 10.0  # until the kernel may choose again, for as many: others may need this core
_PROCESSOR = 36  # of what follows the name in `/proc/…/stat`: proc_pid_stat(5), field 39


class Places:
    """Which core each of some processes has chosen; they are forked from the one that makes it."""

    def __init__(self, processes: int = 1) -> None:
        shared = mmap.mmap(-1, 8 * processes)
        self._chosen = memoryview(shared).cast("q")  # one more than the core; 0: none

    def put(self, own: int, core: int | None) -> None:
        """Say what the process with the index *own* has chosen."""
        self._chosen[own] = 0 if core is None else core + 1

    def of_others(self, own: int) -> set[int]:
        """Return the cores of all processes but one."""
        chosen = enumerate(self._chosen)
        return {core - 1 for number, core in chosen if core and number != own}


class Core:
    """Where the threads of one process answer and send; safe to use from all of them.

    The main thread is none of them: where it may run, the others may when there is little to do.
    Does nothing where the system has no such thing (macOS), or does not allow it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        places: Places | None = None,
        own: int = 0,
    ) -> None:
        """Choose a core that no other process in *places* has, if there is one; *own* is ours."""
        self._clock = clock
        self._places = places or Places()
        self._own = own
        self._chosen: int | None = None  # None: wherever the kernel puts them
        self._ends = self._until = 0.0  # this window; the choice
        self._count = 0  # in this window; one that is missed between threads is no loss
        self._local = threading.local()
        self._choose(None)

    def enter(self) -> None:
        """Count a request or a report, and have the thread that asks run where it is best done."""
        self._count += 1
        now = self._clock()
        if self._count >= MANY or now >= self._ends:
            self._decide(now)
        self.stay()

    def stay(self) -> None:
        """Have the thread that asks run where requests are answered."""
        chosen = self._chosen
        if getattr(self._local, "core", None) != chosen:
            self._local.core = chosen
            with suppress(OSError):
                os.sched_setaffinity(0, _allowed() if chosen is None else {chosen})

    def _decide(self, now: float) -> None:
        """End a window: many have come, or its time is over.

        Whoever sees that is where the kernel has put it, which is a good place for all.
        """
        is_busy = now < self._ends
        self._ends, self._count = now + WINDOW_S, 0
        if not is_busy or (self._chosen is not None and now >= self._until):
            self._choose(None)
        elif self._chosen is None and len(_allowed()) > 1:
            with suppress(OSError):  # a system without `/proc`
                core = self._unless_taken(_current())
                self._until = now + STAY_S
                self._choose(core)

    def _choose(self, core: int | None) -> None:
        self._chosen = core
        self._places.put(self._own, core)

    def _unless_taken(self, core: int) -> int:
        """Return *core*, or another one if a process beside this one is there."""
        free = _allowed() - self._places.of_others(self._own)
        return core if core in free or not free else random.choice(sorted(free))


def _allowed() -> set[int]:
    """Return the cores on which the main thread may run; nothing where that can not be said."""
    return os.sched_getaffinity(os.getpid()) if hasattr(os, "sched_getaffinity") else set()


def _current() -> int:
    """Return the core on which the thread that asks runs."""
    stat = Path("/proc/thread-self/stat").read_text("ascii", "replace")
    return int(stat.rpartition(")")[2].split()[_PROCESSOR])
