"""Verifies the record beside the requests: one run at a time, and what the last one has found."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog

from proxy import verification
from proxy.aside import Aside
from proxy.clocks import wall
from proxy.errors import StorageUnavailable
from proxy.ledger import Ledger
from proxy.seals import Block
from proxy.verification import Verified

log = structlog.get_logger()

REST = 2.0  # of the time that was worked: whoever records a choice needs this process too
_LONGEST_REST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: how far it is, or what it has found."""

    by: str
    began: int  # ms
    what: str = "offers"
    done: int = 0
    of: int = 0
    ended: int | None = None  # ms
    found: Verified | None = None  # None once it has ended: the record could not be read

    @property
    def percent(self) -> int:
        """Return how far it is with what it is at."""
        return 100 * self.done // self.of if self.of else 0


class Verifier:
    """At most one run in this process; safe to use from many threads."""

    def __init__(
        self,
        aside: Aside,
        ledger: Ledger,
        ended: Callable[[Run], None] = lambda _run: None,
        *,
        rest: float = REST,
    ) -> None:
        self._aside = aside
        self._ledger = ledger
        self._ended = ended
        self._rest = rest
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._worked_since = 0.0
        self.run: Run | None = None

    @property
    def is_running(self) -> bool:
        """True while a run is under way."""
        return not self._idle.is_set()

    def begin(self, public_keys: dict[str, Any], kept: list[Block], by: str) -> bool:
        """Begin a run for the user *by*; False while one is under way."""
        with self._lock:
            if self.is_running:
                return False
            self._idle.clear()
            self.run = Run(by=by, began=wall())
        args = (self.run, public_keys, kept)
        threading.Thread(target=self._verify, args=args, name="verifier", daemon=True).start()
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until no run is under way; False if that took longer."""
        return self._idle.wait(seconds)

    def _verify(self, run: Run, public_keys: dict[str, Any], kept: list[Block]) -> None:
        found = None
        self._worked_since = time.monotonic()
        try:
            with self._aside.snapshot() as connection:
                found = verification.run(connection, self._ledger, public_keys, kept, self._bar)
        except StorageUnavailable:
            log.warning("verification.unread")
        except Exception:
            log.exception("verification.crashed")  # the page must not wait for it for ever
        self.run = run = replace(self.run or run, ended=wall(), found=found)
        try:
            self._ended(run)
        except StorageUnavailable:
            log.warning("verification.unrecorded")
        finally:
            self._idle.set()

    @contextmanager
    def _bar(self, what: str, length: int) -> Iterator["_Bar"]:
        self._show(what=what, done=0, of=length)
        yield _Bar(self)

    def _show(self, **now: Any) -> None:
        if self.run:
            self.run = replace(self.run, **now)

    def add(self, steps: int) -> None:
        """Count *steps* done, and leave the processor to others for a while."""
        if self.run:
            self._show(done=self.run.done + steps)
        worked = time.monotonic() - self._worked_since
        time.sleep(min(_LONGEST_REST_S, self._rest * worked))
        self._worked_since = time.monotonic()


class _Bar:
    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def update(self, n_steps: int, /) -> None:
        self._verifier.add(n_steps)
