"""Names that do not resolve, insurers that can not prove who they are, and clients that hang."""

import json
import os
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import certifi
import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import HOST, Cluster, answers
from tests.faults.conftest import Make
from tests.faults.register import attempts, paused, read, reports, until_delivered
from tests.faults.resolver import SERVFAIL, NameServer
from tests.faults.special_clusters import ElsewhereCluster, running
from tests.faults.stand_in_tls import TlsInsurer
from tests.upstream.certificates import Authority

OFFERS = [f"offer-{number}" for number in range(20)]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


# -- names ------------------------------------------------------------------------------------


@contextmanager
def _under(names: NameServer, folder: Path, options: str) -> Iterator[Cluster]:
    """Run a cluster that asks *names* for its insurer, `localhost`; CALM's has an address."""
    (folder / "hosts").write_text("")
    (folder / "resolv.conf").write_text(f"nameserver {names.host}\noptions {options}\n")
    world = "; ".join(
        f"mount --bind {folder / name} {Path('/etc', name).resolve()}"
        for name in ("hosts", "resolv.conf")
    )
    partners: dict[str, dict[str, str]] = {"ACME": {}, "CALM": {}}
    cluster = ElsewhereCluster(folder, partners=partners, world=world)
    config = cluster.config.read_text()
    numeric, named = (
        f"http://{host}:{cluster.partners['ACME'].port}/x" for host in ("127.0.0.1", "localhost")
    )
    cluster.config.write_text(config.replace(numeric, named))
    with running(cluster):
        cluster.start_web()
        yield cluster


@needs_root
def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    """Unknown, broken, slow: the decline waits, in no doubt, and leaves when the name is back."""
    with NameServer() as names, _under(names, tmp_path, "timeout:5 attempts:1") as cluster:
        cluster.say("unknown")
        until(lambda: attempts(cluster, "unknown"), "an attempt")
        names.mood = SERVFAIL
        cluster.say("broken")
        until(lambda: attempts(cluster, "broken"), "an attempt")
        assert cluster.say("calm", partner="CALM").status_code == 202
        until_delivered(cluster, "CALM")
        assert "localhost" in names.asked
        names.mood, names.delay = 0, 1.0

        until_delivered(cluster)

        for offer in ("unknown", "broken"):
            *failed, _ = attempts(cluster, offer)
            assert {one["outcome"] for one in failed} == {"name_not_resolved"}
            assert len(cluster.received(offer)) == 1
        assert read(cluster, "SELECT * FROM offers WHERE unknown_at IS NOT NULL") == []


@needs_root
@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_the_deadline_includes_the_name(tmp_path: Path) -> None:
    """A name server that never answers costs one deadline, and no other partner anything."""
    with NameServer() as names, _under(names, tmp_path, "timeout:30 attempts:5") as cluster:
        names.mood = None
        cluster.decline_all(OFFERS)
        until(lambda: names.asked, "the question")
        cluster.decline_all(OFFERS, "CALM")
        until_delivered(cluster, "CALM")
        assert "delivered" not in reports(cluster).values()

        until(lambda: attempts(cluster, OFFERS[0]), "the deadline")
        [late, *_] = attempts(cluster, OFFERS[0])
        assert late["outcome"] == "timed_out"
        assert read(cluster, "SELECT * FROM offers WHERE unknown_at IS NOT NULL") == []


# -- TLS --------------------------------------------------------------------------------------


def _contexts(folder: Path, ours: Authority) -> dict[str, ssl.SSLContext | None]:
    """Return what each partner's insurer shows; only our authority is believed."""
    (folder / "stranger").mkdir()
    return {
        "STRANGER": Authority(folder / "stranger").context("127.0.0.1"),
        "EXPIRED": ours.context("127.0.0.1", days=-1),
        "OTHERHOST": ours.context("127.0.0.2"),
        "OUTDATED": _outdated(ours.context("127.0.0.1")),
        "PLAIN": None,
    }


