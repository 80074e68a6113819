"""Whatever goes wrong in a run: every few seconds one fault, undone before the next."""

import random
import threading
import time
from dataclasses import dataclass

from tests.faults.judge_run import Record
from tests.faults.nemesis_faults import Fault, Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """How long it is quiet between two faults, in seconds."""

    least: float
    most: float


class Nemesis:
    """One thread that picks faults until it is told to stop; each one is written down."""

    def __init__(self, dice: random.Random, faults: Faults, pause: Pause) -> None:
        self._dice = dice
        self._menu = faults.menu()
        self._supervise = faults.supervise
        self._pause = pause
        self._done = threading.Event()
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._work, name="nemesis", daemon=True)
        self._left = {fault.name: fault.most for fault in self._menu}
        self.struck: list[Record] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Undo what is under way and end; raise what a fault itself could not do."""
        self._done.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _work(self) -> None:
        try:
            while not self._done.wait(self._dice.uniform(self._pause.least, self._pause.most)):
                self._supervise()
                self._strike(self._pick())
        except Exception as error:  # noqa: BLE001  # handed to whoever waits for the end
            self._failed.append(error)

    def _pick(self) -> Fault:
        """Return a fault that has not been used too often yet."""
        usable = [fault for fault in self._menu if self._left[fault.name] > 0]
        return self._dice.choices(usable, [fault.weight for fault in usable])[0]

    def _strike(self, fault: Fault) -> None:
        self._left[fault.name] -= 1
        begin = _now_ms()
        told = fault.strike() or {}
        record = {"name": fault.name, "group": fault.group, "from_ms": begin, "to_ms": _now_ms()}
        self.struck.append(record | told)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
