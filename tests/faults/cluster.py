"""A deployment of several processes on either engine: insurers, web processes, workers."""

import base64
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from tests.acceptance.deployment import PATIENCE_S, Process, free_port, until

ORIGIN = "http://127.0.0.1:9"  # of the shop's pages, which no browser opens here
HOST = "proxy.shop.example"  # what every web process is called, whichever is asked


@dataclass(kw_only=True)
class Partner:
    """A shop and the insurer it reports to, which is a sandbox of its own."""

    name: str
    api_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    server_key: str = field(
        default_factory=lambda: f"osk_live_{secrets.token_urlsafe(32)}", repr=False
    )
    port: int = field(default_factory=free_port)  # of its sandbox
    options: Mapping[str, str] = field(default_factory=dict)  # of its upstream, as TOML

    @property
    def insurer(self) -> str:
        """Where its sandbox listens."""
        return f"http://127.0.0.1:{self.port}"


class Cluster:
    """Processes by name, configured in *folder*; start what the test needs.

    `partners` maps names to options of the upstream, `top` holds settings of the whole
    deployment, `code` is a folder with another `proxy` package to run.
    """

    def __init__(
        self,
        folder: Path,
        database: str = "sqlite:///optout.db",
        *,
        partners: Mapping[str, Mapping[str, str]] | None = None,
        top: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> None:
        self.folder = folder
        self.database = database
        self.config = folder / "optout.toml"
        self.partners = {
            name: Partner(name=name, options=options)
            for name, options in (partners or {"ACME": {}}).items()
        }
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, tuple[int, int]] = {}  # of web processes: public and private
        self._code = code
        self.write(top or {})

    # -- processes ----------------------------------------------------------------------------

    def start_insurers(self) -> None:
        """Start a sandbox for every partner."""
        for partner in self.partners.values():
            self._add(
                f"insurer-{partner.name}",
                ["sandbox", "--port", str(partner.port)],
                {"SANDBOX_API_KEY": "key-1", "SANDBOX_API_SECRET": partner.api_secret},
            ).start()
        for partner in self.partners.values():
            until(lambda one=partner: answers(f"{one.insurer}/_sandbox/faults"), "the sandbox")

    def start_web(
        self, name: str = "web", *options: str, code: Path | None = None, wait: bool = True
    ) -> Process:
        """Start a `serve` under *name*, or start it again; *options* are the command's own."""
        port, admin = self.ports.setdefault(name, (free_port(), free_port()))
        binds = ["--bind", f"127.0.0.1:{port}", "--admin-bind", f"127.0.0.1:{admin}"]
        arguments = ["serve", "--config", str(self.config), *binds, *options]
        process = self._add(name, arguments, code=code)
        process.start()
        if wait:
            until(lambda: self.is_up(name), f"{name} to answer")
        return process

    def start_worker(
        self, name: str, *options: str, code: Path | None = None, wait: bool = True
    ) -> Process:
        """Start a `work` under *name*, or start it again."""
        process = self._add(name, ["work", "--config", str(self.config), *options], code=code)
        told = process.log.stat().st_size if process.log.exists() else 0
        process.start()
        if wait:
            until(lambda: _has_started(process, told), f"{name} to start")
        return process

    @property
    def is_embedded(self) -> bool:
        """True on SQLite, where one process does everything."""
        return self.database.startswith("sqlite")

    def start(self, *, workers: int = 1) -> None:
        """Start what the engine needs: `serve`, on PostgreSQL with so many `work` beside it."""
        if self.is_embedded:
            self.start_web()
            return
        for number in range(workers):
            self.start_worker(f"work-{number}")
        self.start_web("web", "--no-worker")

    def command(self, *arguments: str, code: Path | None = None) -> tuple[int, str]:
        """Run another command of the command line; return its exit status and output."""
        process = self._add("command", [*arguments, "--config", str(self.config)], code=code)
        process.log.unlink(missing_ok=True)
        process.start()
        assert process.child is not None
        status = process.child.wait(PATIENCE_S)
        return status, process.log.read_text()

    def migrate(self, code: Path | None = None) -> None:
        """Bring the database to the schema of the code."""
        status, said = self.command("migrate", code=code)
        assert status == 0, said

    def end(self) -> None:
        """Leave nothing behind."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.end()

    def is_up(self, name: str = "web") -> bool:
        """True when the web process *name* answers; it must not have ended."""
        process = self.processes[name]
        assert process.child is not None
        assert process.child.poll() is None, process.log.read_text()[-3000:]
        return answers(f"{self.url(name)}/healthz")

    def url(self, name: str = "web") -> str:
        """Return where the web process *name* listens."""
        return f"http://127.0.0.1:{self.ports[name][0]}"

    def admin_url(self, name: str = "web") -> str:
        """Return where its private side listens."""
        return f"http://127.0.0.1:{self.ports[name][1]}"

    def logs(self) -> str:
        """Return what all processes have written."""
        return "".join(process.log.read_text() for process in self.processes.values())

    def _add(
        self,
        name: str,
        arguments: list[str],
        environ: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> Process:
        code = code or self._code
        path = {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"} if code else {}
        self.processes[name] = Process(
            arguments, self.folder / f"{name}.log", {**path, **(environ or {})}, cwd=self.folder
        )
        return self.processes[name]

    # -- the shop's side ----------------------------------------------------------------------

    def say(
        self,
        offer: str,
        choice: str = "declined",
        *,
        partner: str = "ACME",
        web: str = "web",
        timeout: float = PATIENCE_S,
        **only: Any,
    ) -> requests.Response:
        """Tell a choice as the partner's server does; *only* replaces fields."""
        now = int(time.time() * 1000)
        told = {"offer": offer, "choice": choice, "id": str(uuid4()), "seq": now, "at": now}
        return requests.post(
            f"{self.url(web)}/v1/choices",
            json=told | only,
            headers=self.headers(partner),
            timeout=timeout,
        )

    def decline_all(self, offers: Sequence[str], partner: str = "ACME", web: str = "web") -> None:
        """Have *offers* declined in batches, one commit each; all are acknowledged."""
        now = int(time.time() * 1000)
        for first in range(0, len(offers), 1_000):  # as many as a batch may have
            lines = [
                {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
                for offer in offers[first : first + 1_000]
            ]
            answer = requests.post(
                f"{self.url(web)}/v1/choices/batch",
                data="\n".join(map(json.dumps, lines)),
                headers=self.headers(partner) | {"Content-Type": "application/x-ndjson"},
                timeout=PATIENCE_S,
            )
            assert answer.status_code == 200, answer.text
            said = [json.loads(line) for line in answer.text.splitlines()]
            assert [one.get("choice") for one in said] == ["declined"] * len(lines), said

    def offer(self, offer: str, *, partner: str = "ACME", web: str = "web") -> dict[str, Any]:
        """Return what the register says of an offer."""
        answer = requests.get(
            f"{self.url(web)}/v1/offers/{offer}", headers=self.headers(partner), timeout=PATIENCE_S
        )
        found: dict[str, Any] = answer.json()
        return found

    def ready(self, web: str = "web") -> tuple[int, dict[str, Any]]:
        """Return what `/readyz` of a web process answers."""
        answer = requests.get(f"{self.admin_url(web)}/readyz", timeout=PATIENCE_S)
        return answer.status_code, answer.json()

    def headers(self, partner: str = "ACME") -> dict[str, str]:
        """Return what makes a request the partner's server's."""
        return {"Host": HOST, "Authorization": f"Bearer {self.partners[partner].server_key}"}

    # -- the insurer's side -------------------------------------------------------------------

    def received(self, offer: str | None = None, partner: str = "ACME") -> list[dict[str, Any]]:
        """Return the opt-outs that a partner's insurer has seen, of one offer or of all."""
        entries: list[dict[str, Any]] = requests.get(
            f"{self.partners[partner].insurer}/_sandbox/requests",
            params={"offer": offer} if offer else {},
            timeout=PATIENCE_S,
        ).json()
        return [entry for entry in entries if entry["api"]]

    def delivered(self, partner: str = "ACME") -> set[str]:
        """Return the offers that the insurer has taken."""
        return {one["offer"] for one in self.received(partner=partner) if one["effect"]}

    def fault(self, fault: str, *, partner: str = "ACME", **rule: Any) -> None:
        """Script a fault of a partner's insurer."""
        answer = requests.post(
            f"{self.partners[partner].insurer}/_sandbox/faults",
            json=[{"fault": fault, "match": {}} | rule],
            timeout=PATIENCE_S,
        )
        assert answer.ok, answer.text

    def heal(self, partner: str = "ACME") -> None:
        """Take every scripted fault away."""
        insurer = self.partners[partner].insurer
        assert requests.delete(f"{insurer}/_sandbox/faults", timeout=PATIENCE_S).ok

    # -- configuration ------------------------------------------------------------------------

    def write(self, top: Mapping[str, str]) -> None:
        """Write the configuration file and the secrets that it names."""
        lines = {
            "database": json.dumps(self.database),
            "audience": '"optout-proxy:test"',
            "public_url": json.dumps(f"https://{HOST}"),
            "audit_key_file": '"audit"',
            "signing_key_file": '"signing.pem"',
            "limits": '{ token = "off", prefix = "off", partner = "off" }',
        } | dict(top)
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        self.config.write_text(text + "".join(map(self._section, self.partners.values())))

    def _section(self, partner: Partner) -> str:
        name = partner.name
        signing = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        self._secret(f"{name}.signing", f"ots_test_{signing}")
        self._secret(f"{name}.key", "key-1")
        self._secret(f"{name}.secret", partner.api_secret)
        hashed = hashlib.sha256(partner.server_key.encode()).hexdigest()
        options = {"settle": '"0s"', "rate_per_second": "0"} | dict(partner.options)
        return (
            f"[partners.{name}]\n"
            f"origins = [{json.dumps(ORIGIN)}]\n"
            f'signing_keys = [{{ kid = "{name.lower()}-1", secret_file = "{name}.signing" }}]\n'
            f'server_key_hashes = ["sha256:{hashed}"]\n'
            f"[partners.{name}.upstreams.tickets]\n"
            'api = "xcover-offers"\n'
            f'base_url = "{partner.insurer}/x"\n'
            'partner_code = "LLODT"\n'
            f'hmac = {{ api_key_file = "{name}.key", api_secret_file = "{name}.secret" }}\n'
            + "".join(f"{key} = {value}\n" for key, value in options.items())
        )

    def _secret(self, name: str, text: str) -> None:
        path = self.folder / name
        if not path.exists():
            path.write_text(text + "\n")
            path.chmod(0o600)


def _has_started(process: Process, told: int) -> bool:
    said = process.log.read_bytes()[told:]
    assert process.child is not None
    assert process.child.poll() is None, said.decode()[-3000:]
    return b"worker.started" in said


def answers(url: str) -> bool:
    """True when something answers at *url* with success."""
    try:
        return requests.get(url, timeout=PATIENCE_S).ok
    except requests.RequestException:
        return False
