"""One JSON line per thing that happened. Never a body, a token or a secret.

What an exception says is not written either, only what it was and where: it may quote any value.
"""

import contextlib
import logging
import os
import select
import stat
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog
from gunicorn.glogging import Logger

from proxy.errors import ConfigurationError

_SHORT = 4_096  # PIPE_BUF on Linux: a pipe that is ready takes so much without waiting
_TURN_S = 0.1  # that a line may wait for another one to be written
_DEPTH = 8  # innermost places that a line names
_QUIET = ("debug", "info")
_UNREADABLE, _UNANSWERED = "Invalid request from", "Error handling request"  # as gunicorn says


class Unfailing:
    """A stream that takes lines and neither fails nor waits.

    A full disk under the log stops nobody, nor does a pipe that nobody reads: lines are dropped,
    and counted in `dropped`, which is told as soon as there is somebody to tell.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # From the look whether there is room to the last byte: what has room for one line may
        # have none for two, and the second one would wait in the middle of a request.
        self._turn = threading.Lock()
        # Never held while anything is written; reentrant, as a signal handler may log as well.
        self._counting = threading.RLock()
        self.dropped = 0

    def write(self, text: str) -> int:
        """Write *text* if that can be done."""
        # Whoever was late once is not waited for again, line by line, until it has come back.
        if not self._turn.acquire(timeout=0 if self.dropped else _TURN_S):
            self._drop()
            return len(text)
        try:
            if self._is_ready():
                self._put(self._tell_dropped() + text)
            else:
                self._drop()
        finally:
            self._turn.release()
        return len(text)

    def flush(self) -> None:
        """Do nothing: `write` has flushed, in its turn."""

    def _put(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text[: _SHORT - 1] + "\n" if self._is_cut(text) else text)
            self._stream.flush()

    def _drop(self) -> None:
        with self._counting:
            self.dropped += 1

    def _tell_dropped(self) -> str:
        """Return a line on what was dropped, if anything was, and count from nothing again."""
        with self._counting:
            lines, self.dropped = self.dropped, 0
        return f'{{"event": "log.dropped", "lines": {lines}}}\n' if lines else ""

    def _is_cut(self, text: str) -> bool:
        """True for a line that a pipe might not take in one piece, however ready it is."""
        try:
            return len(text) > _SHORT and stat.S_ISFIFO(os.fstat(self._stream.fileno()).st_mode)
        except (OSError, ValueError):
            return False

    def _is_ready(self) -> bool:
        try:
            poll = select.poll()
            poll.register(self._stream.fileno(), select.POLLOUT)
            return bool(poll.poll(0))
        except (OSError, ValueError):  # no file of the system's, so nothing to wait for
            return True


_told: list[Callable[[str], None]] = []  # whom the events of warnings are told


def tell(hear: Callable[[str], None]) -> None:
    """Tell *hear* the event of every line of ours from level warning on; it must not log."""
    _told[:] = [hear]


def configure(level: str) -> None:
    """Write JSON lines to standard error, from *level* on, for us and for the libraries."""
    number = logging.getLevelNamesMapping()[level.upper()]
    stream = Unfailing(sys.stderr)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            _tell,
            structlog.processors.StackInfoRenderer(),
            _name_exception,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, stream)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name_exception,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))  # libraries speak when something is wrong
    # It quotes bytes that upstream sent when it warns of a header.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _tell(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if line["level"] not in _QUIET:
        for hear in _told:
            hear(str(line["event"]))
    return line


def _name_exception(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Say of an exception what it was and where; of its words only those that we chose."""
    given = line.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if error is True:
        error = sys.exception()
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-_DEPTH:]
        places = "; ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        words = f": {error}" if isinstance(error, ConfigurationError) else ""
        kind = type(error).__name__
        line["exception"] = f"Traceback (most recent call last): {places}: {kind}{words}"
    return line


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own words through our lines; no access log: it would hold addresses."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and format to the root logger."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True
        self.error_log.setLevel(logging.WARNING)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Leave out the bytes of a request that can not be read: a key or a token may be in them.

        A body that is longer than was announced is read as the next request's first line.
        """
        if str(msg).startswith(_UNREADABLE):
            msg, args = "request.unreadable", ()
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Leave out the address that was asked for: what is in it was not judged."""
        if str(msg).startswith(_UNANSWERED):
            msg, args = "request.unanswered", ()
        super().exception(msg, *args, **kwargs)

    def access(self, *_: Any, **__: Any) -> None:
        """Write no access log."""
