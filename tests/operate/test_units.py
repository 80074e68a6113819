"""The systemd units: read by systemd itself, confined, and told when the service listens."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.serve import GRACE_S
from tests.acceptance.deployment import Deployment
from tests.operate.shipped import PROGRAM, UNITS, unit

SERVICES = sorted(UNITS.glob("*.service"))
MOST_EXPOSED = 1.5  # of 10, as `systemd-analyze security` counts


def systemd_analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run it without a running systemd; skip where it is not installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze")
    return subprocess.run([program, *words], check=False, capture_output=True, text=True)


def exposure(path: Path) -> float:
    """Return how exposed systemd thinks that a service is."""
    done = systemd_analyze("security", "--offline=true", "--no-pager", str(path))
    assert done.returncode == 0, done.stderr
    return float(done.stdout.strip().splitlines()[-1].split(": ")[1].split()[0])


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The units, with a program that is there in the place of ours."""
    program = shutil.which("true") or "/bin/true"
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, program))
    return tmp_path


def test_systemd_understands_every_line(copies: Path) -> None:
    """No unknown setting, no value that does not fit, no unit that is missing."""
    done = systemd_analyze("verify", "--man=no", *map(str, sorted(copies.iterdir())))

    assert (done.returncode, done.stderr) == (0, "")


def test_a_line_that_systemd_does_not_know_is_found(copies: Path) -> None:
    """The check above can fail."""
    path = copies / "optout-proxy.service"
    path.write_text(path.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))

    assert "ProtectHouse" in systemd_analyze("verify", "--man=no", str(path)).stderr


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_is_confined(path: Path) -> None:
    """As systemd itself judges it."""
    assert exposure(path) <= MOST_EXPOSED


@pytest.mark.parametrize(
    "line", ["User=optout", "CapabilityBoundingSet=", "SystemCallFilter=@system-service"]
)
def test_a_unit_without_a_line_of_it_is_not(copies: Path, line: str) -> None:
    """The check above can fail: each of these lines keeps it below its limit."""
    path = copies / "optout-proxy.service"
    assert line in path.read_text()
    path.write_text(path.read_text().replace(f"{line}\n", "", 1))

    assert exposure(path) > MOST_EXPOSED


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_runs_as_nobody_special(path: Path) -> None:
    """A user of its own, without rights; what the file says, where no systemd is."""
    said = unit(path)

    assert said["User"] == said["Group"] == ["optout"]
    assert said["CapabilityBoundingSet"] == said["AmbientCapabilities"] == [""]
    assert said["NoNewPrivileges"] == ["yes"]
    assert said["ProtectSystem"] == ["strict"]
    if "KillMode" in said:
        assert int(said["TimeoutStopSec"][0]) > GRACE_S + 2


def test_systemd_is_told_when_it_listens(tmp_path: Path) -> None:
    """`Type=notify`: `serve` says so on the socket that systemd names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        deployment = Deployment(tmp_path)
        deployment.proxy.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            deployment.proxy.start()
            said = manager.recv(4096)
            with socket.create_connection(("127.0.0.1", deployment.port), 60):
                assert b"READY=1" in said.splitlines()
        finally:
            deployment.end()
