"""The settings in force: swapped whole when their file or a secret's file changes.

Knows no web server and no worker; each asks here for every piece of work anew.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Lock, Thread

import structlog

from proxy.errors import ConfigurationError
from proxy.settings import Settings, load

Check = Callable[[Settings], object]
Marks = dict[Path, tuple[int, ...]]

_READ_ONCE = (  # at start; a change of these waits for the next one
    "database",
    "audit_key_file",
    "signing_key_file",
    "customer_keys",
    "redis_url",
    "threads",
    "senders",
    "log_level",
)

_log = structlog.get_logger(__name__)


class Configuration:
    """The settings in force, for every thread of a process."""

    def __init__(self, settings: Settings, path: Path | None, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._path = path
        self._environ = environ
        self._checks: list[Check] = []
        self._reloading = Lock()
        self._stopped = Event()
        self._watcher: Thread | None = None
        self._seen = self._marks(settings)
        self.alarm: str | None = None  # why the newest settings are not in force

    @property
    def current(self) -> Settings:
        """The settings; another object after every reload, even if all in them is equal."""
        return self._settings

    def require(self, check: Check) -> None:
        """Put no settings in force, from now on, that *check* refuses with ConfigurationError.

        It judges the present ones at once. A process that verifies tokens requires its signing
        secrets to be readable, one that delivers its credentials; neither opens the other's.
        """
        check(self._settings)
        self._checks.append(check)

    def reload(self) -> bool:
        """Put the newest settings in force; if they are wrong, keep the old ones and say so."""
        with self._reloading:
            try:
                fresh, seen = self._read()
            except ConfigurationError as error:
                self._refuse(str(error))
                return False
            waiting = [
                name for name in _READ_ONCE if getattr(fresh, name) != getattr(self._settings, name)
            ]
            self._settings, self._seen, self.alarm = fresh, seen, None
            _log.info("settings.reloaded", partners=len(fresh.partners), need_restart=waiting)
            return True

    def look(self) -> bool:
        """Reload if a file has changed, or if the last try failed; tell whether it was done.

        What made it fail may be mended in a file that the settings in force do not name.
        """
        if self.alarm is None and self._marks(self._settings) == self._seen:
            return False
        return self.reload()

    def watch(self, every: float = 2.0) -> None:
        """Look every *every* seconds, in a thread of its own, until `stop`."""
        if self._watcher is None:
            self._stopped.clear()
            self._watcher = Thread(
                target=self._watch, args=(every,), name="settings-watch", daemon=True
            )
            self._watcher.start()

    def stop(self) -> None:
        """End the watching; return when its thread has ended."""
        self._stopped.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    def _watch(self, every: float) -> None:
        while not self._stopped.wait(every):
            try:
                self.look()
            except Exception:  # noqa: BLE001  # a watch that ended would keep retired keys alive
                _log.exception("settings.watch_failed")
                self.alarm = "The settings could not be read again; the log says why."

    def _read(self) -> tuple[Settings, Marks]:
        """Return new settings that pass every check, and the files' marks from before reading."""
        before = {path: _mark(path) for path in (self._path,) if path}
        fresh = load(self._path, self._environ)
        seen = self._marks(fresh) | before
        for check in self._checks:
            check(fresh)
        return fresh, seen

    def _refuse(self, reason: str) -> None:
        if reason != self.alarm:
            _log.error("settings.refused", reason=reason)
        self.alarm = reason

    def _marks(self, settings: Settings) -> Marks:
        """Return what changes when a watched file does; secret files are looked at, not opened."""
        secrets = (secret.path for _, secret in settings.secrets())
        return {path: _mark(path) for path in (self._path, *secrets) if path}


def _mark(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()  # through links: Kubernetes swaps a link to change what it leads to
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
