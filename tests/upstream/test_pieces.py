"""How a request is put on the wire: in one piece where it fits, whole where it does not."""

import json
import socket
import threading

from proxy.choices import Kind
from proxy.credentials import credentials_for
from proxy.sender import Sender
from tests.upstream.builders import a_delivery, an_upstream
from tests.upstream.raw_server import RawServer, reply

PATIENCE_S = 30.0


def test_head_and_body_leave_in_one_piece(sender: Sender) -> None:
    """Two would be two packets, two records and twice the calls of the system."""
    pieces: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            pieces.append(sock.recv(65_536))
            sock.sendall(reply(204))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        upstream = an_upstream(f"http://127.0.0.1:{listener.getsockname()[1]}")
        outcome = sender.send(a_delivery(body='{"a":1}'), upstream, credentials_for(upstream))
        thread.join(PATIENCE_S)

    assert outcome.kind is Kind.DELIVERED
    assert pieces[0].endswith(b'\r\n\r\n{"a":1}')


def test_a_request_larger_than_the_buffers_arrives_whole(sender: Sender) -> None:
    """The system takes a part of it at a time."""
    body = json.dumps({"a": "x" * 8_000_000})
    with RawServer(reply(204)) as server:
        upstream = an_upstream(server.url)
        outcome = sender.send(a_delivery(body=body), upstream, credentials_for(upstream))

        assert outcome.kind is Kind.DELIVERED
        assert [request.body for request in server.requests] == [body.encode()]
