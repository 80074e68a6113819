"""`make bench`: the figures that this machine gives, as ratios between runs side by side."""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from proxy.settings import load
from proxy.tokens import Keyring
from tests.acceptance.deployment import Deployment, free_port, until
from tests.faults.cluster import Cluster
from tests.faults.pace import fullest_second
from tests.faults.postgres import a_server

import audit as verified  # isort: skip
import batches as told  # isort: skip
import dashboard as looked  # isort: skip
import scaling as scaled  # isort: skip
from snippet import rows  # isort: skip

ROUNDS = 3
CHOICES = 4_000
CONNECTIONS = 32
SENDERS = 16
DELIVERIES = 1_500
PACED = 600
IDLE = {"settle": '"1h"'}  # accepted and on disk, and the worker has nothing to do


def load_from(port: int, bodies: list[str], host: str, origin: str, rate: float = 0) -> Any:
    """Let a second process send *bodies*; return its result."""
    built = [
        f"POST /v1/choices HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
        for body in bodies
    ]
    job = {
        "host": "127.0.0.1",
        "port": port,
        "requests": built,
        "connections": CONNECTIONS,
        "rate": rate,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("load.py"))],
        input=json.dumps(job).encode(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    result = json.loads(done.stdout)
    assert set(result["statuses"]) == {"202"}, result["statuses"]
    return result


def bodies_of(deployment: Deployment, count: int) -> list[str]:
    """Return *count* declines of distinct offers, each with a token of its own."""
    keyring = Keyring.from_settings(load(deployment.config, {}))
    now = time.time()
    return [
        urlencode(
            {
                "token": keyring.mint(
                    "ACME", offer=f"offer-{number}", origin=deployment.origin, now=int(now)
                ),
                "choice": "declined",
                "id": str(uuid4()),
                "seq": int(now * 1000),
                "at": int(now * 1000),
            }
        )
        for number in range(count)
    ]


@contextmanager
def deployed(**upstream: str) -> Iterator[Deployment]:
    """A deployment in a folder of its own, on the disk that this repository lies on."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        deployment = Deployment(Path(folder), **upstream)
        try:
            deployment.start()
            yield deployment
        finally:
            deployment.end()


def accept_ours(deployment: Deployment, bodies: list[str]) -> Any:
    """Accepted and on disk."""
    host = f"127.0.0.1:{deployment.port}"
    return load_from(deployment.port, bodies, host, deployment.origin)


def accept_bare(deployment: Deployment, bodies: list[str]) -> Any:
    """The same request, believed and forgotten."""
    port = free_port()
    script = str(Path(__file__).with_name("bare.py"))
    child = subprocess.Popen([sys.executable, script, str(deployment.config), str(port)])
    try:
        until(lambda: _listens(port), "the bare server")
        return load_from(port, bodies, f"127.0.0.1:{port}", deployment.origin)
    finally:
        child.terminate()
        child.wait()


def accept() -> list[tuple[str, str, str]]:
    """Return the rows on accepting."""
    ratios, tails, rates = [], [], []
    for _ in range(ROUNDS):
        with deployed(**IDLE) as deployment:
            bodies = bodies_of(deployment, CHOICES)
            bare, ours = accept_bare(deployment, bodies), accept_ours(deployment, bodies)
        ratios.append(bare["seconds"] / ours["seconds"])
        tails.append(_percentile(ours["latencies"], 99) / _percentile(bare["latencies"], 99))
        rates.append(CHOICES / ours["seconds"])
    return [
        ("accepted, of bare", _spread(ratios), ">= 0.8"),
        ("p99, of bare's", _spread(tails), "<= 3"),
        ("accepted per second", _spread(rates, 0), ""),
    ]


def deliver() -> list[tuple[str, str, str]]:
    """Return the row on delivering: ours beside a loop of `requests.Session`."""
    ratios = []
    for _ in range(ROUNDS):
        with deployed(settle='"3s"') as deployment:
            accept_ours(deployment, bodies_of(deployment, DELIVERIES))
            ours = _span_of(deployment)
            bare = _bare_loop(deployment)
        ratios.append(bare / ours)
    return [("delivered, of a bare loop", _spread(ratios), ">= 0.8")]


def lateness() -> list[tuple[str, str, str]]:
    """Return the rows on lateness: accepted until upstream has it, p95 in ms."""
    rows = []
    for rate in (50, 200):
        with deployed() as deployment:
            bodies = bodies_of(deployment, rate * 5)
            host = f"127.0.0.1:{deployment.port}"
            result = load_from(deployment.port, bodies, host, deployment.origin, rate)
            received = _all_received(deployment, len(bodies))
            arrived = {one["offer"]: one["received_at"] for one in received}
        late = [
            arrived[f"offer-{number}"] - at * 1000 for number, at in result["answered_at"].items()
        ]
        rows.append((f"lateness at {rate}/s, p95", f"{_percentile(late, 95):.0f} ms", "<= 50 ms"))
    return rows


def pace() -> list[tuple[str, str, str]]:
    """Return the rows on three workers that share a pace of 20 a second on PostgreSQL."""
    with clustered({"ACME": {"rate_per_second": "20"}}) as cluster:
        cluster.decline_all(offers := [f"offer-{number}" for number in range(PACED)])
        until(lambda: cluster.delivered() == set(offers), "every delivery")
        received = cluster.received()
    assert {one["status"] for one in received} == {204}, "the insurer refused"
    times = sorted(one["received_at"] for one in received)
    share = (PACED - 1) / 20 / ((times[-1] - times[0]) / 1000)
    return [
        ("pace with 3 workers", f"{share:.3f} of the rate", ">= 0.95"),
        ("fullest second at 20/s", str(fullest_second(times)), "<= 21"),
    ]


def hanging() -> list[tuple[str, str, str]]:
    """Return the row on a partner beside one whose insurer hangs with 10,000 rows due."""
    with clustered({"ACME": {}, "OTHER": {}}) as cluster:
        cluster.fault("hang", seconds=20.0)
        cluster.decline_all([f"hangs-{number}" for number in range(10_000)])
        until(lambda: len(cluster.received()) >= 8, "the insurer to hang")
        said = {}
        for number in range(1_000):
            assert cluster.say(f"quick-{number}", partner="OTHER").status_code == 202
            said[f"quick-{number}"] = time.time() * 1000
        until(lambda: cluster.delivered("OTHER") == set(said), "the other's deliveries")
        arrived = {one["offer"]: one["received_at"] for one in cluster.received(partner="OTHER")}
    late = [arrived[offer] - at for offer, at in said.items()]
    return [("beside a hanging one, p95", f"{_percentile(late, 95):.0f} ms", "<= 1000 ms")]


@contextmanager
def clustered(partners: dict[str, dict[str, str]]) -> Iterator[Cluster]:
    """One web process and three workers on PostgreSQL."""
    with a_server() as server, tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder), server.create_database("bench"), partners=partners)
        try:
            cluster.start_insurers()
            cluster.migrate()
            cluster.start(workers=3)
            yield cluster
        finally:
            cluster.end()


def _span_of(deployment: Deployment) -> float:
    """Return the seconds from the first opt-out that upstream saw to the last."""
    times = [entry["received_at"] for entry in _all_received(deployment, DELIVERIES)]
    return float(max(times) - min(times)) / 1000


def _all_received(deployment: Deployment, count: int) -> list[dict[str, Any]]:
    """Wait until upstream has seen *count* opt-outs; return them."""
    until(lambda: len(deployment.received()) >= count, "every delivery")
    return deployment.received()


def _bare_loop(deployment: Deployment) -> float:
    """Return the seconds that as many threads take that only send."""
    left = list(range(DELIVERIES))
    url = f"http://127.0.0.1:{deployment.sandbox_port}/x/partners/LLODT/offers/bare-"

    def send() -> None:
        with requests.Session() as session:
            while left:
                number = left.pop()
                session.post(f"{url}{number}/opt_out/", json={}, timeout=60)

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _listens(port: int) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/", timeout=5)
    except requests.ConnectionError:
        return False
    return True


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def _spread(values: list[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f}  ({min(values):.{digits}f} to {max(values):.{digits}f})"


def snippet() -> list[tuple[str, str, str]]:
    """Return the rows on what the snippet costs a page."""
    return list(rows())


def batches() -> list[tuple[str, str, str]]:
    """Return the rows on what a partner's server tells in batches."""
    return told.rows(deployed, IDLE)


def audit() -> list[tuple[str, str, str]]:
    """Return the rows on verifying what is on record."""
    return list(verified.rows())


def scaling() -> list[tuple[str, str, str]]:
    """Return the rows behind docs/scaling.md, and draw its pictures."""
    return list(scaled.rows())


def dashboard() -> list[tuple[str, str, str]]:
    """Return the rows on the dashboard's pages with a million offers."""
    return list(looked.rows())


PARTS = (accept, batches, deliver, lateness, pace, hanging, audit, snippet, scaling, dashboard)


def main() -> None:
    """Print the table; arguments name parts of it."""
    chosen = [part for part in PARTS if not sys.argv[1:] or part.__name__ in sys.argv[1:]]
    for part in chosen:
        for what, figure, reach in part():
            print(f"{what:<38}  {figure:<28}{reach}", flush=True)


if __name__ == "__main__":
    main()
