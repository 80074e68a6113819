"""`serve` as an operator meets it: refusals in one sentence, clean stops, commands beside it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, Deployment, free_port, until


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def serve(deployment: Deployment, *more: str) -> "subprocess.CompletedProcess[str]":
    """Try to serve *deployment* on ports of its own."""
    binds = ["--bind", f"127.0.0.1:{free_port()}", "--admin-bind", f"127.0.0.1:{free_port()}"]
    return run("serve", "--config", str(deployment.config), *binds, *more)


def test_a_second_serve_on_the_same_file_refuses(deployment: Deployment) -> None:
    """SQLite has one writer; the first goes on undisturbed."""
    second = serve(deployment)

    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.splitlines()[-1].startswith("Another optout-proxy serves optout.db")
    assert deployment.say("offer-1").status_code == 202


def _misspell(deployment: Deployment) -> None:
    text = deployment.config.read_text()
    deployment.config.write_text(text.replace("public_url", "publik_url"))


def _shorten(deployment: Deployment) -> None:
    (deployment.folder / "signing").write_text("ots_test_c2hvcnQ\n")


def _publish(deployment: Deployment) -> None:
    (deployment.folder / "api-secret").chmod(0o644)


def _lose(deployment: Deployment) -> None:
    (deployment.folder / "api-secret").unlink()


def _leave(_deployment: Deployment) -> None:
    pass


REFUSALS = [
    (_misspell, (), r"publik_url.*public_url"),
    (_shorten, (), r"signing.*32 bytes"),
    (_publish, (), r"api-secret.*chmod"),
    (_lose, (), r"api-secret"),
    (_leave, ("--admin-bind", "0.0.0.0:8081"), r"admin_networks"),
    (_leave, ("--workers", "2"), r"PostgreSQL"),
    (_leave, ("--no-worker",), r"PostgreSQL"),
    (_leave, ("--bind", "nowhere"), r"HOST:PORT"),
]


@pytest.mark.parametrize(("spoil", "more", "sentence"), REFUSALS, ids=str)
def test_what_can_not_work_is_refused_plainly(
    tmp_path: Path, spoil: Callable[[Deployment], None], more: tuple[str, ...], sentence: str
) -> None:
    """Exit status 2, a sentence that says how to mend it, no traceback, nothing left running."""
    deployment = Deployment(tmp_path)
    spoil(deployment)
    refused = serve(deployment, *more)

    assert refused.returncode == 2, refused.stderr
    assert re.search(sentence, refused.stderr.splitlines()[-1])
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "optout.db").exists()


def test_a_taken_port_is_said_plainly(deployment: Deployment) -> None:
    """The private listener's too."""
    other = Path(deployment.folder / "other")
    other.mkdir()
    second = Deployment(other)
    refused = serve(second, "--admin-bind", f"127.0.0.1:{deployment.admin_port}")
    public = serve(second, "--bind", f"127.0.0.1:{deployment.port}")

    assert (refused.returncode, public.returncode) == (2, 2)
    assert "can not be bound" in refused.stderr.splitlines()[-1]
    assert "can not be bound" in public.stderr.splitlines()[-1]


def test_a_stop_is_clean(deployment: Deployment) -> None:
    """SIGTERM with an opt-out under way: it is finished, and the status is 0."""
    deployment.fault("hang", seconds=1.0)
    deployment.say("offer-1")
    until(lambda: deployment.received("offer-1"), "the request to be under way")

    assert deployment.proxy.stop() == 0
    deployment.start_proxy()
    assert deployment.offer("offer-1")["report"] == "delivered"
    assert [entry["status"] for entry in deployment.received("offer-1")] == [204]


def test_the_private_listener_keeps_no_large_body(deployment: Deployment) -> None:
    """It is refused by what it says of itself, before its first byte is waited for."""
    with socket.create_connection(("127.0.0.1", deployment.admin_port), PATIENCE_S) as peer:
        peer.sendall(b"POST /admin/login HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")

        assert peer.recv(12) == b"HTTP/1.1 413"


def test_the_private_listener_shows_figures_and_the_public_one_does_not(
    deployment: Deployment,
) -> None:
    """Operators see the register's figures; the world sees nothing of them."""
    private = f"http://127.0.0.1:{deployment.admin_port}"
    deployment.say("offer-1")
    until(lambda: deployment.offer("offer-1")["report"] == "delivered", "the delivery")

    metrics = requests.get(f"{private}/metrics", timeout=PATIENCE_S).text
    assert 'proxy_deliveries{report="delivered"} 1.0' in metrics
    assert requests.get(f"{private}/readyz", timeout=PATIENCE_S).json()["ready"] is True
    assert requests.get(f"{deployment.url}/metrics", timeout=PATIENCE_S).status_code == 404
    assert requests.get(f"{private}/v1/choices", timeout=PATIENCE_S).status_code == 404


