"""Notices: processes on one PostgreSQL tell each other that something is due.

They save the wait for the next poll and carry nothing else: one that is lost costs a second.
A notice is sent after the commit and from a connection of its own, because PostgreSQL holds a
lock on the whole cluster while it commits a transaction that has notified.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from proxy import engines

log = structlog.get_logger()

CHANNEL = "optout_due"
POLL_MS = 1_000  # what is due later than this a poll will find by itself
_GATHER_S = 0.005  # one notice for what is recorded within it
_LISTEN_S = 5.0  # between two looks at whether the connection still lives
_AGAIN_S = 1.0
_STOP_S = 1.0

Ring = Callable[[int], None]


class Notices:
    """One process' ear and mouth; `ring` is called with the milliseconds that are left."""

    def __init__(self, url: URL, ring: Ring) -> None:
        self._engine: Engine = engines.reading(url, 2)
        self._ring = ring
        self._condition = threading.Condition()
        self._due: float | None = None  # monotonic seconds; the earliest that is untold
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *, listen: bool) -> None:
        """Begin to tell, and to *listen* where a worker wants to know."""
        for target in (self._tell_loop, self._listen_loop) if listen else (self._tell_loop,):
            thread = threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop; a server that hangs is not waited for."""
        self._stopping.set()
        with self._condition:
            self._condition.notify_all()
        end = time.monotonic() + _STOP_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._engine.dispose()

    def tell(self, after_ms: int) -> None:
        """Tell the workers that something is due in *after_ms*; returns at once."""
        if after_ms >= POLL_MS:
            return
        due = time.monotonic() + after_ms / 1000
        with self._condition:
            self._due = due if self._due is None else min(due, self._due)
            self._condition.notify_all()

    def _tell_loop(self) -> None:
        while not self._stopping.is_set():
            with self._condition:
                self._condition.wait_for(lambda: self._due is not None or self._stopping.is_set())
            self._stopping.wait(_GATHER_S)
            with self._condition:
                due, self._due = self._due, None
            if due is not None:
                self._notify(max(0, round((due - time.monotonic()) * 1000)))
        self._notify(POLL_MS)  # wakes our own ear, which looks whether it is to stop

    def _notify(self, after_ms: int) -> None:
        asked = text("SELECT pg_notify(:channel, :payload)")
        try:
            with self._engine.begin() as connection:
                connection.execute(asked, {"channel": CHANNEL, "payload": str(after_ms)})
        except SQLAlchemyError as error:  # the poll is behind it
            log.info("notice.lost", error=type(error).__name__)

    def _listen_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._engine.connect() as connection:
                    try:
                        self._listen(connection.connection.driver_connection)
                    finally:
                        connection.invalidate()  # it listens; nothing else may use it
            except Exception as error:  # noqa: BLE001  # the ear must outlive every fault
                log.info("notice.deaf", error=type(error).__name__)
                self._stopping.wait(_AGAIN_S)

    def _listen(self, driver: Any) -> None:
        driver.rollback()
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}")
        self._ring(0)  # for what was told while nobody listened
        while not self._stopping.is_set():
            for notice in driver.notifies(timeout=_LISTEN_S):
                self._ring(_milliseconds(notice.payload))
                if self._stopping.is_set():
                    return
            driver.execute("SELECT 1")  # a dead server says nothing by itself


def _milliseconds(payload: str) -> int:
    """Return what a notice says; anyone may notify, so anything else means now."""
    return min(int(payload), POLL_MS) if payload.isascii() and payload.isdigit() else 0
