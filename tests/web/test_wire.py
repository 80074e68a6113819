"""The listener over real sockets: what the parser, the guard and the deadline make of bytes."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from proxy.settings import load
from proxy.tokens import Keyring
from tests.web.deployment import FORM, OFFER, SHOP, Files, an_id

ROOT = Path(__file__).parents[2]
THREADS = 4


@dataclass
class Wire:
    """A running listener, as bytes reach it."""

    host: str
    keyring: Keyring

    def connect(self) -> socket.socket:
        """Return a connection; a read of it waits at most 20 s."""
        name, _, port = self.host.partition(":")
        return socket.create_connection((name, int(port)), timeout=20)

    def say(self, *pieces: bytes) -> list[bytes]:
        """Send *pieces*, close our half, and return the answers that came."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return answers(received(connection))

    def body(self) -> bytes:
        """Return a good form."""
        now = int(time.time())
        token = self.keyring.mint("ACME", offer=OFFER, origin=SHOP, now=now)
        at = str(now * 1000)
        fields = {"token": token, "choice": "declined", "id": an_id(), "seq": at, "at": at}
        return urlencode(fields).encode()

    def head(self, length: int, *more: str, path: str = "/v1/choices") -> bytes:
        """Return the head of a good request."""
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {self.host}",
            f"Origin: {SHOP}",
            f"Content-Type: {FORM}",
            f"Content-Length: {length}",
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode()


def received(connection: socket.socket) -> bytes:
    """Return everything until the peer closes."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def answers(data: bytes) -> list[bytes]:
    """Split *data* into answers."""
    return re.split(rb"(?<!\A)(?=HTTP/1\.[01] [0-9]{3} )", data)


def status(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])


def code(answer: bytes) -> str:
    """Return the code of a problem."""
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["code"])


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A gunicorn of our own, with few threads."""
    files = Files(tmp_path_factory.mktemp("wire"))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        path = files.write(public_url=f"http://{host}")
        path.write_text(f"threads = {THREADS}\n{path.read_text()}")
        number = listener.fileno()
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.web.served", str(path), str(number), str(THREADS)],
            cwd=ROOT,
            pass_fds=[number],
        )
    try:
        yield Wire(host, Keyring.from_settings(load(path, {})))
    finally:
        child.terminate()
        child.wait(20)


def test_a_decline_in_one_piece(wire: Wire) -> None:
    """The usual case."""
    body = wire.body()
    (answer,) = wire.say(wire.head(len(body)) + body)

    assert status(answer) == 202


def test_a_decline_in_many_pieces(wire: Wire) -> None:
    """Bytes come as they come, and the connection serves a second call after it."""
    with wire.connect() as connection:
        for body in (wire.body(), wire.body()):
            answer = b""
            request = wire.head(len(body)) + body
            for start in range(0, len(request), 100):
                connection.sendall(request[start : start + 100])
                time.sleep(0.002)
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            assert status(answer) == 202


