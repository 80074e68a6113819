"""Long answers: made in a thread as fast as they are taken, few at a time.

The private listener has four threads, and a monitor needs one of them. What is read for a long
answer is one moment of the register, so whoever stops taking it is not waited for: while that
moment is held, what others write piles up beside it.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from queue import Empty, Full, Queue

import structlog

from proxy.errors import Problem

log = structlog.get_logger()

AT_ONCE = 2
PATIENCE_S = 60.0  # for whoever takes nothing
_CHUNK = 65_536  # bytes
_AHEAD = 8  # chunks that are made before they are taken
_LOOK_S = 0.5
_AGAIN_S = 10

Make = Callable[[], Generator[bytes, None, None]]


class GivenUp(Exception):
    """The answer breaks off here: it was not taken in time, or could not be read any more."""


class Streams:
    """How many long answers are under way in this process."""

    def __init__(self, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._free = threading.Semaphore(at_once)
        self._patience_s = patience_s

    def open(self, make: Make) -> "Stream":
        """Begin an answer, and wait for its first bytes: what goes wrong before is said whole.

        Problem `rate_limited` if too many are under way.
        """
        if not self._free.acquire(blocking=False):
            raise Problem("rate_limited", "other exports are under way", retry_after=_AGAIN_S)
        stream = Stream(make, self._free.release, self._patience_s)
        try:
            stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream


class Stream:
    """The bytes of one answer; whoever has it must close it."""

    def __init__(self, make: Make, closed: Callable[[], None], patience_s: float) -> None:
        self._make = make
        self._closed = closed
        self._patience_s = patience_s
        self._queue: Queue[bytes | Exception | None] = Queue(_AHEAD)
        self._stopped = threading.Event()
        self._first: bytes | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def begin(self) -> None:
        """Start to make it; return when there is something, raise what went wrong before."""
        threading.Thread(target=self._run, name="export", daemon=True).start()
        self._first = self._next()

    def __iter__(self) -> Iterator[bytes]:
        """Yield what was made; GivenUp where it breaks off, so that nobody takes it for whole."""
        chunk = self._first
        try:
            while chunk is not None:
                yield chunk
                chunk = self._next()
        except Exception as error:
            raise GivenUp from error
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what it was made from. Idempotent."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._stopped.set()
        self._closed()

    def _next(self) -> bytes | None:
        while not self._stopped.is_set():
            try:
                found = self._queue.get(timeout=_LOOK_S)
            except Empty:
                continue
            if isinstance(found, Exception):
                raise found
            return found
        raise GivenUp

    def _run(self) -> None:
        try:
            with closing(self._make()) as made:
                for chunk in _chunks(made):
                    self._put(chunk)
            self._put(None)
        except GivenUp:
            self._stopped.set()
        except Exception as error:  # noqa: BLE001  # told by whoever takes the bytes
            log.warning("export.failed", error=type(error).__name__)
            self._put_last(error)

    def _put(self, chunk: bytes | Exception | None) -> None:
        end = time.monotonic() + self._patience_s
        while not self._stopped.is_set():
            try:
                self._queue.put(chunk, timeout=_LOOK_S)
            except Full:
                if time.monotonic() >= end:
                    log.warning("export.not_taken")
                    break
            else:
                return
        raise GivenUp

    def _put_last(self, error: Exception) -> None:
        try:
            self._put(error)
        except GivenUp:
            self._stopped.set()


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the first line at once, so that something arrives, then larger pieces."""
    held: list[bytes] = []
    size, is_first = 0, True
    for line in lines:
        held.append(line)
        size += len(line)
        if is_first or size >= _CHUNK:
            yield b"".join(held)
            held, size, is_first = [], 0, False
    if held:
        yield b"".join(held)
