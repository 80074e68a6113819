"""Processes that end at an exact call of the kernel or live by another clock, and their traces.

strace attaches to a process that is up and idle, so that the calls of its start do not count, and
kills it as it enters the call: that call is never made. Counts are each thread's own.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from glob import glob
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import psutil
import pytest

from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import HOST, Cluster
from tests.faults.register import change

_POLLED = re.compile(r"^tfd:.* ino:([0-9a-f]+) ", re.MULTILINE)
_CLOCKS = "/usr/lib/*/faketime/libfaketimeMT.so.1"

# -- traps ------------------------------------------------------------------------------------


class Trap:
    """strace beside a running process: it dies as it enters the *nth* of *calls* on *files*.

    A file is a path, or `socket:[…]` as the kernel names it; without any, every call counts.
    """

    def __init__(self, process: int, calls: str, *files: str, nth: int = 1) -> None:
        require_tracer()
        self.process = process
        self._strace = subprocess.Popen(
            [*tracer(calls, *files, nth=nth), "-p", str(process)], stderr=subprocess.PIPE, text=True
        )
        assert self._strace.stderr is not None
        line = self._strace.stderr.readline()
        while line and "attached" not in line:  # it tells first what it makes of the files
            line = self._strace.stderr.readline()
        assert line, f"strace ended with {self._strace.wait()}"

    @property
    def is_set(self) -> bool:
        """True while nobody has died in it."""
        return self._strace.poll() is None

    def sprung(self) -> None:
        """Wait until the process has died in it."""
        self._strace.communicate(timeout=PATIENCE_S)  # it ends with whom it watches
        until(lambda: is_gone(self.process), "its death")  # the last thread's may come first

    def remove(self) -> None:
        """Take it away; a process that lives goes on."""
        if self.is_set:
            self._strace.send_signal(signal.SIGTERM)
        self._strace.communicate(timeout=PATIENCE_S)


@contextmanager
def trap(process: int, calls: str, *files: str, nth: int = 1) -> Iterator[Trap]:
    """Set a trap, and take it away at the end whatever happened."""
    one = Trap(process, calls, *files, nth=nth)
    try:
        yield one
    finally:
        one.remove()


def tracer(calls: str, *files: str, nth: int) -> list[str]:
    """Return what to put before a command so that it dies as it enters the *nth* of *calls*."""
    watched = [part for file in files for part in ("-P", file)]
    return [
        *("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", *watched),
        *("-e", f"inject={calls}:signal=KILL:when={nth}"),
    ]


@cache
def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    tried = [*tracer("exit_group", nth=1), "true"]
    return subprocess.run(tried, check=False, capture_output=True).returncode != 0


def require_tracer() -> None:
    """Skip the test where processes can not be traced."""
    if not _can_trace():
        pytest.skip("strace is missing or may not trace; Debian's package is called strace")


# -- clocks -----------------------------------------------------------------------------------


# libfaketime answers a sleep until a point of the monotonic clock, which is Python's, with EINVAL.
_SLEEP = """\
import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


class FakeClock:
    """What the processes that are started under it take for the time; it can be set anew."""

    def __init__(self, folder: Path, to: str = "+0") -> None:
        self._file = folder / "clock"
        self._patches = folder / "python"
        self._patches.mkdir()
        (self._patches / "sitecustomize.py").write_text(_SLEEP)
        self.set(to)

    def set(self, to: str) -> None:
        """Set it: `-600` is ten minutes ago, `@2038-01-19 03:14:00` a time from which it runs."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(to + "\n")
        fresh.replace(self._file)

    @contextmanager
    def put_on(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """Let what is started meanwhile live by it."""
        with patch.context() as environ:
            environ.setenv("LD_PRELOAD", _clock_library())
            environ.setenv("FAKETIME_TIMESTAMP_FILE", str(self._file))
            environ.setenv("FAKETIME_NO_CACHE", "1")  # of the file; a duration of 0 s is up to 1 s
            environ.setenv("DONT_FAKE_MONOTONIC", "1")
            environ.setenv("NO_FAKE_STAT", "1")  # gunicorn's signs of life are times of files
            environ.setenv("PYTHONPATH", str(self._patches), prepend=os.pathsep)
            yield


def _clock_library() -> str:
    found = glob(_CLOCKS)  # noqa: PTH207  # an absolute pattern
    if not found:
        pytest.skip("libfaketime is missing; Debian's package is called libfaketime")
    return found[0]


# -- processes and connections ----------------------------------------------------------------


def is_gone(pid: int) -> bool:
    """True when the process has ended, whether or not its parent has heard of it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def serving(cluster: Cluster, name: str = "web") -> int:
    """Return the process that answers for a `serve`: the only child of its master."""
    child = cluster.processes[name].child
    assert child is not None
    found = until(lambda: psutil.Process(child.pid).children(), "a process that serves")
    return int(found[0].pid)


