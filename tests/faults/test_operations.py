"""What operators do and machines lack: O1, O2, O5, O6 and O10 of the fault matrix.

Changes of version, O3 and O4, have a file of their own.
"""

import re
import secrets
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, Process, free_port, until
from tests.faults.cluster import HOST, ORIGIN, Cluster
from tests.faults.conftest import Make
from tests.faults.register import change, read
from tests.faults.tracing import Line, message, replace_delivering


def reports(cluster: Cluster) -> set[str]:
    """Return where the reports stand."""
    return {row["report"] for row in read(cluster, "SELECT DISTINCT report FROM offers")}


def worker_of(cluster: Cluster) -> str:
    """Return the name of the command that delivers."""
    return "web" if cluster.is_embedded else "work-0"


def test_stopped_with_requests_under_way(whole: Cluster) -> None:
    """O1: SIGTERM: what has begun is finished and kept, and the status is 0."""
    web = whole.processes["web"]
    assert web.child is not None
    with ExitStack() as open_lines:
        lines = [open_lines.enter_context(Line(whole)) for _ in range(8)]
        bodies = [line.begin(message(f"offer-{n}")) for n, line in enumerate(lines)]
        time.sleep(0.5)  # so that their heads are read
        web.child.send_signal(signal.SIGTERM)
        time.sleep(0.5)  # bodies have five seconds
        for line, body in zip(lines, bodies, strict=True):
            line.connection.send(body)
        assert [line.status() for line in lines] == [202] * 8
    assert web.child.wait(30) == 0
    assert not is_listening(whole)
    whole.start_web("web", *([] if whole.is_embedded else ["--no-worker"]))

    until(lambda: len(whole.delivered()) == 8, "every delivery")
    until(lambda: reports(whole) == {"delivered"}, "every row")
    assert len(whole.received()) == 8


def test_nothing_new_is_taken_while_it_stops(whole: Cluster) -> None:
    """O1: new connections are refused at once, so that who balances load goes elsewhere."""
    web = whole.processes["web"]
    assert web.child is not None
    with Line(whole) as line:
        body = line.begin(message("offer-1"))
        time.sleep(0.5)  # so that its head is read
        web.child.send_signal(signal.SIGTERM)
        time.sleep(2)
        listened = is_listening(whole)
        line.connection.send(body)
        assert line.status() == 202
    assert not listened


def is_listening(cluster: Cluster) -> bool:
    """True while a web process takes connections."""
    try:
        socket.create_connection(("127.0.0.1", cluster.ports["web"][0]), timeout=1).close()
    except OSError:
        return False
    return True


def test_stopped_while_it_sends(whole: Cluster) -> None:
    """O2: SIGTERM: what is on its way is finished, what is only claimed is handed back."""
    whole.fault("hang", seconds=1.0)
    for number in range(3):
        whole.say(f"offer-{number}")
    until(lambda: len(whole.received()) == 3, "the requests")
    assert whole.processes[worker_of(whole)].stop() == 0

    assert reports(whole) == {"delivered"}
    assert [entry["status"] for entry in whole.received()] == [204] * 3
    assert read(whole, "SELECT kind FROM facts WHERE kind = 'delivery.lapsed'") == []


@pytest.mark.thorough
def test_stopped_while_the_insurer_hangs(whole: Cluster) -> None:
    """O2: one that does not end in time keeps its lease; the same key again, one effect."""
    whole.fault("hang", seconds=15.0, times=1)
    whole.say("offer-1")
    until(lambda: whole.received("offer-1"), "the request")
    process = whole.processes[worker_of(whole)]
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < 15  # it did not wait for the insurer
    assert reports(whole) == {"sending"}
    if whole.is_embedded:
        whole.start_web()
    replace_delivering(whole)

    until(lambda: reports(whole) == {"delivered"}, "the delivery")
    entries = whole.received("offer-1")
    assert len({entry["idempotency_key"] for entry in entries}) == 1
    assert [entry["effect"] for entry in entries].count(True) == 1


def hang_up(cluster: Cluster) -> None:
    """Let every process read its settings again."""
    for name in {"web", "work-0"} & cluster.processes.keys():
        child = cluster.processes[name].child
        assert child is not None
        child.send_signal(signal.SIGHUP)


