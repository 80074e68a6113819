"""Python's work: how often it calls a function for a choice and for a delivery.

Run as a program: prints the counts. Calls of Python's and of C's functions, as the interpreter
tells them to a profiler, in the thread of the request and in the writer's.
"""

import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import Flask

from proxy.app import Service
from proxy.clocks import wall
from proxy.reload import Configuration
from proxy.settings import load
from proxy.tokens import Keyring
from proxy.web.public import create_public
from tests.acceptance.deployment import Deployment
from tests.cost.at_once import a_meeting

WARM = 5  # requests that fill what is kept
REQUESTS = 20
ROUNDS = 5
BATCH = 16

# What is done once for a choice: more is waste, and less is a hole.
ONCE = {
    "proxy.web.forms.parse": "forms parsed",
    "proxy.tokens.Keyring.verify": "tokens verified",
    "proxy.intake.Intake.record": "choices recorded",
    "compare_digest": "digests compared",
    "Ed25519PrivateKey.sign": "receipts signed",
}

Environ = dict[str, Any]


class Profile:
    """Counts the calls of those threads that it is set in."""

    def __init__(self) -> None:
        self.calls = 0
        self.named: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Count what the interpreter tells."""
        if event == "call":
            name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
        elif event == "c_call":
            name = getattr(argument, "__qualname__", "")
        else:
            return
        self.calls += 1
        if name in ONCE:
            self.named[name] += 1

    def clear(self) -> None:
        """Forget what was before."""
        self.calls = 0
        self.named.clear()


@contextmanager
def profiling() -> Iterator[Profile]:
    """Count in every writer that is started meanwhile."""
    profile = Profile()

    def begin(_frame: FrameType, _event: str, _argument: Any) -> None:
        is_writer = threading.current_thread().name.startswith("writer")
        sys.setprofile(profile if is_writer else None)

    threading.setprofile(begin)
    try:
        yield profile
    finally:
        threading.setprofile(None)


def of_page(folder: Path) -> dict[str, float]:
    """Return the calls for a page's request to the whole application, one after the other.

    What is not in it: the server that reads from a socket.
    """
    shop = Deployment(folder, settle='"1h"')
    configuration = Configuration(load(shop.config, {}), shop.config, {})
    with profiling() as profile:
        service = Service(configuration, with_worker=False)
        service.start()
        try:
            app = create_public(
                configuration, service.intake, service.signer, wall, telemetry=service.telemetry
            )
            requests = [_environ(shop, form) for form in forms(shop, WARM + REQUESTS)]
            _answer(app, requests[:WARM])
            profile.clear()
            sys.setprofile(profile)
            _answer(app, requests[WARM:])
            sys.setprofile(None)
        finally:
            service.stop()
    once = {
        f"{what} per page request": profile.named[name] / REQUESTS for name, what in ONCE.items()
    }
    return {"calls per page request": profile.calls / REQUESTS} | once


def forms(shop: Deployment, count: int) -> list[bytes]:
    """Return what *count* pages of *shop* send, each about an offer of its own."""
    keyring, now = Keyring.from_settings(load(shop.config, {})), wall()
    told = [
        {
            "token": keyring.mint("ACME", offer=f"o-{n}", origin=shop.origin, now=now // 1000),
            "choice": "declined",
            "id": str(UUID(int=n, version=4)),
            "seq": now,
            "at": now,
        }
        for n in range(count)
    ]
    return [urlencode(one).encode() for one in told]


def _environ(shop: Deployment, body: bytes) -> Environ:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/choices",
        "RAW_URI": "/v1/choices",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(shop.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": shop.url.removeprefix("http://"),
        "HTTP_ORIGIN": shop.origin,
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
    }


def _answer(app: Flask, requests: list[Environ]) -> None:
    statuses: list[str] = []

    def start(status: str, _headers: object, _error: object = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return bytes  # nobody writes by it

    for environ in requests:
        answer = app(environ, start)
        b"".join(answer)
        answer.close()  # type: ignore[attr-defined]  # as a server does
    assert statuses == ["202 ACCEPTED"] * len(requests), statuses


def of_writer(folder: Path) -> dict[str, float]:
    """Return the calls of the writer for choices and deliveries that come 16 at once."""
    with profiling() as profile, a_meeting(f"sqlite:///{folder / 'writer.db'}") as meeting:
        meeting.record(BATCH)
        meeting.deliver(BATCH)
        profile.clear()
        for _ in range(ROUNDS):
            meeting.record(BATCH)
        choices = profile.calls
        for _ in range(ROUNDS):
            meeting.deliver(BATCH)
        deliveries = profile.calls - choices
    return {
        "calls of the writer per choice, 16 at once": choices / ROUNDS / BATCH,
        "calls of the writer per delivery, 16 at once": deliveries / ROUNDS / BATCH,
    }


def count() -> dict[str, float]:
    """Return all of them."""
    with tempfile.TemporaryDirectory() as folder:
        return of_page(Path(folder)) | of_writer(Path(folder))


if __name__ == "__main__":
    json.dump(count(), sys.stdout)
