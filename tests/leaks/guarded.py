"""A deployment whose every secret is a canary, with insurers that give them away."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import psutil

from tests.acceptance.deployment import PATIENCE_S, Process, free_port, until
from tests.evidence import canary
from tests.faults.cluster import HOST, ORIGIN, Cluster, answers
from tests.faults.stand_in_tls import TlsInsurer
from tests.leaks.stand_ins import StandIns
from tests.leaks.vault import MARK, Vault, pem_body
from tests.upstream.certificates import Authority
from tests.upstream.raw_server import RawServer, reply

ORDER = "SHOP-ORDER-8241-Wjqzpv"
_KEYS = {"signing": "acme-1", "api secret": "api-secret"}
_TOP = """
audience = "optout-proxy:test"
public_url = "https://{host}"
audit_key_file = "secrets/audit"
signing_key_file = "secrets/signing.pem"
customer_keys = "secrets/weekly"
redis_url_file = "secrets/redis"
database_file = "secrets/database"
[alerts]
webhook_file = "secrets/webhook"
webhook_secret_file = "secrets/webhook-secret"
[partners.ACME]
origins = ["{origin}"]
customer = true
signing_keys = [{{ kid = "acme-1", secret_file = "secrets/acme-1" }}]
server_key_hashes = ["sha256:{hash}"]
"""
_UPSTREAM = """
[partners.ACME.upstreams.{name}]
api = "{api}"
base_url = "{base}"
partner_code = "LLODT"
report_on = "decline"
settle = "0s"
rate_per_second = 0
{auth} = {{ {id}_file = "secrets/{id}", {word}_secret_file = "secrets/{word}-secret" }}
"""


class Guarded(Cluster):
    """One shop with an upstream for each fault; `secrets/` holds what nothing else may."""

    def __init__(
        self, folder: Path, vault: Vault, database: str = "", *, code: Path | None = None
    ) -> None:
        self.vault = vault
        self.secrets = folder / "secrets"
        self.secrets.mkdir(mode=0o700)
        for name in ("tmp", "out"):
            (folder / name).mkdir()
        self._stack = ExitStack()
        self.stand_ins = StandIns(vault)
        self.webhook = RawServer(reply(500, vault["webhook secret"].encode()))
        self.servers: dict[str, RawServer] = {
            name: self.stand_ins.server(name)
            for name in (*self.stand_ins.hmac, *self.stand_ins.oauth)
        }
        strangers = Authority(self.secrets).context("127.0.0.1")
        self.servers["stranger"] = TlsInsurer(strangers)
        self.servers["no-tls"] = TlsInsurer(None)
        for server in (*self.servers.values(), self.webhook):
            self._stack.enter_context(server)
        self._url = database or f"sqlite:///{folder}/optout.db"
        super().__init__(folder, database or "sqlite:///optout.db", code=code)
        self.partners["ACME"].server_key = vault["server key"]
        self.write({})

    def end(self) -> None:
        """Leave nothing behind."""
        super().end()
        self.stand_ins.release()
        self._stack.close()

    def write(self, top: Mapping[str, str]) -> None:
        """Write the settings, and every secret to a file of its own."""
        del top
        port = free_port()  # where no Redis is: each call looks for one, and the log says so
        files = {
            "acme-1": self.vault["signing"],
            "api_key": self.vault["api key"],
            "api-secret": self.vault["api secret"],
            "client_id": self.vault["client id"],
            "client-secret": self.vault["client secret"],
            "audit": self.vault["audit key"],
            "redis": f"redis://:{self.vault['redis password']}@127.0.0.1:{port}/0",
            "database": self._url,
            "webhook": f"{self.webhook.url}/{self.vault['webhook path']}",
            "webhook-secret": self.vault["webhook secret"],
        }
        for name, text in files.items():
            self.put(name, text)
        hashed = hashlib.sha256(self.vault["server key"].encode()).hexdigest()
        text = _TOP.format(host=HOST, origin=ORIGIN, hash=hashed)
        self.config.write_text(text + "".join(self._upstreams()))

    def put(self, name: str, text: str) -> None:
        """Write one secret file."""
        path = self.secrets / name
        path.write_text(f"{text}\n", "utf-8")
        path.chmod(0o600)

    def rotate(self) -> None:
        """Put a new key beside the shop's old one, and the insurer's next secret into its file."""
        self.stand_ins.renewed["api secret"] = "next api secret"
        self.put("acme-2", self.vault["next signing"])
        self.put("api-secret", self.vault["next api secret"])
        line = '{ kid = "acme-1", secret_file = "secrets/acme-1" }'
        both = f"{line}, {line.replace('acme-1', 'acme-2')}"
        self.config.write_text(self.config.read_text().replace(line, both))

    def learn_keys(self) -> None:
        """Add to the vault what the service has made for itself."""
        self.vault.add("signing.pem", pem_body(self.secrets / "signing.pem"))
        for path in (self.secrets / "weekly").glob("*"):
            self.vault.keys[f"weekly {path.name}"] = path.read_bytes()

    def tell(self, upstream: str, offer: str, **only: Any) -> int:
        """Tell a decline of an offer of *upstream*, with the customer where the call takes one."""
        more = {"customer": canary.customer(MARK)} if upstream in self.stand_ins.oauth else {}
        told = {"upstream": upstream, "id": str(uuid4()), **more, **only}
        return self.say(offer, **told).status_code

    def environ(self) -> dict[str, str]:
        """Return what a process of ours is started with: a temporary folder to be searched."""
        return {"TMPDIR": str(self.folder / "tmp")}

    def own_processes(self) -> Iterator[tuple[str, psutil.Process]]:
        """Yield every process that runs now and is ours, with those that it started."""
        for name, process in self.processes.items():
            if process.child is not None and process.child.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    parent = psutil.Process(process.child.pid)
                    for one in (parent, *parent.children(recursive=True)):
                        yield name, one

    def type(self, words: list[str]) -> tuple[int, str]:
        """Run a command to its end; return its status, -1 where it broke, and what it said."""
        process = self._add("typed", words)
        process.start()
        assert process.child is not None
        status = process.child.wait(PATIENCE_S)
        said = process.log.read_text()
        process.log.unlink()  # what is printed is judged as such, not as a file that is left
        return -1 if "Traceback" in said else status, said

    def start_sandbox(self, environ: Mapping[str, str]) -> int:
        """Start the product's own insurer; return its port."""
        port = free_port()
        self._add("sandbox", ["sandbox", "--port", str(port)], dict(environ)).start()
        until(lambda: answers(f"http://127.0.0.1:{port}/_sandbox/faults"), "the sandbox")
        return port

    def start_demo(self) -> Process:
        """Start the demo, which ends by itself."""
        demo = self._add("demo", ["demo", "--check"])
        demo.start()
        return demo

    def _add(self, name: str, arguments: list[str], *args: Any, **kwargs: Any) -> Process:
        process = super()._add(name, arguments, *args, **kwargs)
        process.environ |= self.environ()
        return process

    def _upstreams(self) -> Iterator[str]:
        for name, server in self.servers.items():
            is_oauth = name in self.stand_ins.oauth
            words = ("oauth", "client_id", "client") if is_oauth else ("hmac", "api_key", "api")
            yield _UPSTREAM.format(
                name=name,
                api="xone-offers" if is_oauth else "xcover-offers",
                base=server.url,
                **dict(zip(("auth", "id", "word"), words, strict=True)),
            )


def with_password(url: str, name: str, password: str) -> str:
    """Return the URL of a database for a user who must prove who they are."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    database = url.rpartition("/")[2]
    return f"postgresql+psycopg://{name}:{quote(password, safe='')}@{host}/{database}"


def now_ms() -> int:
    """Return the time as messages carry it."""
    return time.time_ns() // 1_000_000