def open_session(cluster: Cluster, offer: str) -> str:
    """Return a token that the proxy makes for the partner's server."""
    key = cluster.partners["ACME"].server_key
    answer = requests.post(
        f"{cluster.url()}/v1/sessions",
        json={"offer": offer, "origin": ORIGIN},
        headers={"Host": HOST, "Authorization": f"Bearer {key}"},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def tell(cluster: Cluster, token: str) -> requests.Response:
    """Tell a decline as the shop's page does."""
    now = str(int(time.time() * 1000))
    return requests.post(
        f"{cluster.url()}/v1/choices",
        data={"token": token, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now},
        headers={"Host": HOST, "Origin": ORIGIN},
        timeout=PATIENCE_S,
    )


def rewrite(cluster: Cluster, pattern: str, to: str) -> None:
    """Change a line of the settings, in one step as an editor does, and say so."""
    settings, count = re.subn(pattern, to, cluster.config.read_text(), flags=re.MULTILINE)
    assert count
    fresh = cluster.config.with_suffix(".new")
    fresh.write_text(settings)
    fresh.replace(cluster.config)
    hang_up(cluster)


def keep(cluster: Cluster, name: str, secret: str) -> None:
    """Write a secret file."""
    fresh = cluster.folder / f"{name}.new"
    fresh.write_text(secret + "\n")
    fresh.chmod(0o600)
    fresh.replace(cluster.folder / name)


def test_signing_keys_rotate(whole: Cluster) -> None:
    """O5: the new key counts at once, the old one until it is taken away; nobody is turned away."""
    old_key = '{ kid = "acme-1", secret_file = "ACME.signing" }'
    new_key = '{ kid = "acme-2", secret_file = "ACME.signing-2" }'
    keep(whole, "ACME.signing-2", f"ots_test_{secrets.token_urlsafe(32)}")
    old = open_session(whole, "offer-1")
    rewrite(whole, "^signing_keys = .*", f"signing_keys = [{old_key}, {new_key}]")
    new = until(lambda: token_of(whole, "acme-2"), "a token of the new key")
    assert {tell(whole, token).status_code for token in (old, new) for _ in range(10)} == {202}

    rewrite(whole, "^signing_keys = .*", f"signing_keys = [{new_key}]")
    until(lambda: tell(whole, old).status_code == 401, "the end of the old key")
    assert {tell(whole, new).status_code for _ in range(10)} == {202}
    until(lambda: whole.delivered() == {"offer-1", "offer-2"}, "every delivery")


def token_of(cluster: Cluster, kid: str) -> str | None:
    """Return a token of offer-2 if that key signs by now."""
    token = open_session(cluster, "offer-2")
    return token if token.startswith(f"{kid}.") else None


@pytest.mark.thorough
def test_upstream_secret_rotates(whole: Cluster) -> None:
    """O6: the insurer takes only the new secret: nothing dies of it, and all is sent with it.

    The probe's 30 s are taken off in the database.
    """
    offers = {f"offer-{number}" for number in range(20)}
    for offer in sorted(offers)[:10]:
        assert whole.say(offer).status_code == 202
    until(lambda: len(whole.delivered()) == 10, "deliveries with the old secret")
    fresh = secrets.token_urlsafe(32)
    insurer = whole.processes["insurer-ACME"]
    insurer.kill()
    insurer.environ["SANDBOX_API_SECRET"] = fresh
    insurer.start()
    until(lambda: insurer.log.read_text().count("sandbox ready") == 2, "the insurer")
    for offer in sorted(offers)[10:]:
        assert whole.say(offer).status_code == 202
    until(lambda: read(whole, "SELECT 1 FROM buckets WHERE paused_at IS NOT NULL"), "a pause")
    keep(whole, "ACME.secret", fresh)
    hang_up(whole)
    until(lambda: whole.logs().count("settings.reloaded") >= 1, "the new secret")
    time.sleep(1)
    change(whole, "UPDATE buckets SET probe_at = probe_at - 30000")

    until(lambda: reports(whole) == {"delivered"}, "every row")
    entries = whole.received()  # since the insurer began anew
    assert {entry["offer"] for entry in entries if entry["effect"]} == set(sorted(offers)[10:])
    assert {entry["status"] for entry in entries if not entry["verified"]} == {403}


@pytest.mark.thorough
def test_two_serves_on_one_file(make_cluster: Make) -> None:
    """O10, SQLite only: the second refuses, by whatever name it knows the file."""
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start()
    alias = cluster.folder / "alias"
    alias.symlink_to(cluster.folder, target_is_directory=True)
    for config in (cluster.config, alias / "optout.toml"):
        status, said = second_serve(cluster, config)
        assert status == 2
        assert "Another optout-proxy serves optout.db" in said
    assert cluster.say("offer-1").status_code == 202
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")
    cluster.processes["web"].kill()
    cluster.start_web()  # the kernel has given the lock back
    assert cluster.say("offer-2").status_code == 202


def second_serve(cluster: Cluster, config: Path) -> tuple[int, str]:
    """Try to serve the same file; return exit status and output."""
    binds = ["--bind", f"127.0.0.1:{free_port()}", "--admin-bind", f"127.0.0.1:{free_port()}"]
    process = Process(
        ["serve", "--config", str(config), *binds], cluster.folder / f"{uuid4().hex}.log"
    )
    cluster.processes["second"] = process
    process.start()
    assert process.child is not None
    return process.child.wait(PATIENCE_S), process.log.read_text()
