"""Upkeep: once an hour, what must not be kept any longer goes."""

import threading
from dataclasses import asdict
from datetime import timedelta

import structlog

from proxy import uses
from proxy.database import Database
from proxy.erasure import Erasures, Patience
from proxy.errors import StorageUnavailable
from proxy.privacy import CustomerKeys
from proxy.retention import Retention

log = structlog.get_logger()

SPAN_S = 3_600.0
_FIRST_S = 30.0  # after the start, when a predecessor's backlog has been sent
_STEP_S = 5.0  # of removing, after which the end may be asked for
# A token lives a day and may be late for 30; the key of a session is repeated within minutes.
_USES_KEPT_MS = round(timedelta(days=32).total_seconds()) * 1000


class Upkeep:
    """One loop; each of its steps is a transaction, so that a kill costs nothing but time."""

    def __init__(
        self,
        database: Database,
        *,
        retention: Retention,
        customers: CustomerKeys | None,
        erasures: Erasures,
        patience: Patience,
        span_s: float = SPAN_S,
        first_s: float = _FIRST_S,
    ) -> None:
        self._database = database
        self._retention = retention
        self._customers = customers
        self._erasures = erasures
        self._patience = patience
        self._span_s = span_s
        self._first_s = first_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._loop, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Stop between two steps; what is left is done by a successor."""
        self._stopping.set()
        if self._thread:
            self._thread.join(grace_s)

    def run(self) -> None:
        """Do all of it once. Raises StorageUnavailable; what was done until then stays done."""
        with self._database.read() as connection:
            now = self._database.now(connection)
        if self._customers:
            for name in self._customers.destroy_old(now):
                log.info("customer_key.destroyed", key=name)
        self._database.write(uses.forget, now - _USES_KEPT_MS, timeout=60.0)
        is_done = False
        while not is_done and not self._stopping.is_set():
            gone, is_done = self._retention.purge(_STEP_S)
            for one in gone:
                log.info("facts.removed", **asdict(one))
        self._erasures.forget_old(self._patience)
        self._erasures.empty_log()  # last: it has old pages of all that has gone

    def _loop(self) -> None:
        pause = self._first_s
        while not self._stopping.wait(pause):
            pause = self._span_s
            try:
                self.run()
            except StorageUnavailable:
                log.warning("upkeep.failed")
            except Exception:
                log.exception("upkeep.crashed")  # the loop must outlive whatever one round meets
