"""What a machine runs out of: O7 lost keys, O8 blocked logs, O9 files and memory."""

import fcntl
import os
import resource
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster, answers
from tests.faults.conftest import Make
from tests.faults.register import read
from tests.faults.tracing import serving

pytestmark = pytest.mark.thorough  # they wait for clocks, probes and disks

CUSTOMER = {"first_name": "Ada", "last_name": "Byron", "email": "ada@shop.example"}


def with_customers(make_cluster: Make, database: str, patch: pytest.MonkeyPatch) -> Cluster:
    """Return a cluster whose partner passes personal data on, to an insurer that wants it."""
    secret = secrets.token_urlsafe(32)
    patch.setenv("SANDBOX_CLIENT_ID", "key-1")
    patch.setenv("SANDBOX_CLIENT_SECRET", secret)
    cluster = make_cluster(database, top={"customer_keys": '"weekly"'})
    (cluster.folder / "ACME.secret").write_text(secret + "\n")
    settings = cluster.config.read_text()
    for old, new in (
        ("[partners.ACME]\n", "[partners.ACME]\ncustomer = true\n"),
        ("xcover-offers", "xone-offers"),
        (f"{cluster.partners['ACME'].insurer}/x", cluster.partners["ACME"].insurer),
        ("hmac", "oauth"),
        ("api_key_file", "client_id_file"),
        ("api_secret_file", "client_secret_file"),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    cluster.config.write_text(settings)
    return cluster


def lose(key: Path) -> None:
    """The file is gone."""
    key.unlink()


def swap(key: Path) -> None:
    """Another key stands in its place."""
    key.write_bytes(os.urandom(32))


def cut(key: Path) -> None:
    """The file was cut short, as a disk that ran full leaves it."""
    key.write_bytes(key.read_bytes()[:7])


HARMS = {"lost": lose, "swapped": swap, "cut": cut}


def ended(cluster: Cluster) -> bool:
    """True once offer-1 is reported."""
    return bool(cluster.offer("offer-1")["report"] == "delivered")


@pytest.mark.parametrize("harm", ["lost", "swapped", "cut"])
def test_customer_keys_are_lost(
    make_cluster: Make, database: str, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O7: the personal data is beyond reading; the decline is reported without it."""
    cluster = with_customers(make_cluster, database, monkeypatch)
    cluster.start()
    for offer in ("offer-1", "offer-2"):
        assert cluster.say(offer, customer=CUSTOMER).json()["report"] == "held"
    assert cluster.say("offer-2", purchased=True).status_code == 202
    until(lambda: cluster.delivered() == {"offer-2"}, "a delivery with a key")
    assert "Ada" in cluster.received("offer-2")[0]["body"]
    for process in cluster.processes.values():
        if process.arguments[0] in ("serve", "work"):
            process.stop()
    (key,) = (cluster.folder / "weekly").glob("*.key")
    HARMS[harm](key)
    cluster.start()
    assert cluster.say("offer-1", purchased=True).status_code == 202

    until(lambda: ended(cluster) or "claim.crashed" in cluster.logs(), "the delivery")
    assert "claim.crashed" not in cluster.logs()
    assert [entry["body"] for entry in cluster.received("offer-1")] == ["{}"]


def restart_logging_to(cluster: Cluster, make: Callable[[Path], None]) -> None:
    """Stop everything, let *make* put something else where the logs are, and start again."""
    cluster.start()  # so that it has its keys, of which it tells on the first start
    for name in {"web", "work-0"} & cluster.processes.keys():
        process = cluster.processes[name]
        process.stop()
        process.log.unlink()
        make(process.log)
        process.start()
    until(lambda: answers(f"{cluster.url()}/healthz"), "it to answer")


def deliver_many(cluster: Cluster) -> None:
    """Requests go on, and so do deliveries: more than there are senders."""
    for number in range(80):
        assert cluster.say(f"offer-{number}", timeout=10).status_code == 202
    until(lambda: len(cluster.delivered()) == 80, "every delivery")
    until(lambda: reports(cluster) == {"delivered"}, "every row")


@pytest.mark.thorough
def test_the_log_is_full(make_cluster: Make, database: str) -> None:
    """O8: no line can be written, and nobody stops for it."""
    cluster = make_cluster(database)
    restart_logging_to(cluster, lambda log: log.symlink_to("/dev/full"))
    deliver_many(cluster)


@contextmanager
def pipes() -> Iterator[Callable[[Path], None]]:
    """Yield what makes a pipe that nobody reads; few lines fit into it."""
    with ExitStack() as ends:

        def make(path: Path) -> None:
            os.mkfifo(path)
            end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            ends.callback(os.close, end)
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)

        yield make


@pytest.mark.thorough
def test_nobody_reads_the_log(make_cluster: Make, database: str) -> None:
    """O8: the pipe that the log goes into is full, and nobody stops for it."""
    cluster = make_cluster(database)
    with pipes() as make:
        restart_logging_to(cluster, make)
        deliver_many(cluster)
        for process in cluster.processes.values():
            process.kill()


def reports(cluster: Cluster) -> set[str]:
    """Return where the reports stand."""
    return {row["report"] for row in read(cluster, "SELECT DISTINCT report FROM offers")}


def narrow(cluster: Cluster, limit: int, most: int) -> None:
    """Set a limit of the web process that runs, and of its successors."""
    child = cluster.processes["web"].child
    assert child is not None
    for pid in (child.pid, serving(cluster)):
        psutil.Process(pid).rlimit(limit, (most, most))


def say_safely(cluster: Cluster, offer: str) -> int:
    """Tell a decline; return the status, 0 without an answer."""
    try:
        return cluster.say(offer, timeout=10).status_code
    except OSError:
        return 0


def crowd(cluster: Cluster, connections: int) -> set[str]:
    """Tell declines while so many others hold connections; return what was acknowledged."""
    with ExitStack() as idle, ThreadPoolExecutor(8) as clients:
        for _ in range(connections):
            sock = socket.socket()
            idle.callback(sock.close)
            sock.settimeout(0)  # a full queue is not waited for
            sock.connect_ex(("127.0.0.1", cluster.ports["web"][0]))
        offers = [f"offer-{number}" for number in range(40)]
        statuses = list(clients.map(lambda offer: say_safely(cluster, offer), offers))
    assert set(statuses) <= {202, 503, 0}
    return {offer for offer, status in zip(offers, statuses, strict=True) if status == 202}


@pytest.mark.thorough
def test_too_many_connections(make_cluster: Make, database: str) -> None:
    """O9: with 64 files and 300 connections some may be turned away; what is taken is kept."""
    cluster = make_cluster(database)
    cluster.start()
    assert cluster.say("before").status_code == 202
    narrow(cluster, resource.RLIMIT_NOFILE, 64)
    taken = crowd(cluster, 300) | {"before"}

    until(lambda: say_safely(cluster, "after") == 202, "it to answer again")
    kept = {row["offer"] for row in read(cluster, "SELECT offer FROM offers")}
    assert taken | {"after"} <= kept
    until(lambda: cluster.delivered() == kept, "every delivery")
    if cluster.is_embedded:
        until(lambda: len(psutil.Process(serving(cluster)).net_connections()) < 60, "few files")
