"""The way to upstream: names, connections, TLS and the environment."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.choices import Kind, Outcome
from proxy.credentials import credentials_for
from proxy.exchange import Lines
from proxy.sender import Sender
from proxy.wire import Resolver
from tests.upstream.builders import a_delivery, an_upstream
from tests.upstream.certificates import Authority
from tests.upstream.raw_server import RawServer, reply


def _send(sender: Sender, url: str) -> Outcome:
    upstream = an_upstream(url)
    return sender.send(a_delivery(), upstream, credentials_for(upstream))


def _with(resolver: Resolver, deadline: float = 10) -> Sender:
    return Sender(audience="a", deadline=deadline, lines=Lines(resolver=resolver))


@pytest.fixture
def closed() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _at(*ports: int) -> list[tuple[Any, ...]]:
    kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    return [(*kind, ("127.0.0.1", port)) for port in ports]


def test_a_refused_connection_is_no_doubt(sender: Sender, closed: int) -> None:
    """Nothing was sent, so nothing can have happened."""
    outcome = _send(sender, f"http://127.0.0.1:{closed}")

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="not_connected")


def test_an_unknown_name_is_no_doubt() -> None:
    """A name that can not be resolved is trouble on our side, and passes."""

    def lookup(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    outcome = _send(_with(Resolver(lookup)), "http://localhost:1")

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="name_not_resolved")


def test_a_name_without_address_is_no_doubt() -> None:
    """An empty answer of the resolver is no connection."""
    outcome = _send(_with(Resolver(lambda *_, **__: [])), "http://localhost:1")

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="not_connected")


def test_slow_names_end_at_the_deadline() -> None:
    """The resolver can not be interrupted, so it is not waited for."""
    asked = threading.Semaphore(0)
    answer = threading.Event()

    def lookup(*_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.release()
        answer.wait()
        return []

    sender = _with(Resolver(lookup), deadline=0.2)
    outcomes = [_send(sender, "http://localhost:1") for _ in range(2)]
    answer.set()

    assert outcomes == [Outcome(kind=Kind.TRANSIENT, reason="timed_out")] * 2
    assert asked.acquire(blocking=False)
    assert not asked.acquire(blocking=False)  # the second waited for the first one's lookup


def test_a_dead_address_leaves_time_for_the_next(closed: int) -> None:
    """Of several addresses the first that takes us is used."""
    with RawServer(reply(204)) as server:
        resolver = Resolver(lambda *_, **__: _at(closed, server.port))

        outcome = _send(_with(resolver), "http://localhost:1")

    assert outcome.kind is Kind.DELIVERED


@pytest.fixture
def blackhole() -> Iterator[int]:
    """Give a port where connections are neither taken nor refused: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_black_hole_ends_at_the_deadline(hasty: Sender, blackhole: int) -> None:
    """A connection that never comes is no doubt either."""
    outcome = _send(hasty, f"http://127.0.0.1:{blackhole}")

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="timed_out")


def test_a_black_hole_does_not_use_up_the_time(blackhole: int) -> None:
    """Addresses share the time that is left."""
    with RawServer(reply(204)) as server:
        resolver = Resolver(lambda *_, **__: _at(blackhole, server.port))

        outcome = _send(_with(resolver, deadline=2), "http://localhost:1")

    assert outcome.kind is Kind.DELIVERED


def test_a_handshake_ends_at_the_deadline(hasty: Sender) -> None:
    """A port that takes connections and says nothing is given up, with nothing sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcome = _send(hasty, f"https://127.0.0.1:{listener.getsockname()[1]}")

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="timed_out")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return somebody who signs certificates, whom nobody knows."""
    return Authority(tmp_path)


def _trusting(authority: Authority, deadline: float = 10) -> Sender:
    lines = Lines(authorities=str(authority.file))
    return Sender(audience="a", deadline=deadline, lines=lines)


def test_a_known_authority_is_enough(authority: Authority) -> None:
    """A certificate that checks out carries a report, and the next on the same connection."""
    with RawServer(reply(204), tls=authority.context("127.0.0.1")) as server:
        sender = _trusting(authority)
        outcomes = [_send(sender, server.url) for _ in range(2)]

    assert [outcome.kind for outcome in outcomes] == [Kind.DELIVERED] * 2
    assert server.connections == 1