def test_a_dead_letter_is_requeued_through_the_running_serve(deployment: Deployment) -> None:
    """The single writer stays single; the second attempt has a new key."""
    deployment.fault("status", status=404, times=1)
    deployment.say("offer-1")
    until(lambda: deployment.offer("offer-1")["report"] == "dead", "the dead letter")
    config = ["--config", str(deployment.config)]
    listed = run("deliveries", "list", "--report", "dead", "--json", *config)
    row = json.loads(listed.stdout)["id"]
    requeued = run("deliveries", "requeue", str(row), "--note", "mended", *config)

    assert (requeued.returncode, requeued.stdout) == (0, "1 of 1 requeued.\n")
    until(lambda: deployment.offer("offer-1")["report"] == "delivered", "the delivery")
    assert len({entry["idempotency_key"] for entry in deployment.received("offer-1")}) == 2
    story = run("deliveries", "show", str(row), *config).stdout
    assert "delivery.requeued" in story


def test_a_dead_letter_is_requeued_without_a_serve(deployment: Deployment) -> None:
    """The command takes the lock itself; the next serve delivers."""
    deployment.fault("status", status=404, times=1)
    deployment.say("offer-1")
    until(lambda: deployment.offer("offer-1")["report"] == "dead", "the dead letter")
    deployment.proxy.stop()
    requeued = run("deliveries", "requeue", "--all", "--config", str(deployment.config))
    deployment.start_proxy()

    assert requeued.stdout == "1 of 1 requeued.\n"
    until(lambda: deployment.offer("offer-1")["report"] == "delivered", "the delivery")


def test_new_settings_take_effect_without_a_restart(deployment: Deployment) -> None:
    """A retired server key is dead; settings that are wrong change nothing."""
    assert deployment.say("offer-1").status_code == 202
    text = deployment.config.read_text()
    deployment.config.write_text(text.replace("[partners.ACME]", "[partners.ACME]\nlate = 1"))
    assert deployment.proxy.child is not None
    deployment.proxy.child.send_signal(signal.SIGHUP)
    assert deployment.say("offer-2").status_code == 202
    key = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text)
    deployment.config.write_text(key)

    until(lambda: deployment.say("offer-3").status_code == 401, "the key to be dead")


def test_a_hangup_replaces_no_process(deployment: Deployment) -> None:
    """SIGHUP reads the settings again; what is under way goes on in the process it is in."""
    assert deployment.proxy.child is not None
    before = children(deployment.proxy.child.pid)
    deployment.fault("hang", seconds=1.0)
    deployment.say("offer-1")
    until(lambda: deployment.received("offer-1"), "the request to be under way")
    deployment.proxy.child.send_signal(signal.SIGHUP)
    until(lambda: deployment.offer("offer-1")["report"] == "delivered", "the delivery")

    assert children(deployment.proxy.child.pid) == before
    assert len(deployment.received("offer-1")) == 1


def test_a_killed_worker_is_replaced_and_knows_the_newest_settings(
    deployment: Deployment,
) -> None:
    """A key that was retired before the kill is not revived by it."""
    text = deployment.config.read_text()
    deployment.config.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text))
    until(lambda: deployment.say("offer-1").status_code == 401, "the key to be dead")
    assert deployment.proxy.child is not None
    (worker,) = children(deployment.proxy.child.pid)
    os.kill(worker, signal.SIGKILL)
    until(lambda: children(deployment.proxy.child.pid) not in ([worker], []), "a successor")
    answers = [until(lambda: answer(deployment), "an answer") for _ in range(10)]

    assert set(answers) == {401}


def children(pid: int) -> list[int]:
    """Return the processes that *pid* has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in listed.split()]


def answer(deployment: Deployment) -> int | None:
    """Return the status of a decline, None while nobody answers."""
    try:
        return deployment.say("offer-2").status_code
    except requests.ConnectionError:
        return None


@pytest.mark.parametrize("moment", ["down", "refusing"])
def test_a_decline_outlives_its_insurer(deployment: Deployment, moment: str) -> None:
    """Upstream is away: acknowledged all the same, and delivered when it is back."""
    if moment == "down":
        deployment.sandbox.kill()
    else:
        deployment.fault("status", status=503, times=3)
    assert deployment.say("offer-1").status_code == 202
    if moment == "down":
        until(lambda: deployment.offer("offer-1")["attempts"] >= 1, "a first attempt")
        deployment.sandbox.start()

    until(lambda: deployment.offer("offer-1")["report"] == "delivered", "the delivery")
    assert deployment.offer("offer-1")["conflict"] is False


def test_work_delivers_what_serve_left(deployment: Deployment) -> None:
    """On SQLite the worker alone runs only where no serve does."""
    refused = run("work", "--config", str(deployment.config))
    deployment.sandbox.kill()
    deployment.say("offer-1")
    deployment.proxy.stop()
    deployment.sandbox.start()
    deployment.proxy.arguments = ["work", "--config", str(deployment.config)]
    deployment.proxy.start()

    assert refused.returncode == 2
    until(lambda: deployment.received_or_none("offer-1"), "the opt-out")
    assert deployment.proxy.stop() == 0
