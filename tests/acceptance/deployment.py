"""A deployment of real processes: sandbox and proxy. Knows the product from outside only."""

import base64
import hashlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

PATIENCE_S = 60.0  # for a process to come up or a delivery to arrive; never a measure of speed


_GIVEN: deque[int] = deque(maxlen=1_000)  # whoever was given one may not listen on it yet


def free_port() -> int:
    """Return a port that nothing listens on now, and that no outgoing connection will be given.

    Nor is it given to anybody else soon.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # below Linux' ephemeral ports
        if port in _GIVEN:
            continue
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _GIVEN.append(port)
            return port


def until(condition: Any, what: str) -> Any:
    """Return the first true value of *condition*; fail, naming *what*, if none ever comes."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


@dataclass
class Process:
    """A child process in a group of its own."""

    arguments: list[str]
    log: Path
    environ: dict[str, str] = field(default_factory=dict)
    prefix: list[str] = field(default_factory=list)  # a program that runs it, a tracer say
    cwd: Path | None = None
    child: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it; its output goes to the log."""
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "proxy", *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                cwd=self.cwd,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the whole process group, if it has not ended, without a word."""
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)

    def end(self) -> None:
        """Leave nothing behind."""
        self.kill()


class Deployment:
    """One partner with one upstream of the sandbox, configured in *folder*."""

    def __init__(self, folder: Path, **upstream: str) -> None:
        self.folder = folder
        self.port, self.admin_port, self.sandbox_port = free_port(), free_port(), free_port()
        self.page_port = free_port()
        self.server_key = f"osk_live_{secrets.token_urlsafe(32)}"
        self.api_secret = secrets.token_urlsafe(32)
        self.config = folder / "optout.toml"
        self._write(upstream)
        self.sandbox = Process(
            ["sandbox", "--port", str(self.sandbox_port)],
            folder / "sandbox.log",
            {"SANDBOX_API_KEY": "key-1", "SANDBOX_API_SECRET": self.api_secret},
        )
        binds = [f"127.0.0.1:{port}" for port in (self.port, self.admin_port)]
        self.proxy = Process(
            ["serve", "--config", str(self.config), "--bind", binds[0], "--admin-bind", binds[1]],
            folder / "serve.log",
        )

    @property
    def url(self) -> str:
        """The public listener."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        """The shop's origin, the only one that is allowed."""
        return f"http://127.0.0.1:{self.page_port}"

    def start(self) -> None:
        """Start sandbox and proxy and wait until both answer."""
        self.sandbox.start()
        self.start_proxy()
        until(lambda: _answers(f"{self._sandbox_url}/_sandbox/requests"), "the sandbox")

    def start_proxy(self) -> None:
        """Start the proxy and wait until it answers."""
        self.proxy.start()
        until(self._is_up, f"the proxy\n{self.proxy.log.read_text()[-2000:]}")

    def end(self) -> None:
        """Leave nothing behind."""
        self.proxy.end()
        self.sandbox.end()

    def say(self, offer: str, choice: str = "declined", **only: Any) -> requests.Response:
        """Tell a choice as the partner's server does; *only* replaces fields."""
        now = int(time.time() * 1000)
        told = {"offer": offer, "choice": choice, "id": str(uuid4()), "seq": now, "at": now}
        return requests.post(
            f"{self.url}/v1/choices",
            json=told | only,
            headers={"Authorization": f"Bearer {self.server_key}"},
            timeout=PATIENCE_S,
        )

    def session(self, offer: str, **only: Any) -> str:
        """Return a session token for the shop's page."""
        answer = requests.post(
            f"{self.url}/v1/sessions",
            json={"offer": offer, "origin": self.origin} | only,
            headers={"Authorization": f"Bearer {self.server_key}"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def offer(self, offer: str) -> dict[str, Any]:
        """Return what the register says of an offer."""
        answer = requests.get(
            f"{self.url}/v1/offers/{offer}",
            headers={"Authorization": f"Bearer {self.server_key}"},
            timeout=PATIENCE_S,
        )
        found: dict[str, Any] = answer.json()
        return found

    def received(self, offer: str | None = None) -> list[dict[str, Any]]:
        """Return the opt-outs that the sandbox has seen, of one offer or of all."""
        entries: list[dict[str, Any]] = requests.get(
            f"{self._sandbox_url}/_sandbox/requests",
            params={"offer": offer} if offer else {},
            timeout=PATIENCE_S,
        ).json()
        return [entry for entry in entries if entry["api"]]

    def received_or_none(self, offer: str) -> list[dict[str, Any]]:
        """Return what `received` does; nothing while the sandbox is still starting."""
        return self.received(offer) if _answers(f"{self._sandbox_url}/_sandbox/faults") else []

    def fault(self, fault: str, **rule: Any) -> None:
        """Script a fault of the sandbox."""
        answer = requests.post(
            f"{self._sandbox_url}/_sandbox/faults",
            json=[{"fault": fault, "match": {}} | rule],
            timeout=PATIENCE_S,
        )
        assert answer.ok, answer.text

    @property
    def _sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def _is_up(self) -> bool:
        assert self.proxy.child is not None
        assert self.proxy.child.poll() is None, self.proxy.log.read_text()[-3000:]
        return _answers(f"{self.url}/healthz")

    def _write(self, upstream: dict[str, str]) -> None:
        settings = {"settle": '"0s"', "rate_per_second": "0"} | upstream
        key = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        hashed = hashlib.sha256(self.server_key.encode()).hexdigest()
        self._secret("signing", f"ots_test_{key}")
        self._secret("api-key", "key-1")
        self._secret("api-secret", self.api_secret)
        self.config.write_text(
            f'database = "sqlite:///optout.db"\n'
            f'audience = "optout-proxy:test"\n'
            f"public_url = {json.dumps(self.url)}\n"
            'audit_key_file = "audit"\n'
            'signing_key_file = "signing.pem"\n'
            'limits = { token = "off", prefix = "off", partner = "off" }\n'
            "[partners.ACME]\n"
            f"origins = [{json.dumps(self.origin)}]\n"
            'signing_keys = [{ kid = "acme-1", secret_file = "signing" }]\n'
            f'server_key_hashes = ["sha256:{hashed}"]\n'
            "[partners.ACME.upstreams.tickets]\n"
            'api = "xcover-offers"\n'
            f'base_url = "http://127.0.0.1:{self.sandbox_port}/x"\n'
            'partner_code = "LLODT"\n'
            'hmac = { api_key_file = "api-key", api_secret_file = "api-secret" }\n'
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=PATIENCE_S).ok
    except requests.ConnectionError:
        return False
