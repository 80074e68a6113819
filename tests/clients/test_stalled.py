"""Clients that stop in the middle, far more of them than there are threads."""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.deployment import until
from tests.clients.callers import WAIT_S, call, dripping, head, is_closed, many, received
from tests.faults.cluster import HOST, Cluster, answers

NUMBER = 200  # of 32 threads
SCRIPT = f"GET /s/1.0.0/choice.js HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
WAYS: dict[str, Callable[[Cluster], list[bytes]]] = {
    "no-head-or-no-reading": lambda cluster: [b"", head(cluster, 200)[:60], SCRIPT * 5],
    "half-a-body": lambda cluster: [call(cluster, "hung")[:-10]],
    "never-closing": lambda _: [
        f"GET /healthz HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode(),
        b"nonsense\r\n\r\n",
    ],
}


def port_of(cluster: Cluster) -> int:
    """Return where the public listener listens."""
    return cluster.ports["web"][0]


def assert_others_are_served(cluster: Cluster) -> None:
    """Whatever the others do: health, readiness and a decline."""
    assert answers(f"{cluster.url()}/healthz")
    assert cluster.ready()[0] == 200
    for _ in range(5):
        assert cluster.say("sound", timeout=WAIT_S).status_code == 202


@pytest.mark.parametrize("way", WAYS)
def test_stalled_clients_keep_no_other_waiting(cluster: Cluster, way: str) -> None:
    """All threads are free again while none of those clients has moved; then they are gone."""
    with many(port_of(cluster), NUMBER, *WAYS[way](cluster)) as peers:
        assert_others_are_served(cluster)

        until(lambda: all(map(is_closed, peers)), "the proxy to close them")
    assert cluster.is_up()


def test_heads_that_drip_keep_no_other_waiting(cluster: Cluster) -> None:
    """Each byte would start a timeout of the socket anew."""
    said = b"POST /v1/choices HTTP/1.1\r\nX-A: b"
    with many(port_of(cluster), NUMBER, said) as peers, dripping(peers):
        assert_others_are_served(cluster)

        until(lambda: all(map(is_closed, peers)), "the proxy to close them")


def test_one_slow_client_is_given_up(cluster: Cluster) -> None:
    """A late body and a head that drips: alone they disturb nobody, and end all the same."""
    whole = head(cluster, 200)
    with (
        many(port_of(cluster), 2, whole[:-2], b"GET /") as [late, slow],
        dripping([slow]),
    ):
        with _in_time(late):
            late.sendall(whole[-2:] + b"{")
        said = received(late)

        until(lambda: is_closed(slow), "the proxy to close it")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in said


@contextmanager
def _in_time(peer: socket.socket) -> Iterator[None]:
    """Wait for three of the five seconds of a head, in which nothing comes."""
    peer.settimeout(3)
    with pytest.raises(TimeoutError):
        peer.recv(1)
    yield
    peer.settimeout(WAIT_S)


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_clients_that_never_read_keep_no_thread(cluster: Cluster) -> None:
    """More answers than the kernel keeps for them, on more connections than there are threads."""
    with many(port_of(cluster), 34, SCRIPT * 3_000) as peers:
        for peer in peers:
            ends = select.poll()
            ends.register(peer, 0)
            assert ends.poll(300_000)  # milliseconds; nothing of it has been read
            assert_others_are_served(cluster)


@pytest.mark.thorough
def test_more_silent_clients_than_places(cluster: Cluster) -> None:
    """Who has been silent for longest makes room for who speaks."""
    with many(port_of(cluster), 1_500, b"") as peers:
        assert_others_are_served(cluster)

        until(lambda: all(map(is_closed, peers)), "the proxy to close them")
