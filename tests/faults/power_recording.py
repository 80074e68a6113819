"""A real server under load, and everything that it wrote, synced and acknowledged, in order."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from proxy.receipts import load_audit_key, load_signing_key
from tests.acceptance.deployment import Deployment, Process
from tests.faults import syscalls
from tests.faults.power import (
    Change,
    Created,
    Renamed,
    Resized,
    SyncBegan,
    Synced,
    Unlinked,
    Written,
)
from tests.faults.syscalls import Call

_CLIENTS = 8
_CALLS = (
    *("openat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "fsync", "fdatasync"),
    *("ftruncate", "truncate", "unlink", "unlinkat", "rename", "renameat", "renameat2"),
    *("sendto", "sendmsg", "mkdir", "mkdirat", "link", "linkat", "fallocate", "creat", "open"),
)
# What a start makes anew, or what no promise rests on. -shm: SQLite rebuilds it from the WAL.
_OF_NO_ACCOUNT = ("-shm", ".lock", ".sock", ".log", ".trace", ".pyc")
_ANSWER = b"HTTP/1.1 "
_METADATA = {f"note-{nth}": "x" * 250 for nth in range(8)}  # so that the WAL fills sooner
_OPT_OUT = b"POST /x/partners/"


@dataclass(frozen=True, slots=True)
class Told:
    """One message of a client."""

    id: str
    offer: str
    choice: str
    seq: int
    at: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The first byte of a 202 was handed to the system; the client may know from here on."""

    id: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The first byte of an opt-out was handed to the system; the insurer may know."""

    offer: str


Event = Change | Acknowledged | Reported


@dataclass(frozen=True, slots=True)
class Recording:
    """What a disk went through and what the world was told meanwhile."""

    events: list[Event]
    told: Mapping[str, Told]
    before: dict[str, bytes] = field(default_factory=dict)  # the files before the first event

    @property
    def acknowledged(self) -> set[str]:
        """The ids of all messages that were acknowledged."""
        return {event.id for event in self.events if isinstance(event, Acknowledged)}

    @property
    def reported(self) -> int:
        """How many opt-outs began to leave."""
        return sum(isinstance(event, Reported) for event in self.events)

    def checkpoints(self) -> int:
        """Return how often, between acknowledgements, the WAL's pages reached the database."""
        told = [nth for nth, event in enumerate(self.events) if isinstance(event, Acknowledged)]
        between = self.events[told[0] : told[-1]]
        return sum(isinstance(e, Synced) and e.name == "optout.db" for e in between)


class _Traced(Process):
    """The proxy under strace, which writes to *trace*."""

    def start(self) -> None:
        """Start it; its output goes to the log."""
        with self.log.open("ab") as log:
            trace = syscalls.command(str(self.log.with_suffix(".trace")), _CALLS)
            self.child = subprocess.Popen(
                [*trace, sys.executable, "-m", "proxy", *self.arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ},
                start_new_session=True,
            )

    def stop(self) -> int:
        """Ask the proxy to stop, not strace; return its exit status, which strace passes on."""
        assert self.child is not None
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGTERM)
        return self.child.wait(30)


def record(
    folder: Path,
    declines: int,
    environ: Mapping[str, str] | None = None,
    *,
    makes_keys: bool = False,
) -> Recording:
    """Start a server in *folder*, tell it *declines* from many clients, stop it; what was seen.

    With *makes_keys* it has no keys yet, and makes them where `init` says: not by the database.
    """
    deployment = Deployment(folder)
    process = deployment.proxy
    deployment.proxy = _Traced(process.arguments, process.log, dict(environ or {}))
    if makes_keys:
        _keep_keys_apart(deployment)
    else:
        load_audit_key(folder / "audit")
        load_signing_key(folder / "signing.pem")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    shop = Shop(deployment, declines)
    try:
        deployment.start()
        shop.run()
        assert deployment.proxy.stop() == 0, process.log.read_text()[-2000:]
    finally:
        deployment.end()
    with process.log.with_suffix(".trace").open() as lines:
        events = _Reader(folder, set(before)).read(syscalls.calls(lines))
    recording = Recording(events, shop.told, before)
    assert recording.acknowledged == shop.acknowledged, "the recording is not whole"
    return recording


def _keep_keys_apart(deployment: Deployment) -> None:
    (deployment.folder / "secrets").mkdir(mode=0o700)
    text = deployment.config.read_text()
    for name in ("audit", "signing.pem"):
        text = text.replace(f'_file = "{name}"', f'_file = "secrets/{name}"')
    deployment.config.write_text(text)


