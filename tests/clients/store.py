"""A Redis of the test's own, to be frozen, killed and to refuse."""

import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import redis

from tests.acceptance.deployment import free_port, until
from tests.clients.front import program


class Store:
    """One Redis server with a password, on a port and a Unix socket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="optout-redis-"))
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Where it listens without a network."""
        return f"unix://:{self.password}@{self.folder}/socket?db=0"

    def start(self, password: str | None = None) -> None:
        """Start it, empty, and wait until it answers."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": f"{self.folder}/socket",
            "requirepass": password or self.password,
            "save": "",
            "dir": str(self.folder),
            "logfile": f"{self.folder}/log",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._child = subprocess.Popen([program("redis-server"), *arguments])
        until(lambda: self._answers(options["requirepass"]), "Redis")

    def freeze(self) -> None:
        """Let it hang: connections are made, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Take it away."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def names(self) -> list[str]:
        """Return the names of everything that it holds."""
        with self._client(self.password) as client:
            return [str(name, "utf-8") for name in client.scan_iter("*")]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _signal(self, number: int) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def _client(self, password: str) -> redis.Redis:
        return redis.Redis(port=self.port, password=password, socket_timeout=5)

    def _answers(self, password: str) -> bool:
        try:
            with self._client(password) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
