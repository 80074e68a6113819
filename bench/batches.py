"""What a shop's server gets through: 10,000 choices in ten batches, beside the same one by one."""

import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

import requests
from load import run

from tests.acceptance.deployment import Deployment

CHOICES = 10_000
LINES = 1_000
CONNECTIONS = 32
ROUNDS = 3

Deployed = Callable[..., AbstractContextManager[Deployment]]


def rows(deployed: Deployed, idle: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return the rows of the table; each round has two deployments of its own."""
    batches, ratios = [], []
    for _ in range(ROUNDS):
        with deployed(**idle) as deployment:
            single = _one_by_one(deployment, _messages())
        with deployed(**idle) as deployment:
            batches.append(_in_batches(deployment, _messages()))
        ratios.append(single / batches[-1])
    middle = statistics.median(batches)
    spread = f"{middle:.1f} s  ({min(batches):.1f} to {max(batches):.1f})"
    times = f"{statistics.median(ratios):.1f}  ({min(ratios):.1f} to {max(ratios):.1f})"
    return [
        ("10,000 in 10 batches", spread, "<= 10 s"),
        ("in batches, per second", f"{CHOICES / middle:.0f}", ""),
        ("times faster than singly", times, ""),
    ]


def _messages() -> list[bytes]:
    """Return declines of distinct offers."""
    now = int(time.time() * 1000)
    told = [
        {"offer": f"o-{number}", "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
        for number in range(CHOICES)
    ]
    return [json.dumps(message).encode() for message in told]


def _in_batches(deployment: Deployment, messages: list[bytes]) -> float:
    """Return the seconds from the first batch to the last answer."""
    headers = {
        "Authorization": f"Bearer {deployment.server_key}",
        "Content-Type": "application/x-ndjson",
    }
    bodies = [b"\n".join(messages[at : at + LINES]) for at in range(0, CHOICES, LINES)]
    url = f"{deployment.url}/v1/choices/batch"
    with requests.Session() as session:
        begun = time.perf_counter()
        answers = [session.post(url, data=body, headers=headers, timeout=60) for body in bodies]
        seconds = time.perf_counter() - begun
    said: list[dict[str, Any]] = [json.loads(one) for text in answers for one in text.iter_lines()]
    assert len(said) == CHOICES
    assert all("receipt" in one for one in said), "a line was refused"
    return seconds


def _one_by_one(deployment: Deployment, messages: list[bytes]) -> float:
    """Return the seconds that as many single calls take, over 32 connections."""
    built = [
        f"POST /v1/choices HTTP/1.1\r\nHost: 127.0.0.1:{deployment.port}\r\n"
        f"Authorization: Bearer {deployment.server_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(message)}\r\n\r\n".encode()
        + message
        for message in messages
    ]
    result = run("127.0.0.1", deployment.port, built, connections=CONNECTIONS, rate=0)
    assert set(result.statuses) == {"202"}, result.statuses
    return result.seconds