class Shop:
    """Clients that decline, say it again, and change their minds; each offer has one client."""

    def __init__(self, deployment: Deployment, declines: int) -> None:
        self._deployment = deployment
        self._offers = iter(range(declines))
        self._lock = threading.Lock()
        self._faults: list[BaseException] = []
        self.told: dict[str, Told] = {}
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        """Tell everything; return when all of it is acknowledged."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self._faults, self._faults

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._customer(number)
        except Exception as fault:  # noqa: BLE001  # told by `run`, in the thread of the test
            self._faults.append(fault)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._offers, None)

    def _customer(self, number: int) -> None:
        offer, seq = f"offer-{number}", int(time.time() * 1000)
        declined = self.tell(offer, "declined", seq)
        if number % 3 == 0:
            self._say(declined)  # a replay
        if number % 4 == 0:
            self.tell(offer, "accepted", seq + 1)
        if number % 8 == 0:
            self.tell(offer, "declined", seq + 2)

    def tell(self, offer: str, choice: str, seq: int) -> Told:
        """Say one thing, and see it acknowledged."""
        told = Told(str(uuid4()), offer, choice, seq, int(time.time() * 1000))
        self.told[told.id] = told
        self._say(told)
        return told

    def _say(self, told: Told) -> None:
        answer = self._deployment.say(told.offer, told.choice, id=told.id, seq=told.seq, at=told.at)
        assert answer.status_code == 202, answer.text
        self.acknowledged.add(told.id)


class _Reader:
    """Makes events of calls."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self._folder = folder
        self._names = names
        self._answers: dict[int, tuple[int, bytes]] = {}  # by thread: where it began, and so far
        self._ends: dict[str, int] = {}  # of the files that are new
        self._events: list[Event] = []

    def read(self, seen: Iterator[Call]) -> list[Event]:
        """Return the events of the calls *seen*."""
        for call in seen:
            if call.name in ("sendto", "sendmsg"):
                self._sent(call)
            elif call.name in ("fsync", "fdatasync"):
                self._synced(call)
            elif call.result is None:
                self._wrote(call)
            elif call.result >= 0:
                self._named(call)
        # An answer whose body was never sent is acknowledged to nobody.
        return [e for e in self._events if e != Acknowledged("")]

    def _name(self, path: str) -> str | None:
        """Return the name in the folder, or None for what is of no account."""
        inside = Path(path).is_relative_to(self._folder)
        if not path or not inside or path.endswith(_OF_NO_ACCOUNT):
            return None
        return str(Path(path).relative_to(self._folder))

    def _sent(self, call: Call) -> None:
        if call.result is not None:
            return
        assert call.name == "sendto", "answers are written with sendto"
        content = call.text(1)
        if content.startswith(_OPT_OUT):
            self._events.append(Reported(content.split(b" ")[1].split(b"/")[5].decode()))
        if content.startswith(_ANSWER):
            self._answers[call.thread] = (len(self._events), b"")
            self._events.append(Acknowledged(""))
        if call.thread in self._answers:
            began, so_far = self._answers[call.thread]
            self._answers[call.thread] = (began, so_far + content)
            self._answered(call.thread)

    def _answered(self, thread: int) -> None:
        began, content = self._answers[thread]
        head, _, body = content.partition(b"\r\n\r\n")
        if body and head.startswith(_ANSWER + b"202"):
            self._events[began] = Acknowledged(json.loads(body)["id"])
            del self._answers[thread]

    def _synced(self, call: Call) -> None:
        path = call.file()
        name = "./" if Path(path) == self._folder else self._name(path)
        if name is None:
            return
        name = f"{name}/" if (self._folder / name).is_dir() and not name.endswith("/") else name
        if call.result is None:
            self._events.append(SyncBegan(name, call.thread))
        elif call.result == 0:
            self._events.append(Synced(name, call.thread))

    def _wrote(self, call: Call) -> None:
        if call.name == "pwrite64" and (name := self._name(call.file())):
            self._events.append(Written(name, call.number(3), call.text(1)))
        elif call.name == "ftruncate" and (name := self._name(call.file())):
            self._events.append(Resized(name, call.number(1)))
        elif call.name == "write" and (name := self._name(call.file())):
            assert name in self._ends, "only a file that is new is written from its start"
            self._events.append(Written(name, self._ends[name], call.text(1)))
            self._ends[name] += len(call.text(1))
        elif call.name in ("writev", "pwritev", "pwritev2", "fallocate"):
            assert self._name(call.file()) is None, f"{call.name} is not followed"

    def _named(self, call: Call) -> None:
        """Follow names: once they are there, and as they go."""
        if call.name == "openat" and "O_CREAT" in call.arguments[2]:
            name = self._name(call.text(1).decode())
            if name is not None and name not in self._names:
                self._names.add(name)
                self._ends[name] = 0
                self._events.append(Created(name))
        elif call.name == "unlink" and (name := self._name(call.text(0).decode())):
            if name in self._names:  # not the first of two names, see below
                self._names.discard(name)
                self._events.append(Unlinked(name))
        elif call.name in ("link", "rename") and (name := self._name(call.text(0).decode())):
            # A link here is a rename that refuses to overwrite: the first name goes at once.
            to = self._name(call.text(1).decode())
            assert to is not None, "renamed to where it is not followed"
            self._names = self._names - {name} | {to}
            self._events.append(Renamed(name, to))
        elif call.name in ("unlinkat", "renameat", "renameat2", "linkat", "truncate"):
            shown = " ".join(call.arguments)
            assert str(self._folder).encode().hex() not in shown.replace("\\x", ""), call
