"""An insurer, a configuration and a database for one contestant, and its processes."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.deployed import ROOT, folder
from bench.peers.place import SENDERS
from tests.acceptance.deployment import free_port, until
from tests.faults.cluster import Cluster, answers
from tests.faults.postgres import Postgres

TOP = {"senders": str(SENDERS)}  # of our settings: as many threads deliver for ours as for a peer


class Site:
    """A deployment of ours that may stay switched off, and what runs in its place."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.port = free_port()
        self.database = database
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, **environ: str) -> "subprocess.Popen[bytes]":
        """Start a process in a group of its own."""
        with (self.cluster.folder / "peer.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=os.environ | environ,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def role(self, module: str, role: str, processes: int = 1) -> "subprocess.Popen[bytes]":
        """Start a process of a peer that is written in Python."""
        return self.run(
            sys.executable,
            *("-m", "bench.peers.start", module, role),
            PYTHONPATH=str(ROOT),
            PEER_CONFIG=str(self.cluster.config),
            PEER_DATABASE=self.database,
            PEER_PORT=str(self.port),
            PEER_PROCESSES=str(processes),
        )

    def script(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a program of bench/."""
        return self.run(
            sys.executable, str(ROOT / "bench" / name), *arguments, PYTHONPATH=str(ROOT)
        )

    def until_it_listens(self) -> None:
        """Wait for the web process to answer, with whatever."""
        until(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"), f"a peer\n{self.said()}")

    def said(self) -> str:
        """Return the end of what the peer's processes wrote."""
        log = self.cluster.folder / "peer.log"
        return log.read_text()[-3000:] if log.exists() else ""

    def kill(self) -> None:
        """Kill every process of the peer without a word."""
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        self._children.clear()

    def end(self) -> None:
        """Leave nothing behind."""
        self.kill()
        self.cluster.end()


@contextmanager
def a_site(postgres: Postgres | None, options: Mapping[str, str]) -> Iterator[Site]:
    """A site with a running insurer, on SQLite unless a server is given."""
    with folder() as place:
        url = f"sqlite:///{place}/optout.db"
        if postgres:
            url = postgres.create_database(f"bench_{secrets.token_hex(8)}")
        cluster = Cluster(place, url, partners={"ACME": options}, top=TOP)
        site = Site(cluster, url if postgres else f"sqlite:///{place}/peer.db")
        try:
            cluster.start_insurers()
            yield site
        finally:
            site.end()


def path_of(name: str) -> Path:
    """Return where a file beside this one lies."""
    return Path(__file__).with_name(name)
