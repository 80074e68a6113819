"""Two web processes, two workers, PostgreSQL and nginx with TLS, as `scaled` puts them together.

The commands, and what nginx makes of its configuration, are those of deploy/compose.yaml.
"""

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, free_port, until
from tests.clients.front import ADDRESS, Nginx
from tests.faults.cluster import Cluster
from tests.faults.postgres import a_server
from tests.operate.shipped import DEPLOY, compose, options

WEBS = ("web-1", "web-2")
WORKERS = ("work-1", "work-2")


class Front(Nginx):
    """nginx in front of several web processes, by the command of the service `front`."""

    def __init__(self, *behind: int) -> None:
        told: str = compose()["services"]["front"]["environment"]["BEHIND"]
        ports = iter(behind)
        self._servers = re.sub(r"172[.\d]+:8080", lambda _: f"{ADDRESS}:{next(ports)}", told)
        super().__init__(behind[0])
        self.url = f"https://{ADDRESS}:{self.port}/v1/choices"
        self.authority = str(self.folder / "authority.pem")

    def _text(self, behind: int) -> str:  # noqa: ARG002  # they are several
        """Return what the container's command makes of the shipped file, with paths of the test."""
        made = self.folder / "made.conf"
        steps = self.folder / "shipped.sed"
        steps.write_text((DEPLOY / "nginx.sed").read_text().replace("/tmp/", f"{self.folder}/"))  # noqa: S108
        script: str = compose()["services"]["front"]["command"][2].partition("exec nginx")[0]
        script = script.replace("$$", "$").replace("/tmp/nginx.conf", str(made))  # noqa: S108  # its
        for name, path in (("conf", DEPLOY / "nginx.conf"), ("sed", steps)):
            script = script.replace(f"/etc/nginx/shipped.{name}", str(path))
        environ = {**os.environ, "BEHIND": self._servers}
        subprocess.run(["/bin/sh", "-euc", script], env=environ, check=True)
        certificate = f"{self.folder}/{ADDRESS}.pem"
        text = re.sub(r"/etc/nginx/proxy\.shop\.example\.\w+", certificate, made.read_text())
        text = text.replace("/var/log/nginx", f"{self.folder}/log")
        return text.replace("listen 443 ssl", f"listen {ADDRESS}:{self.port} ssl")


class Customers:
    """They decline one offer after the other, each until it is acknowledged."""

    def __init__(self, cluster: Cluster, front: Front) -> None:
        self._headers = cluster.headers()
        self._front = front
        self._closed = threading.Event()
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []  # what no customer should ever be told

    @contextmanager
    def shopping(self, count: int = 4) -> Iterator[None]:
        """So many at a time, as long as the block lasts."""
        threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._closed.set()
            for thread in threads:
                thread.join()

    def more(self, count: int) -> None:
        """Wait until *count* more are acknowledged."""
        goal = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= goal or self.refused, "acknowledgements")
        assert self.refused == []

    def _run(self, customer: int) -> None:
        number = 0
        while not self._closed.is_set():
            number += 1
            now = int(time.time() * 1000)
            offer = f"offer-{customer}-{number}"
            told = {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
            while not self._is_acknowledged(told):
                pass

    def _is_acknowledged(self, told: dict[str, Any]) -> bool:
        """Tell it once; True when it is acknowledged, or when nobody will ever do so."""
        try:
            answer = requests.post(
                self._front.url,
                json=told,
                headers=self._headers,
                verify=self._front.authority,
                timeout=PATIENCE_S,
            )
        except requests.ConnectionError:
            return False
        if answer.status_code == 503:
            return False
        if answer.status_code == 202:
            self.acknowledged.add(told["offer"])
        else:
            self.refused.append(answer.text)
        return True


@contextmanager
def scaled(folder: Path, *, webs: int = 2, workers: int = 2) -> Iterator[tuple[Cluster, Front]]:
    """The deployment of the profile, on a server of its own; `migrate` is done before the rest."""
    with a_server() as postgres:
        top = {"trusted_proxies": f'["{ADDRESS}/32"]', "lease": '"25s"'}
        cluster = Cluster(folder, postgres.create_database("optout"), top=top)
        try:
            cluster.migrate()
            cluster.start_insurers()
            for name in WORKERS[:workers]:
                start_worker(cluster, name)
            for name in WEBS[:webs]:
                cluster.start_web(name, *options(name), wait=False)
            for name in WEBS[:webs]:
                until(lambda web=name: cluster.is_up(web), name)
            with Front(*(cluster.ports[name][0] for name in WEBS[:webs])) as front:
                yield cluster, front
        finally:
            cluster.end()


def start_worker(cluster: Cluster, name: str) -> None:
    """Start the worker *name* with a private listener of its own."""
    listens = ["--admin-bind", f"{ADDRESS}:{free_port()}"]
    cluster.start_worker(name, *options(name), *listens, wait=False)


def assert_each_delivered_once(cluster: Cluster, expected: set[str]) -> None:
    """The insurer has taken every one of *expected*, once, and nothing else."""
    until(lambda: cluster.delivered() >= expected, "every delivery")
    taken = [one["offer"] for one in cluster.received() if one["effect"]]
    assert sorted(taken) == sorted(expected)


def test_a_killed_web_process_is_passed_over(tmp_path: Path) -> None:
    """The other one is asked; every decline that was acknowledged is delivered once."""
    with scaled(tmp_path, workers=1) as (cluster, front):
        customers = Customers(cluster, front)
        with customers.shopping():
            customers.more(20)
            cluster.processes["web-1"].kill()
            customers.more(20)
        assert_each_delivered_once(cluster, customers.acknowledged)


@pytest.mark.thorough
def test_a_killed_web_process_and_a_killed_worker_lose_nothing(tmp_path: Path) -> None:
    """Killed under load, one of each; their successors and the others do the rest."""
    with scaled(tmp_path) as (cluster, front):
        cluster.fault("hang", seconds=0.2)  # so that something is always under way
        customers = Customers(cluster, front)
        with customers.shopping():
            customers.more(100)
            cluster.processes["work-1"].kill()
            cluster.processes["web-1"].kill()
            customers.more(100)
            cluster.start_web("web-1", *options("web-1"))
            start_worker(cluster, "work-1")
            cluster.processes["web-2"].kill()
            customers.more(100)
        assert_each_delivered_once(cluster, customers.acknowledged)
        assert all(one["verified"] for one in cluster.received())
