"""What several parts need: a deployment of real processes, choices to send it, who sends them."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import requests

from bench.load import Result
from proxy.settings import load
from proxy.tokens import Keyring
from tests.acceptance.deployment import PATIENCE_S
from tests.faults.cluster import HOST, ORIGIN, Cluster
from tests.faults.postgres import a_server

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("SQLite", "PostgreSQL")
CONNECTIONS = 32


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk that this repository lies on; git does not see it."""
    place = ROOT / "dist"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-") as name:
        yield Path(name)


@contextmanager
def deployed(
    engine: str,
    *,
    processes: int = 1,
    workers: int = 1,
    settle: str = "0s",
    partners: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Cluster]:
    """A running deployment with an insurer for each partner.

    On SQLite one process does everything. On PostgreSQL there are so many *processes* that serve
    and so many *workers* beside them.
    """
    with ExitStack() as stack:
        url = "sqlite:///optout.db"
        if engine == "PostgreSQL":
            url = stack.enter_context(a_server()).create_database("bench")
        made = partners or {"ACME": {"settle": json.dumps(settle)}}
        cluster = Cluster(stack.enter_context(folder()), url, partners=made)
        stack.callback(cluster.end)
        cluster.start_insurers()
        if cluster.is_embedded:
            cluster.start_web()
        else:
            cluster.migrate()
            for number in range(workers):
                cluster.start_worker(f"work-{number}")
            cluster.start_web("web", "--no-worker", "--workers", str(processes))
        yield cluster


def bodies(cluster: Cluster, name: str, count: int) -> list[str]:
    """Return declines of the offers *name*-0 and so on, each with a token of its own."""
    keyring = Keyring.from_settings(load(cluster.config, {}))
    now = time.time()
    return [
        urlencode(
            {
                "token": keyring.mint(
                    "ACME", offer=f"{name}-{number}", origin=ORIGIN, now=int(now)
                ),
                "choice": "declined",
                "id": str(uuid4()),
                "seq": int(now * 1000),
                "at": int(now * 1000),
            }
        )
        for number in range(count)
    ]


def send(port: int, forms: Sequence[str], *, rate: float = 0) -> Result:
    """Let a second process send *forms* as pages do; every one must be answered with 202."""
    job = {
        "host": "127.0.0.1",
        "port": port,
        "requests": [post(form) for form in forms],
        "connections": CONNECTIONS,
        "rate": rate,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("load.py"))],
        input=json.dumps(job).encode(),
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    told["answered_at"] = {int(number): at for number, at in told["answered_at"].items()}
    result = Result(**told)
    assert set(result.statuses) == {"202"}, result.statuses
    return result


def post(form: str) -> str:
    """Return the request that brings *form*, as it is on the wire."""
    return (
        f"POST /v1/choices HTTP/1.1\r\nHost: {HOST}\r\nOrigin: {ORIGIN}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    )


def arrived(cluster: Cluster, name: str, count: int) -> dict[str, int]:
    """Wait until the insurer has taken *count* offers called *name*-…; return when each came, ms.

    It asks only for what is new, and seldom: to ask is work for the insurer too.
    """
    found: dict[str, int] = {}
    after, end = 0, time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} declines came, then no more"
        time.sleep(0.1)
        for entry in _requests_after(cluster, after):
            if entry["status"] is None:
                break  # not answered yet: looked at again
            after, end = entry["number"], time.monotonic() + PATIENCE_S
            if entry["effect"] and entry["offer"].startswith(f"{name}-"):
                found.setdefault(entry["offer"], entry["received_at"])
    return found


def forget(cluster: Cluster) -> None:
    """Let the insurer forget what came in, so that its list stays short."""
    insurer = cluster.partners["ACME"].insurer
    assert requests.delete(f"{insurer}/_sandbox/requests", timeout=PATIENCE_S).ok


def _requests_after(cluster: Cluster, after: int) -> list[dict[str, Any]]:
    insurer = cluster.partners["ACME"].insurer
    answer = requests.get(
        f"{insurer}/_sandbox/requests", params={"after": str(after)}, timeout=PATIENCE_S
    )
    found: list[dict[str, Any]] = answer.json()
    return found
