"""The cluster that a long run is made on: one partner, two insurers' calls, either engine."""

import os
import secrets
import signal
import time
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from proxy.settings import load
from proxy.tokens import Keyring
from tests.acceptance.deployment import PATIENCE_S
from tests.faults.cluster import ORIGIN, Cluster, Partner
from tests.faults.postgres import Postgres
from tests.faults.records import wait_for
from tests.faults.shop_messages import Shop

PARTNER = "ACME"
LEASE_S = 25  # the shortest that is allowed
SENDERS = 16
ENGINES = ("sqlite", "postgresql")

_APIS: dict[str, dict[str, Any]] = {
    "tickets": {
        "api": "xcover-offers",
        "auth": "hmac",
        "path": "/x/partners/{partner_code}/offers/{offer}/opt_out/",
        "success": [204],
    },
    "elements": {
        "api": "xone-offers",
        "auth": "oauth",
        "path": "/api/partners/{partner_code}/offers/{offer}/opt-out",
        "success": [200, 204],
    },
}


class ShopCluster(Cluster):
    """Web processes and workers with one HMAC and one OAuth upstream behind one sandbox."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        code: Path | None = None,
        postgres: Postgres | None = None,
        elements: bool = True,
    ) -> None:
        self.postgres = postgres
        self.ended: list[dict[str, Any]] = []  # processes that ended without being asked
        self.client_secret = secrets.token_urlsafe(32)
        self.canary = "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(16))
        self.upstreams = ("tickets", "elements") if elements else ("tickets",)
        top = {"lease": f'"{LEASE_S}s"', "senders": str(SENDERS)}
        super().__init__(folder, database, partners={PARTNER: {}}, top=top, code=code)

    # -- processes ----------------------------------------------------------------------------

    @property
    def webs(self) -> list[str]:
        """The names of the web processes."""
        return [name for name in self.processes if name.startswith("web")]

    @property
    def workers(self) -> list[str]:
        """The names of the processes that only deliver."""
        return [name for name in self.processes if name.startswith("work")]

    def start_all(self, *, small: bool = False) -> None:
        """Start insurer, web processes and workers as the engine wants them, side by side."""
        self.start_insurers()
        if self.postgres is None:
            self.start_web("web-1", wait=False)
        else:
            self.migrate()
            several = () if small else ("--workers", "2")
            self.start_web("web-1", *several, "--no-worker", wait=False)
            self.start_web("web-2", "--no-worker", wait=False)
            for number in range(2 if small else 3):
                self.start_worker(f"work-{number + 1}")
        for name in (*self.webs, *self.workers):
            self._wait(name)
        assert wait_for(self._insurer_answers, PATIENCE_S)

    def start_insurers(self) -> None:
        """Start the sandbox with credentials for both kinds of calls."""
        partner = self.partners[PARTNER]
        environ = {
            "SANDBOX_API_KEY": "key-1",
            "SANDBOX_API_SECRET": partner.api_secret,
            "SANDBOX_CLIENT_ID": "client-1",
            "SANDBOX_CLIENT_SECRET": self.client_secret,
        }
        arguments = ["sandbox", "--port", str(partner.port)]
        self._add(f"insurer-{PARTNER}", arguments, environ).start()

    def again(self, name: str) -> None:
        """Start the process *name* again, as it was started before, and wait until it works."""
        self.processes[name].start()
        self._wait(name)

    def supervise(self) -> None:
        """Start again what has ended without being asked, and write that down."""
        for name in (*self.webs, *self.workers):
            child = self.processes[name].child
            if child is not None and (status := child.poll()) is not None:
                self.ended.append({"process": name, "status": status, "at_ms": _now_ms()})
                self.processes[name].start()

    def _wait(self, name: str) -> None:
        assert wait_for(lambda: self._is_back(name), PATIENCE_S), name

    def pid(self, name: str) -> int:
        """Return the process id of *name*, which is its group's too."""
        child = self.processes[name].child
        assert child is not None
        return child.pid

    def child_of(self, name: str) -> int | None:
        """Return one process that the master *name* has forked, if there is one."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid(name)).children():
                return int(child.pid)
        return None

    def freeze(self, name: str) -> None:
        """Stop the whole process group where it stands."""
        os.killpg(self.pid(name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid(name), signal.SIGCONT)

    def reload(self) -> None:
        """Let every process read its settings again."""
        self.config.touch()
        for name in (*self.webs, *self.workers):
            with suppress(ProcessLookupError):
                os.kill(self.pid(name), signal.SIGHUP)

    def _is_back(self, name: str) -> bool:
        self.supervise()
        if name in self.ports:
            with suppress(requests.RequestException):
                return requests.get(f"{self.url(name)}/healthz", timeout=5).ok
            return False
        with suppress(psutil.NoSuchProcess):  # it tells nobody that it is ready, but its threads
            return psutil.Process(self.pid(name)).num_threads() > SENDERS
        return False

    def _insurer_answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.insurer}/_sandbox", timeout=5).ok
        return False

    # -- what it is ---------------------------------------------------------------------------

    @property
    def insurer(self) -> str:
        """Where the sandbox listens."""
        return self.partners[PARTNER].insurer

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration file."""
        return tomllib.loads(self.config.read_text())

    def shop(self) -> Shop:
        """Return what the shop's side knows."""
        return Shop(
            partner=PARTNER,
            upstreams=self.upstreams,
            origin=ORIGIN,
            host=urlsplit(self.settings["public_url"]).netloc,
            server_key=self.partners[PARTNER].server_key,
            keyring=Keyring.from_settings(load(self.config, {})),
            urls=[self.url(name) for name in self.webs],
            canary=self.canary,
        )

    def known_upstreams(self) -> dict[str, dict[str, Any]]:
        """Return what the judge must know of each upstream."""
        tables = self.settings["partners"][PARTNER]["upstreams"]
        return {
            name: _APIS[name]
            | {
                "partner": PARTNER,
                "partner_code": tables[name]["partner_code"],
                "rate": tables[name]["rate_per_second"],
                "report_on": tables[name].get("report_on", "decline"),
            }
            for name in self.upstreams
        }

    def secrets(self) -> dict[str, str]:
        """Return everything that no output may hold, by name."""
        partner = self.partners[PARTNER]
        return {
            "api secret": partner.api_secret,
            "client secret": self.client_secret,
            "server key": partner.server_key,
            "signing key": (self.folder / f"{PARTNER}.signing").read_text().strip(),
            "audit key": (self.folder / "audit").read_text().strip(),
        }

    def _section(self, partner: Partner) -> str:
        if "elements" not in self.upstreams:
            return super()._section(partner)
        self._secret("client.id", "client-1")
        self._secret("client.secret", self.client_secret)
        return super()._section(partner) + (
            f"[partners.{partner.name}.upstreams.elements]\n"
            'api = "xone-offers"\n'
            f'base_url = "{partner.insurer}"\n'
            'partner_code = "LLODT"\n'
            'report_on = "decline"\n'
            'settle = "0s"\n'
            "rate_per_second = 0\n"
            'oauth = { client_id_file = "client.id", client_secret_file = "client.secret" }\n'
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
