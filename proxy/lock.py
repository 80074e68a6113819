"""One process per SQLite file: whoever holds the lock beside it is the writer."""

import fcntl
import os
import time
from pathlib import Path

from proxy.errors import ConfigurationError

WAIT_S = 5.0  # what a predecessor that is stopping may take


class FileLock:
    """An exclusive lock on the file beside a database; the kernel frees it when we die."""

    def __init__(self, database: Path) -> None:
        real = database.resolve()  # the same lock by whatever link the file is reached
        self._path = real.with_name(real.name + ".lock")
        self._descriptor: int | None = None

    def take(self, wait_s: float = WAIT_S) -> None:
        """Take the lock; ConfigurationError if another process keeps it for *wait_s*."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} can not be made ({error.strerror}); "
                "let this user write in that folder."
            ) from error
        end = time.monotonic() + wait_s
        while not _try(descriptor):
            if time.monotonic() >= end:
                os.close(descriptor)
                raise ConfigurationError(
                    f"Another optout-proxy serves {self._path.name.removesuffix('.lock')}; "
                    "stop it first, or give this one another `database`."
                )
            time.sleep(0.1)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