def test_a_drip_over_tls_ends_at_the_deadline(authority: Authority) -> None:
    """Encryption changes nothing about the deadline."""

    def drip(_: object, sock: socket.socket) -> None:
        while not server.stopping.wait(0.05):
            sock.sendall(b"H")

    with RawServer(drip, tls=authority.context("127.0.0.1")) as server:
        outcome = _send(_trusting(authority, deadline=0.5), server.url)

    assert outcome == Outcome(kind=Kind.TRANSIENT, reason="timed_out", unknown=True)


def test_an_unknown_authority_is_not_believed(sender: Sender, authority: Authority) -> None:
    """Nothing is sent to somebody who can not prove who it is."""
    with RawServer(reply(204), tls=authority.context("127.0.0.1")) as server:
        outcome = _send(sender, server.url)

    assert outcome == Outcome(kind=Kind.SETUP, reason="tls_failed")
    assert server.requests == []


WRONG = {
    "of another host": {"host": "127.0.0.2"},
    "expired": {"host": "127.0.0.1", "days": -1},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_certificate_is_not_believed(authority: Authority, wrong: Any) -> None:
    """A name and a date are part of the proof, whoever signed."""
    with RawServer(reply(204), tls=authority.context(**wrong)) as server:
        outcome = _send(_trusting(authority), server.url)

    assert outcome == Outcome(kind=Kind.SETUP, reason="tls_failed")
    assert server.requests == []


def test_old_tls_is_not_spoken(authority: Authority) -> None:
    """Below TLS 1.2 nothing is sent."""
    context = authority.context("127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    with RawServer(reply(204), tls=context) as server:
        outcome = _send(_trusting(authority), server.url)

    assert outcome == Outcome(kind=Kind.SETUP, reason="tls_failed")


ANSWERS = {
    # what answers in plain text can not prove who it is
    "plain HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", Kind.SETUP, "tls_failed"),
    # a balancer that closes at once may do better in a minute: the key is not at fault
    "a close": (b"", Kind.TRANSIENT, "handshake_broken"),
}


@pytest.mark.parametrize(("data", "kind", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_a_handshake_that_fails_is_judged_by_how(
    sender: Sender, data: bytes, kind: Kind, reason: str
) -> None:
    """Lack of trust pauses the credential; a connection that breaks off does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer_once, args=(listener, data))
        thread.start()
        outcome = _send(sender, f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()

    assert outcome == Outcome(kind=kind, reason=reason)


def _answer_once(listener: socket.socket, data: bytes) -> None:
    with listener.accept()[0] as sock:
        sock.recv(4096)
        sock.sendall(data)


CHILD = """
import sys
from proxy.credentials import HmacCredentials
from proxy.sender import Sender
from tests.upstream.builders import a_delivery, an_upstream

credentials = HmacCredentials(api_key="k", api_secret="s", clock=lambda: 1_000_000_000.0)
print(Sender(audience="a").send(a_delivery(), an_upstream(sys.argv[1]), credentials).kind)
"""


def test_the_environment_has_no_say(tmp_path: Path) -> None:
    """Proxies, netrc, certificate bundles and the time zone of the process change nothing."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n", "utf-8")
    netrc.chmod(0o600)
    with RawServer(reply(502)) as proxy, RawServer(reply(204)) as server:
        variables = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
        environment = {
            **os.environ,
            **dict.fromkeys(variables, proxy.url),
            "no_proxy": "",
            "NETRC": str(netrc),
            "REQUESTS_CA_BUNDLE": str(tmp_path / "missing"),
            "TZ": "Australia/Sydney",
        }
        child = subprocess.run(
            [sys.executable, "-c", CHILD, server.url],
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            check=True,
        )

    assert child.stdout == "delivered\n"
    assert proxy.connections == 0
    [request] = server.requests
    assert request.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert request.headers["authorization"].startswith("Signature ")
