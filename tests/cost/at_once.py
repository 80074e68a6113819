"""Many calls that meet in one commit, without a race: they queue while the writer is held."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection

from proxy import migrate
from proxy.choices import Delivery
from proxy.database import Database, Work
from proxy.dead_letters import DeadLetters
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from tests.core.conftest import DELIVERED, POLICIES, Clock, Register, a_message

MOST = 64  # calls at once
_PATIENCE_S = 60.0


class Gathering(Database):
    """A database that tells how much was queued."""

    def __init__(self, url: str, clock: Clock) -> None:
        # One writer, or those of PostgreSQL would share the calls out among them.
        super().__init__(url, clock, writers=1, server_time=False)
        self.queued = threading.Semaphore(0)

    def submit(self, handler: Callable[..., Any], argument: Any, *, lane: int = 0) -> Work:
        """Queue as ever, and tell."""
        future = super().submit(handler, argument, lane=lane)
        self.queued.release()
        return future


class Meeting:
    """A register whose callers can be made to come all at once."""

    def __init__(self, register: Register, database: Gathering, pool: ThreadPoolExecutor) -> None:
        self.register = register
        self._database = database
        self._pool = pool
        self._offers = itertools.count(1)

    def record(self, count: int, **only: Any) -> list[str]:
        """Have *count* new offers declined at once; return their names."""
        names = [f"offer-{next(self._offers):06}" for _ in range(count)]
        self.say(names, "declined", **only)
        return names

    def say(self, names: Sequence[str], choice: str, **only: Any) -> None:
        """Have *choice* told of each offer at once."""
        told = [
            a_message(name, choice, seq=self.register.clock.now, writer=f"jti-{name}", **only)
            for name in names
        ]
        self._all([partial(self.register.intake.record, one) for one in told])

    def deliver(self, count: int) -> None:
        """Claim *count* due rows and have the answers to all come at once."""
        self.finish(self.claim(count))

    def claim(self, count: int) -> list[Delivery]:
        """Claim *count* due rows."""
        claimed = self.register.claim(count).deliveries
        self._forget_queued()
        assert len(claimed) == count
        return claimed

    def finish(self, claimed: Sequence[Delivery]) -> None:
        """Have the answers to *claimed* come at once."""
        bucket, end = self.register.bucket, self.register.outbox.finish
        kept = self._all([partial(end, delivery, bucket, DELIVERED) for delivery in claimed])
        assert all(kept)

    def _all(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Make *calls*, each from a thread of its own; they find one another in the queue."""
        assert len(calls) <= MOST
        held, gate = threading.Event(), threading.Event()

        def hold(_connection: Connection, asked: list[None]) -> list[None]:
            held.set()
            gate.wait(_PATIENCE_S)
            return asked

        self._database.submit(hold, None)
        assert held.wait(_PATIENCE_S)
        self._forget_queued()
        asked = [self._pool.submit(call) for call in calls]
        try:
            for _ in calls:
                assert self._database.queued.acquire(timeout=_PATIENCE_S), "a call was not queued"
        finally:
            gate.set()
        return [one.result(_PATIENCE_S) for one in asked]

    def _forget_queued(self) -> None:
        while self._database.queued.acquire(blocking=False):
            pass


@contextmanager
def a_meeting(url: str) -> Iterator[Meeting]:
    """A register in an empty database, with its writer running."""
    clock = Clock()
    database = Gathering(url, clock)
    migrate.upgrade(database)
    database.start()
    ledger = Ledger(b"audit key of a test, 32 bytes at least")
    register = Register(
        database=database,
        clock=clock,
        intake=Intake(database, ledger, lambda _, upstream: POLICIES[upstream]),
        outbox=Outbox(database, ledger, lambda: 0.5),
        dead_letters=DeadLetters(database, ledger),
    )
    with ThreadPoolExecutor(MOST) as pool:
        warm = threading.Barrier(MOST)  # a thread that has yet to start would come too late
        list(pool.map(lambda _: warm.wait(_PATIENCE_S), range(MOST)))
        meeting = Meeting(register, database, pool)
        meeting.record(1)  # what the first of a kind needs, each later one does without
        meeting.deliver(1)
        yield meeting
    database.stop()
