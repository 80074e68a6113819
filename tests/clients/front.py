"""nginx with the configuration that the deployment ships, and what may stand behind it."""

import shutil
import socket
import ssl
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Self

from tests.acceptance.deployment import free_port, until
from tests.upstream.certificates import Authority

ADDRESS = "127.0.0.1"
CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx.conf"
_WAIT_S = 30  # for a process that comes or goes


def program(name: str) -> str:
    """Return the path of a server's program; `.ci/servers` installs what is missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is missing; run .ci/servers"
    return found


class Nginx:
    """nginx in front of the port *behind*; only ports and paths differ from what is shipped."""

    def __init__(self, behind: int) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="optout-nginx-"))
        self.folder.chmod(0o755)  # its workers are not root
        authority = Authority(self.folder)
        authority.context(ADDRESS)
        self.trusted = ssl.create_default_context(cafile=str(authority.file))
        for name in ("log", "lib"):
            (self.folder / name).mkdir()
        self._configuration = self.folder / "nginx.conf"
        self._configuration.write_text(self._text(behind))
        self._child: subprocess.Popen[bytes] | None = None

    def _text(self, behind: int) -> str:
        text = CONFIGURATION.read_text()
        for here, there in {
            "listen 443 ssl": f"listen {ADDRESS}:{self.port} ssl",
            "127.0.0.1:8080": f"{ADDRESS}:{behind}",
            "/run/nginx.pid": f"{self.folder}/pid",
            "/var/log/nginx": f"{self.folder}/log",
            "/var/lib/nginx": f"{self.folder}/lib",
            "/var/cache/nginx-choice": f"{self.folder}/cache",
            "/etc/nginx/proxy.shop.example.pem": f"{self.folder}/{ADDRESS}.pem",
            "/etc/nginx/proxy.shop.example.key": f"{self.folder}/{ADDRESS}.pem",
        }.items():
            assert here in text, here
            text = text.replace(here, there)
        return text

    def __enter__(self) -> Self:
        errors = self.folder / "log/start.log"
        arguments = ["-c", str(self._configuration), "-e", str(errors), "-g", "daemon off;"]
        self._child = subprocess.Popen([program("nginx"), *arguments])
        until(self._listens, "nginx")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child is not None
        self._child.terminate()
        self._child.wait(_WAIT_S)
        shutil.rmtree(self.folder)

    def _listens(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None
        with suppress(OSError), self.connect():
            return True
        return False

    def connect(self, source: str = ADDRESS) -> ssl.SSLSocket:
        """Return a connection from the address *source*, behind its handshake."""
        plain = socket.create_connection((ADDRESS, self.port), 30, (source, 0))
        return self.trusted.wrap_socket(plain, server_hostname=ADDRESS)

    def written(self) -> str:
        """Return what stands in its logs."""
        return "".join(path.read_text() for path in (self.folder / "log").iterdir())


class Behind:
    """Stands where the proxy should: takes requests, counts them and never answers one."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server((ADDRESS, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_WAIT_S)

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.connections += 1
                with peer:
                    self.requests.append(peer.recv(65_536))
