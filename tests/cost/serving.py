"""The calls of Python that a `serve` makes for a page's request and for a delivery.

From socket to socket: with the server that reads and writes, and with all that waits. A profiler
goes into the process before anything else, and counts in a file that the process which is forked
to serve has too.
"""

import http.client
import mmap
import os
import struct
from contextlib import closing
from pathlib import Path

from tests.acceptance.deployment import PATIENCE_S, Deployment
from tests.cost.calls import forms
from tests.cost.served import DELIVERIES, deliver, deployed

WARM = 20
REQUESTS = 200
_PROFILER = """\
import mmap
import os
import sys
import threading

with open(os.environ["COUNT_CALLS_IN"], "r+b") as file:
    calls = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")


def profile(_frame, event, _argument):
    if event == "call" or event == "c_call":
        calls[0] += 1


threading.setprofile(profile)
sys.setprofile(profile)
"""


def count(folder: Path, code: Path | None = None) -> dict[str, float]:
    """Return the calls of the package, or of the one in the folder *code*."""
    counter = folder / "calls"
    counter.write_bytes(bytes(8))
    (folder / "sitecustomize.py").write_text(_PROFILER)
    with deployed(folder / "profiled", code) as shop:
        path = os.pathsep.join(map(str, filter(None, (folder, code))))
        shop.proxy.environ |= {"PYTHONPATH": path, "COUNT_CALLS_IN": str(counter)}
        bodies = forms(shop, WARM + REQUESTS)
        shop.start()
        with counter.open("rb") as file, closing(_connected(shop)) as line:
            calls = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
            _post(shop, line, bodies[:WARM])
            seen = [_read(calls)]
            _post(shop, line, bodies[WARM:])
            seen.append(_read(calls))
            deliver(shop)
            seen.append(_read(calls))
            calls.close()
    return {
        "calls of serve per page request": (seen[1] - seen[0]) / REQUESTS,
        "calls of serve per delivery": (seen[2] - seen[1]) / DELIVERIES,
    }


def _connected(shop: Deployment) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", shop.port, PATIENCE_S)


def _post(shop: Deployment, line: http.client.HTTPConnection, bodies: list[bytes]) -> None:
    headers = {"Origin": shop.origin, "Content-Type": "application/x-www-form-urlencoded"}
    for body in bodies:
        line.request("POST", "/v1/choices", body, headers)
        answer = line.getresponse()
        assert (answer.status, bool(answer.read())) == (202, True)


def _read(calls: mmap.mmap) -> int:
    (number,) = struct.unpack("Q", calls[:8])
    return int(number)
