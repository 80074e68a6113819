"""One JSON line per thing that happened. Never a body, a token or a secret."""

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog
from gunicorn.glogging import Logger


class Unfailing:
    """A stream that takes lines and never fails: a full disk under the log stops nobody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write *text* if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if that can be done."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


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