def test_two_calls_on_one_connection_are_judged_alone(wire: Wire) -> None:
    """What follows a body is another request, with its own Host."""
    body = wire.body()
    first, second = wire.say(
        wire.head(len(body)) + body + b"GET /admin/ HTTP/1.1\r\nHost: x\r\n\r\n"
    )

    assert (status(first), code(second)) == (202, "host_not_allowed")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(
            b"POST /v1/choices HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            "host_not_allowed",
            id="no-host",
        ),
        pytest.param(
            b"POST /v1/choices HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}",
            "host_not_allowed",
            id="no-host-1.0",
        ),
        pytest.param(
            b"POST http://{host}/v1/choices HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
            "host_not_allowed",
            id="absolute-form",
        ),
        pytest.param(
            b"GET http://evil/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
            "host_not_allowed",
            id="absolute-form-of-health",
        ),
        pytest.param(
            b"POST //v1/choices HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
            "not_found",
            id="two-slashes",
        ),
        pytest.param(
            b"POST /v1/%63hoices HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
            "not_found",
            id="escape",
        ),
        pytest.param(
            b"POST /v1/choices#x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
            "not_found",
            id="fragment",
        ),
        pytest.param(
            b"POST /v1/choices HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            "length_required",
            id="chunked",
        ),
        pytest.param(
            b"POST /v1/choices HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"zz\r\n",
            "length_required",
            id="chunked-badly",
        ),
        pytest.param(
            b"POST /v1/choices HTTP/1.1\r\nHost: {host}\r\n\r\n",
            "length_required",
            id="no-length",
        ),
        pytest.param(
            b"POST /v1/choices HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999\r\n"
            b"Content-Type: application/json\r\n\r\n{}",
            "body_too_large",
            id="large",
        ),
    ],
)
def test_what_the_parser_lets_through_is_refused(
    wire: Wire, request_: bytes, expected: str
) -> None:
    """What gunicorn takes for a request and is none for us."""
    (answer,) = wire.say(request_.replace(b"{host}", wire.host.encode()))

    assert code(answer) == expected


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"Content-Length: 6", b"Transfer-Encoding: chunked"], id="two-framings"),
        pytest.param([b"Transfer-Encoding : chunked"], id="space-before-colon"),
        pytest.param([b"Transfer-Encoding: chunked, identity"], id="two-codings"),
        pytest.param([b"Content-Length: +2"], id="signed-length"),
        pytest.param([b"Content-Length: 0x2"], id="hex-length"),
        pytest.param([b"Content-Length: 2, 2"], id="two-lengths"),
        pytest.param([b"Content-Length: 2", b"Content-Length: 2"], id="repeated-length"),
        pytest.param([b"Host: other"], id="two-hosts"),
        pytest.param([b"X-A: b", b" c"], id="folded-header"),
        pytest.param([b"X-A: b\x00c"], id="nul-in-header"),
        pytest.param([b"X-A: b\nX-B: c"], id="bare-newline"),
        pytest.param([b"X-%d: a" % number for number in range(200)], id="many-headers"),
        pytest.param([b"X-A: " + b"a" * 9000], id="long-header"),
    ],
)
def test_a_request_that_two_servers_read_differently_is_refused(
    wire: Wire, lines: list[bytes]
) -> None:
    """One answer, a refusal; what was smuggled in after it is never a request."""
    head = b"\r\n".join(
        [b"POST /v1/choices HTTP/1.1", b"Host: " + wire.host.encode(), *lines, b"", b""]
    )
    (answer,) = wire.say(head + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert 400 <= status(answer) < 500


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME: /v1", "Script-Name: /v1", "X_Forwarded_For: 1.1.1.1", "PATH_INFO: /x"]
)
def test_a_header_can_not_move_the_path(wire: Wire, name: str) -> None:
    """Headers with an underscore never become variables of ours."""
    body = wire.body()
    (answer,) = wire.say(wire.head(len(body), name) + body)

    assert status(answer) in (202, 400)


def test_a_body_that_ends_early_is_refused(wire: Wire) -> None:
    """The peer closes its half in the middle."""
    body = wire.body()
    (answer,) = wire.say(wire.head(len(body) + 10) + body)

    assert (status(answer), code(answer)) == (400, "invalid_request")


def test_a_body_that_drips_is_cut(wire: Wire) -> None:
    """Byte after byte, each in time for a timeout that starts anew: five seconds in all."""
    with wire.connect() as connection:
        connection.sendall(wire.head(1000))
        connection.settimeout(0.2)
        data = b""
        for _ in range(100):
            connection.sendall(b"x")
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
            break
        connection.settimeout(20)
        (answer,) = answers(data + received(connection))

    assert (status(answer), code(answer)) == (408, "request_timeout")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="good-so-far"),
        pytest.param(b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", id="refused"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nContent-Length: 9\r\n\r\n", id="answered"),
        pytest.param(
            b"POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
            id="chunked",
        ),
    ],
)
def test_a_crowd_of_half_bodies_starves_nobody(wire: Wire, head: bytes) -> None:
    """More half-sent bodies than threads, each refused early or late: a good call gets through."""
    crowd = [wire.connect() for _ in range(THREADS * 10)]
    for connection in crowd:
        connection.sendall((head or wire.head(1000)) + b"x")
    body = wire.body()
    (answer,) = wire.say(wire.head(len(body)) + body)
    told = [answers(received(connection)) for connection in crowd]
    for connection in crowd:
        connection.close()

    assert status(answer) == 202
    assert {len(one) for one in told} == {1}
    assert {status(one[0]) for one in told} <= {200, 400, 404, 408}


def test_a_refused_body_does_not_end_the_connection(wire: Wire) -> None:
    """A body that came is taken off, and the next request is read from its first byte."""
    refused = wire.head(9, path="/none") + b"GET /x HT"
    body = wire.body()
    first, second = wire.say(refused, wire.head(len(body)) + body)

    assert (status(first), status(second)) == (404, 202)
