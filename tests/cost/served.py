"""A `serve` at work and one at rest: the fsyncs of the first, how often the second wakes up."""

import http.client
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import requests

from tests.acceptance.deployment import PATIENCE_S, Deployment, until
from tests.cost.writes import tracer
from tests.faults.planted import environment

CONNECTIONS = 32  # as many as `serve` has threads
SENDERS = 32  # of `serve`
CHOICES = 1_000
DELIVERIES = 500
REST_S = 3.0  # at least so long is counted
_SYNC = re.compile(r"\d+ +([0-9.]+) f(?:data)?sync\(")  # where it begins, once for each

_WOKEN = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)


def count(folder: Path, code: Path | None = None) -> dict[str, float]:
    """Return the counts of the package, or of the one in the folder *code*."""
    with at_rest(folder, code) as wakings:
        return at_work(folder, code) | wakings()


def at_work(folder: Path, code: Path | None = None) -> dict[str, float]:
    """Return how often a `serve` has things put on disk, first for choices, then for deliveries."""
    trace = folder / "trace"
    with deployed(folder / "busy", code) as deployment:
        deployment.proxy.prefix = tracer(trace, "-ttt")
        deployment.start()
        choices = _decline_all(deployment)
        deliveries = deliver(deployment)
        _stop(deployment)
    syncs = [float(found[1]) for found in map(_SYNC.match, trace.read_text().splitlines()) if found]
    return {
        f"fsyncs of serve, choices: {CHOICES}": _within(choices, syncs),
        f"fsyncs of serve, deliveries: {DELIVERIES}": _within(deliveries, syncs),
    }


@contextmanager
def at_rest(folder: Path, code: Path | None = None) -> Iterator[Callable[[], dict[str, float]]]:
    """Start a `serve` with nothing to do; yield what tells how often it has woken up since."""
    with deployed(folder / "idle", code) as deployment:
        deployment.start_proxy()
        before, since = _wakings(deployment), time.monotonic()

        def wakings() -> dict[str, float]:
            time.sleep(max(0.0, since + REST_S - time.monotonic()))  # nothing is waited for
            woken = _wakings(deployment) - before
            return {"wakings of an idle serve in a second": woken / (time.monotonic() - since)}

        yield wakings


@contextmanager
def deployed(folder: Path, code: Path | None) -> Iterator[Deployment]:
    """A deployment whose reports wait for the purchase, nothing of it started."""
    folder.mkdir()
    deployment = Deployment(folder, report_on='"purchase"')
    deployment.proxy.environ = environment(code) if code else {}
    try:
        yield deployment
    finally:
        deployment.end()


Span = tuple[float, float]  # Unix seconds


def _within(span: Span, times: Iterable[float]) -> int:
    return sum(span[0] <= one <= span[1] for one in times)


def _decline_all(deployment: Deployment) -> Span:
    """Have the offers declined, one in flight on each connection; nothing is reported yet."""
    messages = [_message(number) for number in range(CHOICES)]
    shares = [messages[first::CONNECTIONS] for first in range(CONNECTIONS)]
    begun = time.time()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(lambda share: _post(deployment, share), shares))
    return begun, time.time()


def _post(deployment: Deployment, messages: Iterable[dict[str, Any]]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", deployment.port, PATIENCE_S)) as line:
        for message in messages:
            line.request("POST", "/v1/choices", json.dumps(message), _headers(deployment, "json"))
            answer = line.getresponse()
            assert (answer.status, bool(answer.read())) == (202, True)


def deliver(deployment: Deployment) -> Span:
    """Tell of purchases, all in one commit, and wait until every report has arrived."""
    lines = [json.dumps(_message(number, purchased=True)) for number in range(DELIVERIES)]
    begun = time.time()
    answer = requests.post(
        f"{deployment.url}/v1/choices/batch",
        data="\n".join(lines),
        headers=_headers(deployment, "x-ndjson"),
        timeout=PATIENCE_S,
    )
    assert answer.text.count('"receipt"') == DELIVERIES, answer.text[:500]
    until(lambda: _delivered(deployment) == DELIVERIES, "every report to arrive")
    return begun, time.time()


def _message(number: int, **only: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    told = {"offer": f"o-{number}", "choice": "declined", "id": str(uuid4())}
    return told | {"seq": now, "at": now} | only


def _headers(deployment: Deployment, media: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {deployment.server_key}",
        "Content-Type": f"application/{media}",
    }


def _delivered(deployment: Deployment) -> int:
    database = f"file:{deployment.folder / 'optout.db'}?mode=ro"
    with closing(sqlite3.connect(database, uri=True)) as connection:
        found = connection.execute("SELECT count(*) FROM offers WHERE report = 'delivered'")
        return int(found.fetchone()[0])


def _wakings(deployment: Deployment) -> int:
    """Return how often the threads of a `serve` have gone to sleep, each to be woken again."""
    total = 0
    for process in _family(deployment):
        for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread has ended
                total += sum(map(int, _WOKEN.findall(status.read_text())))
    return total


def _family(deployment: Deployment) -> list[psutil.Process]:
    assert deployment.proxy.child is not None
    parent = psutil.Process(deployment.proxy.child.pid)
    return [parent, *parent.children(recursive=True)]


def _stop(deployment: Deployment) -> None:
    """Ask the proxy to stop, not strace, which ends with it and has written everything then."""
    tracing, master, *_ = _family(deployment)
    master.terminate()
    tracing.wait(PATIENCE_S)