def delivering(cluster: Cluster) -> int:
    """Return the process that delivers."""
    if cluster.is_embedded:
        return serving(cluster)
    child = cluster.processes["work-0"].child
    assert child is not None
    return child.pid


def kill_delivering(cluster: Cluster) -> None:
    """Kill the process that delivers."""
    os.kill(delivering(cluster), signal.SIGKILL)


def replace_delivering(cluster: Cluster) -> None:
    """Let another go on for the one that was killed.

    `serve` does so by itself and takes back its rows; a `work` needs the lease to run out, for
    which nobody waits here: the lease is set back.
    """
    if cluster.is_embedded:
        return
    cluster.processes["work-0"].kill()
    change(cluster, "UPDATE offers SET due_at = due_at - 3600000 WHERE report = 'sending'")
    cluster.start_worker("work-1")


class Line:
    """A connection to a web process that is kept alive, and its name at the other end.

    No thread of the process reads from it: one that did would have begun before any trap was set.
    """

    def __init__(self, cluster: Cluster, name: str = "web") -> None:
        self._port = cluster.ports[name][0]
        key = cluster.partners["ACME"].server_key
        self._headers = {
            "Host": HOST,
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        self.connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        self.connection.request("GET", "/healthz")
        self.connection.getresponse().read()
        process = serving(cluster, name)
        until(lambda: self._inode in _polled(process), "the end of the thread's waiting")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def begin(self, told: dict[str, Any]) -> bytes:
        """Send the head of a message; return the body, which is not sent."""
        body = json.dumps(told).encode()
        self.connection.putrequest("POST", "/v1/choices", skip_host=True)
        for name, value in (self._headers | {"Content-Length": str(len(body))}).items():
            self.connection.putheader(name, value)
        self.connection.endheaders()
        return body

    def status(self) -> int | None:
        """Return the status of the answer, None if the connection ends without one."""
        try:
            answer = self.connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            return None
        return answer.status

    def tell(self, told: dict[str, Any]) -> int | None:
        """Send a message; return the status of its answer, None if none comes."""
        try:
            self.connection.send(self.begin(told))
        except OSError:
            return None
        return self.status()

    @property
    def far_end(self) -> str:
        """Return the server's socket as the kernel names it."""
        return f"socket:[{self._inode}]"

    @property
    def _inode(self) -> str:
        ours = f"0100007F:{self.connection.sock.getsockname()[1]:04X}"
        theirs = f"0100007F:{self._port:04X}"
        (inode,) = [
            inode for local, remote, inode in _sockets() if (local, remote) == (theirs, ours)
        ]
        return inode


def message(offer: str, choice: str = "declined") -> dict[str, Any]:
    """Return a message of the partner's server."""
    now = int(time.time() * 1000)
    return {"offer": offer, "choice": choice, "id": str(uuid4()), "seq": now, "at": now}


def sockets_to(pid: int, port: int) -> list[str]:
    """Return the sockets of a process that are connected to *port*, as the kernel names them."""
    inodes = {inode for _, remote, inode in _sockets() if remote.endswith(f":{port:04X}")}
    names = {f"socket:[{inode}]" for inode in inodes}
    return [name for name in _descriptors(pid) if name in names]


def _descriptors(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            yield str(link.readlink())


def _polled(pid: int) -> set[str]:
    """Return the inodes of the files that a process waits for with epoll."""
    inodes: set[str] = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            inodes |= {str(int(one, 16)) for one in _POLLED.findall(info.read_text())}
    return inodes


def _sockets() -> list[tuple[str, str, str]]:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [(fields[1], fields[2], fields[9]) for fields in map(str.split, lines)]
