"""nginx as the deployment ships it: what passes, what stays outside, what it says by itself."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import CODES
from proxy.web.bodies import BATCH_BYTES
from tests.acceptance.deployment import until
from tests.clients.callers import dripping, form, is_closed, post, received, token
from tests.clients.front import ADDRESS, Behind, Nginx
from tests.faults.cluster import HOST, Cluster

NUMBER = 50


class _Front(HTTPConnection):
    """A connection of Python's own client, made by the test."""

    def __init__(self, made: socket.socket) -> None:
        super().__init__(ADDRESS)
        self.sock = made


@contextmanager
def front(nginx: Nginx, source: str = ADDRESS) -> Iterator[HTTPConnection]:
    """Connect to nginx as a client at the address *source*."""
    with nginx.connect(source) as made:
        yield _Front(made)


def get(nginx: Nginx, path: str) -> tuple[HTTPResponse, bytes]:
    """Return the answer to a GET through nginx, and its body."""
    with front(nginx) as connection:
        connection.request("GET", path, headers={"Host": HOST, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        return answer, answer.read()


def assert_registered(document: dict[str, Any], code: str) -> None:
    """What nginx says by itself is said as the proxy says it."""
    entry = CODES[code]
    assert document.pop("request_id")
    assert document == {"code": code, "status": entry.status, "title": entry.title}


def test_a_decline_is_delivered(nginx: Nginx, cluster: Cluster) -> None:
    """From a page, through nginx, to the insurer."""
    with front(nginx, "127.0.1.1") as connection:
        status, _, said = post(connection, form(token(cluster.config, "front-1")))

    assert (status, said["choice"]) == (202, "declined")
    until(lambda: "front-1" in cluster.delivered(), "its delivery")


def test_the_script_is_kept_and_packed(nginx: Nginx) -> None:
    """Immutable, and a third of its size where a browser unpacks it."""
    answer, packed = get(nginx, "/s/1.0.0/choice.js")

    assert answer.status == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(packed) < 3_000


def test_the_script_is_there_while_the_proxy_is_away(nginx: Nginx, cluster: Cluster) -> None:
    """A page that is loaded meanwhile has its script, which keeps what can not be told."""
    before = get(nginx, "/s/1.0.0/choice.js")[1]
    cluster.processes["web"].stop()
    try:
        answer, during = get(nginx, "/s/1.0.0/choice.js")
        with front(nginx) as connection:
            status, headers, said = post(connection, b"token=x")
    finally:
        cluster.start_web()

    assert (answer.status, during) == (200, before)
    assert (status, said["code"]) == (503, "storage_unavailable")
    assert int(headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/admin/", "/s", "/v1", "/v2/choices", "/.well-known/x", "/"]
)
def test_only_what_is_public_passes(nginx: Nginx, path: str) -> None:
    """The private listener's paths are not even asked for."""
    answer, body = get(nginx, path)

    assert answer.status == 404
    assert_registered(json.loads(body), "not_found")


def test_a_batch_may_be_larger_than_a_choice(nginx: Nginx, cluster: Cluster) -> None:
    """16 KiB for one choice, 1 MiB for a batch; more is refused in the proxy's words."""
    headers = cluster.headers() | {"Content-Type": "application/x-ndjson"}
    for path, size, status in [
        ("/v1/choices/batch", BATCH_BYTES, 200),
        ("/v1/choices/batch", BATCH_BYTES + 1, 413),
        ("/v1/choices", 16_385, 413),
    ]:
        with front(nginx) as connection:
            connection.request("POST", path, b"{" + b" " * (size - 3) + b"}\n", headers)
            answer = connection.getresponse()
            said = answer.read()
        assert answer.status == status, said
        if status == 413:
            assert_registered(json.loads(said), "body_too_large")


def test_a_spoofed_address_counts_for_who_spoke_to_nginx(nginx: Nginx, cluster: Cluster) -> None:
    """Nine in an hour from one network, whatever each of them writes into its header."""
    seen = []
    for number in range(10):
        spoofed = {"X-Forwarded-For": f"198.51.{number}.1"}
        with front(nginx, f"127.0.2.{number + 1}") as connection:
            body = form(token(cluster.config, f"spoofed-{number}"))
            seen.append(post(connection, body, **spoofed)[0])

    assert seen == [202] * 9 + [429]


def test_slow_clients_cost_the_proxy_nothing(broken: Nginx, behind: Behind) -> None:
    """Heads and bodies that drip, on fifty connections each: not one connection behind nginx."""
    starts = [b"POST /v1/choices HTTP/1.1\r\nX-A", _head(4_000)]
    with ExitStack() as stack:
        peers: list[ssl.SSLSocket] = []
        for start in starts:
            for _ in range(NUMBER):
                peers.append(stack.enter_context(broken.connect()))
                peers[-1].sendall(start)
        stack.enter_context(dripping(list(peers)))
        until(lambda: all(map(_is_over, peers[:NUMBER])), "nginx to close the heads")

        assert behind.connections == 0


def test_a_proxy_that_is_away_is_a_503(broken: Nginx, behind: Behind) -> None:
    """The page keeps its answer and comes again: any page may read when."""
    with front(broken) as connection:
        status, headers, said = post(connection, b"token=x")

    assert status == 503
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert int(headers["Retry-After"]) > 0
    assert_registered(said, "storage_unavailable")
    assert len(behind.requests) == 1  # it was sent once, and never again


def test_the_log_keeps_no_secret(nginx: Nginx, cluster: Cluster) -> None:
    """Neither what stands behind a question mark nor what a body says."""
    spoken = token(cluster.config, "logged")
    with front(nginx, "127.0.3.1") as connection:
        post(connection, form(spoken), "/v1/choices?token=canary-1")
    with front(nginx, "127.0.3.1") as connection:
        post(connection, form(spoken), Authorization="Bearer canary-2")

    until(lambda: '"path":"/v1/choices"' in nginx.written(), "the log")
    written = nginx.written()
    assert "canary" not in written
    assert spoken not in written
    assert list(Path(nginx.folder / "lib").rglob("0*")) == []  # no body was put on disk


def test_no_version_is_named(nginx: Nginx) -> None:
    """Neither nginx's nor the proxy's."""
    with nginx.connect() as peer:
        peer.sendall(b"nonsense\r\n\r\n")
        said = received(peer)

    assert b"400" in said
    assert b"nginx/" not in said


def _head(length: int) -> bytes:
    lines = ["POST /v1/choices HTTP/1.1", f"Host: {HOST}", f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def _is_over(peer: ssl.SSLSocket) -> bool:
    """True when nginx has closed; TLS says so in its own way."""
    try:
        return is_closed(peer)
    except ssl.SSLWantReadError:
        return False
