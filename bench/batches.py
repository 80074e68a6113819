"""What a shop's server gets through: 10,000 choices in ten batches, beside the same one by one."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import requests

from bench.deployed import CONNECTIONS, deployed
from bench.load import run
from bench.progress import say
from bench.row import Row, measured
from tests.faults.cluster import HOST, Cluster

CHOICES = 10_000
LINES = 1_000
ROUNDS = 3


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table; each round has two deployments of its own."""
    rounds = 1 if quick else ROUNDS
    batches, ratios = [], []
    for number in range(rounds):
        say(f"batches: round {number + 1} of {rounds}")
        with deployed("SQLite", settle="1h") as cluster:
            single = _one_by_one(cluster, _messages())
        with deployed("SQLite", settle="1h") as cluster:
            batches.append(_in_batches(cluster, _messages()))
        ratios.append(single / batches[-1])
    yield measured("10,000 in 10 batches", batches, "s", digits=1, at_most=10)
    yield measured("in batches", [CHOICES / seconds for seconds in batches], "/s", digits=0)
    yield measured("times faster than singly", ratios, digits=1)


def _messages() -> list[bytes]:
    """Return declines of distinct offers."""
    now = int(time.time() * 1000)
    told = [
        {"offer": f"o-{number}", "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
        for number in range(CHOICES)
    ]
    return [json.dumps(message).encode() for message in told]


def _in_batches(cluster: Cluster, messages: list[bytes]) -> float:
    """Return the seconds from the first batch to the last answer."""
    headers = cluster.headers() | {"Content-Type": "application/x-ndjson"}
    bodies = [b"\n".join(messages[at : at + LINES]) for at in range(0, CHOICES, LINES)]
    url = f"{cluster.url()}/v1/choices/batch"
    with requests.Session() as session:
        begun = time.perf_counter()
        answers = [session.post(url, data=body, headers=headers, timeout=60) for body in bodies]
        seconds = time.perf_counter() - begun
    said: list[dict[str, Any]] = [json.loads(one) for text in answers for one in text.iter_lines()]
    assert len(said) == CHOICES
    assert all("receipt" in one for one in said), "a line was refused"
    return seconds


def _one_by_one(cluster: Cluster, messages: list[bytes]) -> float:
    """Return the seconds that as many single calls take, over 32 connections."""
    key, port = cluster.partners["ACME"].server_key, cluster.ports["web"][0]
    built = [
        f"POST /v1/choices HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(message)}\r\n\r\n".encode()
        + message
        for message in messages
    ]
    result = run("127.0.0.1", port, built, connections=CONNECTIONS)
    assert set(result.statuses) == {"202"}, result.statuses
    return result.seconds