def _outdated(context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings():  # of what is the point here
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


@contextmanager
def _behind_tls(folder: Path, ours: Authority) -> Iterator[tuple[Cluster, dict[str, TlsInsurer]]]:
    """Run a cluster whose trust store holds *ours* alone; one partner for each fault."""
    world = f"mount --bind {ours.file} {certifi.where()}"
    with ExitStack() as stack:
        insurers = {
            name: stack.enter_context(TlsInsurer(context))
            for name, context in {"SOUND": ours.context("127.0.0.1")}.items()
            | _contexts(folder, ours).items()
        }
        partners: dict[str, dict[str, str]] = {name: {} for name in insurers}
        bases = {name: f"{insurer.url}/x" for name, insurer in insurers.items()}
        cluster = ElsewhereCluster(folder, partners=partners, bases=bases, world=world)
        with running(cluster):
            cluster.start_web()
            yield cluster, insurers


def _refuse_all(cluster: Cluster, insurers: dict[str, TlsInsurer]) -> None:
    """Decline at every partner; only the sound insurer is told anything."""
    for name in insurers:
        cluster.decline_all(OFFERS, name)
    until_delivered(cluster, "SOUND")
    assert len(insurers["SOUND"].requests) == len(OFFERS)
    bad = {name: insurer for name, insurer in insurers.items() if name != "SOUND"}
    until(lambda: len(paused(cluster)) == len(bad), "every credential to pause")
    for name, insurer in bad.items():
        until(lambda one=name: set(reports(cluster, one).values()) == {"due"}, "its rows to wait")
        [first, *_] = attempts(cluster, OFFERS[0], name) or attempts(cluster, OFFERS[1], name)
        assert first["outcome"] == "tls_failed", name
        assert insurer.requests == [], name
    overheard = bytes(bad["PLAIN"].overheard)
    assert overheard.startswith(b"\x16\x03")  # a handshake, and nothing behind it
    assert not [offer for offer in OFFERS if offer.encode() in overheard]
    assert read(cluster, "SELECT * FROM offers WHERE unknown_at IS NOT NULL") == []


@needs_root
def test_nothing_is_sent_to_who_can_not_prove_itself(tmp_path: Path) -> None:
    """A wrong certificate pauses the credential; the list of deliveries says why."""
    with _behind_tls(tmp_path, Authority(tmp_path)) as (cluster, insurers):
        _refuse_all(cluster, insurers)

        status, listed = cluster.command("deliveries", "list", "--json", "--partner", "EXPIRED")

        assert status == 0
        outcomes = {json.loads(line)["outcome"] for line in listed.splitlines()}
        assert "tls_failed" in outcomes


@needs_root
@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_right_certificate_heals_by_itself(tmp_path: Path) -> None:
    """The next probe finds that the insurer can prove itself, and everything arrives once."""
    ours = Authority(tmp_path)
    with _behind_tls(tmp_path, ours) as (cluster, insurers):
        _refuse_all(cluster, insurers)
        for insurer in insurers.values():
            insurer.present(ours.context("127.0.0.1"))

        for name, insurer in insurers.items():
            until_delivered(cluster, name)
            assert len(insurer.requests) == len(OFFERS)
            assert len({one.target for one in insurer.requests}) == len(OFFERS)


# -- clients ----------------------------------------------------------------------------------


def _call(cluster: Cluster, offer: str) -> bytes:
    """Return the bytes of a request that declines *offer*."""
    now = int(time.time() * 1000)
    said = {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
    body = json.dumps(said).encode()
    head = (
        f"POST /v1/choices HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Authorization: Bearer {cluster.partners['ACME'].server_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _connect(cluster: Cluster) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cluster.ports["web"][0]), timeout=30)


def test_a_client_that_does_not_wait_is_heard(make_cluster: Make) -> None:
    """A decline that came in whole is recorded and delivered, whether or not its client stays."""
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start_web()
    for number, offer in enumerate(OFFERS):
        with _connect(cluster) as client:
            client.sendall(_call(cluster, offer))
            if number % 2:  # the others close at once
                until(lambda one=offer: one in reports(cluster), "its record")
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    until(lambda: cluster.delivered() == set(OFFERS), "every decline")
    assert len(cluster.received()) == len(OFFERS)
    assert cluster.say("sound").status_code == 202


def test_clients_that_hang_keep_no_other_waiting_for_ever(make_cluster: Make) -> None:
    """Half-sent bodies and unread answers, more than there are threads: others are answered."""
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start_web()
    with ExitStack() as stack:
        for number in range(80):
            client = stack.enter_context(_connect(cluster))
            call = _call(cluster, f"hung-{number}")
            client.sendall(call if number % 2 else call[:-10])

        assert cluster.say("sound", timeout=20).status_code == 202
        assert answers(f"{cluster.url()}/healthz")
        assert cluster.ready()[0] == 200
        whole = {f"hung-{number}" for number in range(1, 80, 2)} | {"sound"}
        until(lambda: cluster.delivered() == whole, "what came in whole, and only that")
    assert set(reports(cluster)) == whole
