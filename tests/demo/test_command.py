"""`optout-proxy demo` as a process: what it prints, and that it leaves nothing behind."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from proxy.demo.config import APIS

DEMO = [sys.executable, "-m", "proxy", "demo"]
PATIENCE = 30.0  # seconds; a busy machine is slow


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run([*DEMO, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo whose shop is open; its temporary folder is in *tmp_path*."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*DEMO, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert any("The shop" in line for line in process.stdout)
        yield process
        process.kill()


def children_of(pid: int) -> list[int]:
    """Return the process ids of *pid*'s children, and of theirs."""
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for word in words for each in (int(word), *children_of(int(word)))]


def ends(pid: int) -> bool:
    """Wait until there is no process *pid*; return False if it stays."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


def test_check_proves_every_api() -> None:
    """From token to the insurer's verified request, five times, and exit status 0."""
    check = demo("--check")

    assert (check.returncode, check.stderr) == (0, "")
    assert check.stdout.count("✓ verified") == len(APIS) == 5
    assert [api for api in APIS if f"\n{api} " not in check.stdout] == []
    assert "All 5 declines verified by the insurer" in check.stdout


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        ("hmac", "the insurer answered 403: Signature string does not match"),
        ("oauth", "the insurer refused the client id and secret (401)"),
    ],
)
def test_a_wrong_secret_is_named(tamper: str, reason: str) -> None:
    """Exit status 1, and a sentence for each API that uses the secret, and for no other."""
    check = demo("--check", "--tamper", tamper)

    failed = [line.split()[0] for line in check.stderr.splitlines()]
    assert check.returncode == 1
    assert failed == [api for api, auth in APIS.items() if auth == tamper]
    assert reason in check.stderr
    assert check.stdout.count("✓ verified") == len(APIS) - len(failed)


def test_a_taken_port_is_one_sentence() -> None:
    """It says what to do instead, and starts nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refusal = demo("--port", str(taken.getsockname()[1]))

    assert (refusal.returncode, refusal.stdout) == (2, "")
    assert refusal.stderr.endswith("--port 0 takes a free one.\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_nothing_is_left(
    running: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    """Told to stop, it ends its children, removes its folder and exits 0."""
    children = children_of(running.pid)

    running.send_signal(number)

    assert running.wait(PATIENCE) == 0
    assert len(children) == 3  # the sandbox, and two of `serve`
    assert all(ends(child) for child in children)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such tie")
def test_no_child_outlives_a_killed_demo(running: subprocess.Popen[str]) -> None:
    """Even after `kill -9` of the demo, its children end."""
    children = children_of(running.pid)

    running.kill()

    assert len(children) == 3  # the sandbox, and two of `serve`
    assert all(ends(child) for child in children)


def test_a_dead_child_is_reported(running: subprocess.Popen[str]) -> None:
    """When a part ends by itself, the demo ends too: it can show nothing any more."""
    os.kill(children_of(running.pid)[0], signal.SIGKILL)

    assert running.wait(PATIENCE) == 1


def test_the_dashboard_lets_its_reader_in(tmp_path: Path) -> None:
    """What the page for operators tells is all that is needed to sign in."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*DEMO, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        dashboard = next(line for line in process.stdout if "The dashboard" in line).split()[-1]
        page = requests.get(next(process.stdout).split()[-1], timeout=30).text
        password, code = re.findall(r"<code>([a-z0-9-]{20,}|\d{6})</code>", page)
        home = signed_in(dashboard, password, code)
        process.terminate()

    assert "Overview" in home


def signed_in(dashboard: str, password: str, code: str) -> str:
    """Sign in as a browser would; return the page that one comes to."""
    with requests.Session() as browser:
        page = browser.get(f"{dashboard}login", timeout=30)
        for fields in ({"name": "demo", "password": password}, {"code": code}):
            (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
            page = browser.post(page.url, data=fields | {"csrf_token": token}, timeout=30)
        return page.text
