"""How fast recorded declines reach the insurer: beside threads that do nothing but send.

The bare senders are as many threads, each with a `requests.Session`: they sign, send, read the
answer, and keep nothing. Both are judged by the insurer's clock, from its first request to its
last, and the insurer verifies and remembers for both.
"""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import urlsplit

import requests

from bench.deployed import ENGINES, arrived, deployed, forget
from bench.progress import say
from bench.row import Row, measured
from proxy.settings import load
from proxy.signature import authorization
from tests.faults.cluster import Cluster

ROUNDS = 7
DELIVERIES = 2_000
WARM = 200
SETTLE_S = 8.0  # all are recorded by then, so that to record them is not measured


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table, engine by engine."""
    rounds, count = (1, 300) if quick else (ROUNDS, DELIVERIES)
    for engine in ENGINES:
        bare, ours = [], []
        with deployed(engine, settle=f"{SETTLE_S:g}s") as cluster:
            for number, size in enumerate([WARM] + [count] * rounds):
                say(f"deliver, {engine}: round {number} of {rounds}")
                rates = _bare(cluster, f"bare-{number}", size), _ours(cluster, f"o-{number}", size)
                if number:
                    bare.append(rates[0])
                    ours.append(rates[1])
        yield from _rows(engine, bare, ours)


def _rows(engine: str, bare: list[float], ours: list[float]) -> Iterator[Row]:
    ratios = [our / other for our, other in zip(ours, bare, strict=True)]
    yield measured(f"{engine}: delivered, of bare senders", ratios, at_least=0.8)
    for name, rates in (("bare senders", bare), ("optout-proxy", ours)):
        yield measured(
            f"{engine}: {name}, delivered",
            rates,
            "/s",
            digits=0,
            chart="delivered",
            bar=f"{name}, {engine}" if name == "optout-proxy" else f"{name} (beside {engine})",
        )


def _ours(cluster: Cluster, name: str, count: int) -> float:
    """Have so many declines recorded before the first is due; return how many came a second."""
    begun = time.monotonic()
    cluster.decline_all([f"{name}-{number}" for number in range(count)])
    taken = time.monotonic() - begun
    assert taken < SETTLE_S, f"{count} declines took {taken:.1f} s to record"
    return _rate(cluster, name, count)


def _bare(cluster: Cluster, name: str, count: int) -> float:
    """Let bare threads send as many; return how many came a second."""
    left = [f"{name}-{number}" for number in range(count)]
    senders = load(cluster.config, {}).senders
    threads = [threading.Thread(target=_send_all, args=(cluster, left)) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _rate(cluster, name, count)


def _send_all(cluster: Cluster, left: list[str]) -> None:
    """Send until nothing is left, as the insurer's own description says."""
    partner = cluster.partners["ACME"]
    with requests.Session() as session:
        while left:
            try:
                offer = left.pop()
            except IndexError:  # another thread took the last one
                return
            url = f"{partner.insurer}/x/partners/LLODT/offers/{offer}/opt_out/"
            date = formatdate(time.time(), usegmt=True)
            signed = authorization(
                api_key="key-1",
                api_secret=partner.api_secret,
                algorithm="hmac-sha512",
                headers=None,
                method="POST",
                target=urlsplit(url).path,
                date=date,
            )
            headers = {
                "Date": date,
                "X-Api-Key": "key-1",
                "Authorization": signed,
                "X-Idempotency-Key": offer,
            }
            answer = session.post(url, json={}, headers=headers, timeout=60)
            assert answer.status_code == 204, answer.text


def _rate(cluster: Cluster, name: str, count: int) -> float:
    times = arrived(cluster, name, count).values()
    forget(cluster)
    return (count - 1) / ((max(times) - min(times)) / 1000)
