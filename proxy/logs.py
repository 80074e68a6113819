"""One JSON line per thing that happened. Never a body, a token or a secret."""

import contextlib
import logging
import os
import select
import stat
import sys
from typing import Any, TextIO, cast

import structlog
from gunicorn.glogging import Logger

_SHORT = 4_096  # PIPE_BUF on Linux: a pipe that is ready takes so much without waiting


class Unfailing:
    """A stream that takes lines and neither fails nor waits.

    A full disk under the log stops nobody, nor does a pipe that nobody reads: lines are dropped,
    and counted in `dropped`, which is told as soon as there is somebody to tell.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0

    def write(self, text: str) -> int:
        """Write *text* if that can be done."""
        if not self._is_ready():
            self.dropped += 1
            return len(text)
        if self.dropped:
            text, self.dropped = f'{{"event": "log.dropped", "lines": {self.dropped}}}\n{text}', 0
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text[: _SHORT - 1] + "\n" if self._is_cut(text) else text)
        return len(text)

    def flush(self) -> None:
        """Flush if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

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
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
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
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))  # libraries speak when something is wrong
    # It quotes bytes that upstream sent when it warns of a header.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own words through our lines; no access log: it would hold addresses."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and format to the root logger."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True
        self.error_log.setLevel(logging.WARNING)

    def access(self, *_: Any, **__: Any) -> None:
        """Write no access log."""
