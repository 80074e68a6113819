"""One run through everything that may give a secret away, and all that is to be searched after."""

import json
import os
import re
import signal
import socket
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import psutil
import requests

from proxy.settings import load
from proxy.tokens import Keyring
from tests.acceptance.deployment import PATIENCE_S, until
from tests.evidence import canary
from tests.faults.cluster import HOST, ORIGIN
from tests.faults.register import read
from tests.leaks import commands
from tests.leaks.guarded import ORDER, Guarded, now_ms
from tests.leaks.vault import MARK, Hit, below
from tests.test_docs import COMMANDS

CALLS = ("/v1/choices", "/v1/choices/batch", "/v1/sessions")
READ = ("/healthz", "/v1/offers/calm", "/.well-known/choice-keys.json", "/metrics", "/readyz")


class Story:
    """What a deployment is told and says; `evidence` maps places to what was found there."""

    def __init__(self, cluster: Guarded, given: Path) -> None:
        self.cluster = cluster
        self.vault = cluster.vault
        self.evidence: dict[str, bytes] = defaultdict(bytes)
        self.statuses: set[tuple[str, int]] = set()
        self.exits: dict[str, set[int]] = defaultdict(set)  # of each command
        self.core_limit: tuple[int, int] | None = None  # of the process that serves
        self.given = given  # what the shop has: receipts, orders, published keys
        given.mkdir()
        self.facts: list[dict[str, Any]] = []
        self.first: dict[str, str] = {}  # how the first attempt for each offer ended
        self.began = time.time()

    def start(self) -> None:
        """Start what the engine needs, and learn what it makes for itself."""
        self.cluster.start()
        self.cluster.learn_keys()

    def tell(self) -> None:
        """Tell a decline to every insurer, and wait until each has shown how it fails."""
        for name in self.cluster.servers:
            assert self.cluster.tell(name, name) == 202
        more = {"purchased": True, "order": ORDER, "metadata": canary.metadata(MARK)}
        assert self.cluster.tell("calm", "bought", **more) == 202
        waiting = set(self.cluster.servers) - {"slow"}
        until(lambda: waiting <= self.outcomes().keys(), "every answer")
        self.first = self.outcomes()

    def outcomes(self) -> dict[str, str]:
        """Return how the first attempt for each offer ended."""
        rows = read(
            self.cluster,
            "SELECT o.offer, f.outcome FROM facts f JOIN offers o ON o.id = f.offer_id"
            " WHERE f.outcome IS NOT NULL ORDER BY f.id DESC",
        )
        return {row["offer"]: row["outcome"] for row in rows}

    def facts_with(self, text: str) -> list[str]:
        """Return the facts that have *text* anywhere in them."""
        return [str(row) for row in self.facts if text in str(row)]

    def call(self) -> None:
        """Make every call of both listeners, well and badly, with every secret there is."""
        token = self.session()
        choice = {"choice": "declined", "id": "0" * 36, "seq": now_ms(), "at": now_ms()}
        for path in CALLS:
            for body in (urlencode(choice | {"token": token}), json.dumps(choice), "{", ""):
                for kind in ("application/x-www-form-urlencoded", "application/json", "x/y"):
                    self.ask("POST", path, data=body, headers={"Content-Type": kind})
        for path in READ:
            self.ask("GET", path)
            self.ask("GET", f"{path}?token={token}&key={self.vault['server key']}", trust=False)
            self.ask("DELETE", path)
            self.ask("GET", path, private=True)
        for secret in ("server key", "signing", "webhook secret"):
            self.ask("GET", f"/v1/offers/{self.vault[secret]}")
        said = self.cluster.say("calm-2", upstream="calm")
        self.statuses.add(("/v1/choices", said.status_code))
        receipt = said.json()["receipt"]
        keys = requests.get(
            f"{self.cluster.url()}/.well-known/choice-keys.json", headers={"Host": HOST}, timeout=9
        )
        (self.given / "receipt").write_text(receipt)
        (self.given / "keys.json").write_text(keys.text)
        (self.given / "orders.csv").write_text(f"order,offer,answer\n{ORDER},bought,declined\n")

    def speak_badly(self) -> None:
        """Send what the HTTP parser refuses, with a key or a token in each place."""
        key, token = self.vault["server key"], self.session()
        head = f"POST /v1/choices HTTP/1.1\r\nHost: {HOST}\r\n"
        for text in (
            f"{head}Authorization Bearer {key}\r\n\r\n",
            f"{head}Authorization: Bearer {key}\r\n folded\r\n\r\n",
            f"{head}{key}: Bearer\r\nAuthorization{token}\x00: x\r\n\r\n",
            f"{head}Content-Length: 2\r\n\r\n{{}}token={token}&choice=declined\r\n\r\n",
            f"{head}Transfer-Encoding: {key}\r\n\r\n",
            f"{head}Transfer-Encoding: chunked\r\n\r\n{token}\r\n\r\n",
            f"{head}Expect: {key}\r\n\r\n",
            f"{token} /v1/choices HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
            f"GET /v1/offers/a?token={token} b HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
            f"GET /v1/offers/a?token={token} HTTP/{key}\r\nHost: {HOST}\r\n\r\n",
            f"GET /{token * 20} HTTP/1.1\r\nHost: {HOST}\r\n\r\n",
        ):
            for port in self.cluster.ports["web"]:
                self.statuses.add(("raw", _spoken(port, text.encode())))

    def rotate(self) -> None:
        """Put new secrets in force with SIGHUP, then wrong ones, and have the new ones used."""
        self.cluster.rotate()
        self._hang_up("settings.reloaded")
        assert self.cluster.tell("calm", "after") == 202
        until(lambda: self.outcomes().get("after") == "delivered", "a report with the next secret")
        good = self.cluster.config.read_text()
        for before, after in (
            ('origins = ["', f'origins = ["https://u:{self.vault["redis password"]}@h", "'),
            ("secrets/acme-1", self.vault["signing"]),
            ('api = "xone-offers"', f'api = "{self.vault["client id"]}"'),
        ):
            self.cluster.config.write_text(good.replace(before, after))
            self._hang_up("settings.refused")
        self.cluster.config.write_text(good)
        self._hang_up("settings.reloaded")

    def command(self) -> None:
        """Type every command that ends, each also with a file that holds a secret for each file."""
        until(lambda: read(self.cluster, "SELECT 1 FROM blocks"), "a seal")
        bait = self.cluster.folder / "secrets" / "bait"
        for name, ways in commands.table(self.cluster.folder / "out", self.given).items():
            shown = COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=name))
            self.evidence[f"command {name}"] += shown.encode() + b"\n"
            if name in commands.PROCESSES or name in commands.ALONE:
                continue
            config = {"config": self.cluster.config}
            for values in ways:
                self._type(name, config | dict(values))
            if name == "init" or not self.cluster.is_embedded:  # the engine reads no such file
                continue
            for parameter in commands.files_of(name):
                self.cluster.put("bait", self.vault["redis password"])
                self._type(name, config | dict(ways[0]) | {parameter: bait})
        self._learn_new()

    def look(self) -> None:
        """Look at what runs, and at what the system shows of it."""
        for name, process in self.cluster.own_processes():
            for part in ("cmdline", "environ"):
                with suppress(OSError):  # it has ended meanwhile
                    raw = Path(f"/proc/{process.pid}/{part}").read_bytes()
                    self.evidence[f"{part} of {name}"] += raw

    def play(self) -> None:
        """Have the insurer that is part of the product told the same secrets, by environment."""
        given = ("api key", "api secret", "client id", "client secret")
        environ = {f"SANDBOX_{name.upper().replace(' ', '_')}": self.vault[name] for name in given}
        for name in given:
            self.vault.allowed[name] += ("environ of sandbox",)
        port = self.cluster.start_sandbox(environ)
        base = f"http://127.0.0.1:{port}"
        for path in ("/x/partners/LLODT/offers/a/opt_out/", "/api/oauth/token"):
            body = {"client_secret": self.vault["client secret"], "grant_type": "nothing"}
            said = requests.post(
                base + path, json=body, headers={"X-Api-Key": "unknown"}, timeout=30
            )
            self.evidence["answer of sandbox"] += said.content
        self.look()

    def demonstrate(self) -> None:
        """Run the demo; what it makes up is in its folder, and nowhere when it has ended."""
        demo = self.cluster.start_demo()
        child = demo.child
        assert child is not None
        folder = self.cluster.folder / "tmp"

        def ended() -> bool:
            for name, content in below(folder, leave=[]):
                text = content.decode("utf-8", "replace").strip()
                if re.fullmatch(r"(ots_|osk_)\S+|[\w-]{32,}", text):
                    self.vault.add(f"demo's {Path(name).name}", text, "environ of demo")
            if "demo's" not in str(self.evidence.keys()):
                self.look()
            return child.poll() is not None

        until(ended, "the end of the demo")
        assert child.returncode == 0

    def kill(self) -> None:
        """Kill everything at once, and start it again."""
        web = self.cluster.processes["web"]
        web.kill()
        self._keep_log("web")
        self.cluster.start_web()

    def crash(self) -> None:
        """Have the process that serves abort, which leaves a core file where one may be left."""
        web = self.cluster.processes["web"]
        assert web.child is not None
        (serving,) = psutil.Process(web.child.pid).children()
        self.core_limit = serving.rlimit(psutil.RLIMIT_CORE)
        os.kill(serving.pid, signal.SIGABRT)
        serving.wait(PATIENCE_S)
        until(self.cluster.is_up, "another process to serve")

    def stop(self) -> None:
        """Stop it with SIGTERM, run what needs the database for itself, and search the disk."""
        self.cluster.stand_ins.release()
        assert self.cluster.processes["web"].stop() == 0
        ways = commands.table(self.cluster.folder / "out", self.given)
        for name in commands.ALONE:  # in processes of their own: they keep the lock to their end
            if name == "migrate" or self.cluster.is_embedded:
                words = [*name.split(), *commands.typed(name, ways[name][0])]
                self._say(name, *self.cluster.command(*words))
        if self.cluster.is_embedded:
            work = self.cluster.start_worker("work")
            self.look()
            assert work.stop() == 0

    def gather(self) -> None:
        """Read every file that is ours and is not a secret's own."""
        self.facts = read(self.cluster, "SELECT * FROM facts")
        new = [self.cluster.folder / "out" / name / "secrets" for name in ("new", "json")]
        for name, content in below(self.cluster.folder, leave=[self.cluster.secrets, *new]):
            self.evidence[f"file {name}"] += content

    def hits(self) -> set[Hit]:
        """Return every secret that is where it may not be."""
        return self.vault.hits(self.evidence)

    def session(self) -> str:
        """Return a session token; only the answer to the shop's server may hold it."""
        keyring = Keyring.from_settings(load(self.cluster.config, {}))
        now = now_ms() // 1000
        token = keyring.mint("ACME", offer="calm", origin=ORIGIN, upstream="calm", now=now)
        return self.vault.add(f"token {len(self.vault.texts)}", token)

    def ask(self, method: str, path: str, *, private: bool = False, **more: Any) -> None:
        """Make one call as the shop's server does, and as nobody; keep what is answered."""
        base = self.cluster.admin_url() if private else self.cluster.url()
        trust = more.pop("trust", True)
        headers = (self.cluster.headers() if trust else {"Host": HOST}) | more.pop("headers", {})
        answer = requests.request(method, base + path, headers=headers, timeout=30, **more)
        place = f"answer to {method} {path[:20]}"
        self.evidence[place] += answer.content + str(answer.headers).encode()
        self.statuses.add((path[:20], answer.status_code))

    def _type(self, name: str, values: commands.Values) -> None:
        known = {parameter.name for parameter in COMMANDS[name].params}
        kept = {key: value for key, value in values.items() if key in known}
        if self.cluster.is_embedded:
            self._say(name, *commands.said_by(name, kept))
        else:  # in a process of its own, whose end closes what it has open
            self._say(name, *self.cluster.type([*name.split(), *commands.typed(name, kept)]))

    def _say(self, name: str, status: int, said: str) -> None:
        self.exits[name].add(status)
        self.evidence[f"command {name}"] += said.encode() + b"\n"

    def _learn_new(self) -> None:
        """Add the secrets that `init`, `keys new` and `token mint` have made."""
        out = self.cluster.folder / "out"
        made = [path for path in (out / "new" / "secrets").iterdir() if "key" not in path.name]
        made += [path for path in self.cluster.secrets.glob("acme-20*") if path.is_file()]
        for path in made:
            text = path.read_text().strip()
            if text.startswith("ots_"):
                self.vault.add(f"made {path.name} {len(self.vault.texts)}", text)
        minted = re.search(
            rb"acme-\w+[.][\w-]+[.][\w-]+[.][\w-]+", self.evidence["command token mint"]
        )
        assert minted
        self.vault.add("minted", minted[0].decode(), "command token mint")

    def _hang_up(self, event: str) -> None:
        web = self.cluster.processes["web"]
        assert web.child is not None
        told = web.log.read_text().count(event)
        web.child.send_signal(signal.SIGHUP)
        until(lambda: web.log.read_text().count(event) > told, event)

    def _keep_log(self, name: str) -> None:
        self.evidence[f"log {name}"] += self.cluster.processes[name].log.read_bytes()


def _spoken(port: int, text: bytes) -> int:
    """Say *text* to a port; return the status of the first answer, 0 for none.

    Its words are not kept: the parser quotes to callers what they said themselves.
    """
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock, suppress(OSError):
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65_536):
            said += piece
    return int(said[9:12] or 0)
