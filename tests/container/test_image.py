"""The image: one user without rights, a read-only root, one volume, and nothing lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.deployment import Deployment, Process, until
from tests.container.box import IMAGE, USER, Box, buildah

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]
STOP_S = 10  # from SIGTERM to the end, as container engines wait


class Boxed(Process):
    """`serve` in the image."""

    box: Box

    def start(self) -> None:
        """Start it; its output goes to the log."""
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.box.command(*self.arguments),
                stdout=log,
                stderr=log,
                env=self.box.environ,
                start_new_session=True,
            )


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """The file system of a container made from the image."""
    if os.geteuid() != 0 or not shutil.which("buildah"):
        pytest.skip("needs root and buildah")
    container = buildah("from", IMAGE)
    yield buildah("mount", container)
    buildah("rm", container)


@pytest.fixture
def box(root: str, tmp_path: Path) -> Box:
    """A container with an empty volume."""
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o700)
    os.chown(volume, USER, USER)
    return Box(root, volume)


@pytest.fixture
def deployment(box: Box, tmp_path: Path) -> Iterator[Deployment]:
    """The proxy in the image, the insurer beside it."""
    made = Deployment(box.volume)
    for path in (box.volume, *box.volume.rglob("*")):
        os.chown(path, USER, USER)
    arguments = [
        str(Path("/data") / Path(word).name) if word == str(made.config) else word
        for word in made.proxy.arguments
    ]
    made.sandbox.log = tmp_path / "sandbox.log"
    made.proxy = Boxed(arguments, tmp_path / "serve.log")
    made.proxy.box = box
    made.start()
    yield made
    made.end()


def insides(process: Process) -> Path:
    """Return the `/proc` folder of the first process of ours in the container."""
    assert process.child is not None
    below = [process.child.pid]
    for pid in below:
        below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return next(
        Path(f"/proc/{pid}")
        for pid in below
        if b"optout-proxy" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"tini" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"unshare" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def test_a_volume_is_made_ready(box: Box) -> None:
    """`init`, with nothing but the volume; what it writes is its user's alone."""
    made = box.run("init", "/data")

    assert made.returncode == 0, made.stderr
    assert (box.volume / "optout.toml").stat().st_uid == USER
    assert box.run("check").returncode == 0


def test_it_has_no_rights_and_writes_to_its_volume_only(deployment: Deployment) -> None:
    """Another user than root, no capability, a root that can not be written."""
    process = insides(deployment.proxy)
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    assert set(status["Uid"].split()) == {str(USER)}
    assert int(status["CapEff"], 16) == 0
    with pytest.raises(OSError, match="Read-only file system"):
        (process / "root/opt/new").write_text("")
    (process / "root/data/new").write_text("")


def test_a_decline_survives_a_kill_with_its_volume(deployment: Deployment) -> None:
    """Acknowledged, killed with everything, started anew on the same volume: delivered once."""
    deployment.fault("status", status=503, times=50)
    for number in range(20):
        assert deployment.say(f"offer-{number}").status_code == 202
    deployment.proxy.kill()
    deployment.start_proxy()
    for number in range(20):
        until(
            lambda offer=f"offer-{number}": deployment.offer(offer)["report"] == "delivered",
            f"the delivery of offer-{number}",
        )


def test_it_stops_in_time_and_loses_nothing(deployment: Deployment) -> None:
    """SIGTERM to process 1 while requests are under way: exit status 0, all delivered or kept."""
    for number in range(20):
        assert deployment.say(f"offer-{number}").status_code == 202
    process = insides(deployment.proxy)
    assert deployment.proxy.child is not None
    os.kill(int(process.name), 15)
    assert deployment.proxy.child.wait(STOP_S) == 0
    deployment.start_proxy()
    for number in range(20):
        until(
            lambda offer=f"offer-{number}": deployment.offer(offer)["report"] == "delivered",
            f"the delivery of offer-{number}",
        )
        assert len(deployment.received(f"offer-{number}")) == 1


@pytest.mark.parametrize(("seconds", "times"), [(3, 1), (9.5, 2)], ids=["finished", "kept"])
def test_a_send_in_flight_is_not_lost(deployment: Deployment, seconds: float, times: int) -> None:
    """SIGTERM while the insurer is slow: finished if it answers in time, else sent again as it was.

    Either way within the time, by the exit status of a clean end, and taken once by the insurer.
    """
    deployment.fault("hang", seconds=seconds, times=1)
    assert deployment.say("slow").status_code == 202
    until(lambda: deployment.received_or_none("slow"), "the request")
    assert deployment.proxy.child is not None
    os.kill(int(insides(deployment.proxy).name), 15)
    assert deployment.proxy.child.wait(STOP_S) == 0
    deployment.start_proxy()
    until(lambda: deployment.offer("slow")["report"] == "delivered", "the delivery")

    seen = deployment.received("slow")
    assert len(seen) == times
    assert len({one["idempotency_key"] for one in seen}) == 1
    assert [one["effect"] for one in seen].count(True) == 1
