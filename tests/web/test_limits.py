"""How often one may call."""

import socket
from contextlib import suppress
from typing import Any

import pytest

from proxy.web.limits import Counters, Limits, client_address, prefix_of
from proxy.web.terms import InForce, address
from tests.web.deployment import Clock, Deployment, an_id, code_of


def outcomes(deployment: Deployment, times: int, **headers: str) -> list[str | None]:
    """Return the codes of *times* declines, each with a token of its own."""
    return [code_of(deployment.page(headers=headers)) for _ in range(times)]


def test_a_token_speaks_so_often(deployment: Deployment) -> None:
    """One page can not flood us; the next minute it may speak again."""
    deployment.change(token="3/minute")
    form = deployment.form()
    answers = [deployment.page(form | {"id": an_id()}) for _ in range(4)]

    assert [code_of(answer) for answer in answers] == [None] * 3 + ["rate_limited"]
    assert answers[3].status_code == 429
    assert answers[3].headers["Retry-After"] == "60"
    assert answers[3].headers["Access-Control-Allow-Origin"]

    deployment.clock.pass_seconds(60)
    assert deployment.page(form | {"id": an_id()}).status_code == 202


def test_another_token_is_another_count(deployment: Deployment) -> None:
    """The limit is one token's."""
    deployment.change(token="1/minute")

    assert outcomes(deployment, 3) == [None] * 3


def test_a_network_speaks_so_often(deployment: Deployment) -> None:
    """Whatever its tokens are worth."""
    deployment.change(prefix="3/minute")

    assert outcomes(deployment, 4) == [None] * 3 + ["rate_limited"]
    assert code_of(deployment.page({"token": "x"})) == "rate_limited"


def test_a_server_is_no_network(deployment: Deployment) -> None:
    """A shop's server calls for all of its customers."""
    deployment.change(prefix="1/minute", token="1/minute")

    assert [code_of(deployment.server()) for _ in range(3)] == [None] * 3


def test_a_partner_speaks_so_often(deployment: Deployment) -> None:
    """Pages and servers together; other partners do not feel it."""
    deployment.change(partner="2/second")

    assert outcomes(deployment, 1) == [None]
    assert [code_of(deployment.server()) for _ in range(2)] == [None, "rate_limited"]
    assert deployment.server(partner="PLAIN").status_code == 202


def test_a_batch_counts_its_lines(deployment: Deployment) -> None:
    """A thousand lines are a thousand messages; a batch above the limit fills it."""
    deployment.change(partner="5/second")
    path = "/v1/choices/batch"
    body = b"{}\n" * 4

    assert deployment.server(body, path=path).status_code == 200
    assert code_of(deployment.server(body, path=path)) == "rate_limited"
    deployment.clock.pass_seconds(1)
    assert deployment.server(b"{}\n" * 9, path=path).status_code == 200


def test_a_spoofed_address_counts_for_its_peer(deployment: Deployment) -> None:
    """X-Forwarded-For is believed from trusted proxies only."""
    deployment.change(prefix="1/minute")
    first = outcomes(deployment, 1, **{"X-Forwarded-For": "203.0.113.1"})

    assert first + outcomes(deployment, 1, **{"X-Forwarded-For": "198.51.100.1"}) == [
        None,
        "rate_limited",
    ]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:50313", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("", "", "None"),
        ("::ffff:203.0.113.9", "198.51.100.1", "203.0.113.9"),
    ],
)
def test_the_nearest_stranger_is_the_client(
    deployment: Deployment, peer: str, forwarded: str, client: str
) -> None:
    """What a proxy of ours saw counts; what its caller wrote before does not."""
    environ: dict[str, Any] = {"REMOTE_ADDR": peer}
    environ |= {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}

    assert str(client_address(environ, InForce(deployment.configuration)())) == client


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
    ],
)
def test_a_network_is_one_caller(text: str, prefix: str) -> None:
    """A /24 or a /48 belongs to one customer of a provider."""
    client = address(text)
    assert client is not None

    assert prefix_of(client) == prefix


def test_counters_of_a_window_that_is_over_are_gone() -> None:
    """Memory does not grow with the tokens ever seen."""
    clock = Clock()
    counters = Counters(clock)
    first = [counters.incr("a", 60), counters.incr("a", 60), counters.incr("b", 60)]
    clock.pass_seconds(60)

    assert first == [1, 2, 1]
    assert counters.incr("c", 60) == 1
    assert (counters.get("a"), counters.get("c")) == (0, 1)


def test_a_counter_can_be_asked_and_forgotten() -> None:
    """What the engine of the limits may ask of its storage."""
    counters = Counters(Clock())
    counters.incr("a", 60, 5)

    assert (counters.get("a"), counters.check()) == (5, True)
    assert counters.get_expiry("a") % 60 == 0
    counters.clear("a")
    assert counters.get("a") == 0
    counters.incr("a", 60)
    counters.reset()
    assert counters.get("a") == 0


def test_limits_that_can_not_be_counted_stop_nobody(deployment: Deployment) -> None:
    """A decline is worth more than a count: while Redis is away, calls pass."""
    deployment.change(token="1/minute")
    terms = InForce(deployment.configuration)()
    limits = Limits("redis://127.0.0.1:1/0", deployment.clock)
    session = deployment.keyring.verify(deployment.mint(), deployment.clock.seconds)

    limits.token(terms, session)
    limits.token(terms, session)


def test_a_redis_that_hangs_is_left_alone_for_a_while(deployment: Deployment) -> None:
    """One call waits for it, and those after it pass at once."""
    deployment.change(token="1/minute")
    terms = InForce(deployment.configuration)()
    session = deployment.keyring.verify(deployment.mint(), deployment.clock.seconds)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limits = Limits(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", deployment.clock)
        for _ in range(20):
            limits.token(terms, session)

        silent.settimeout(0)
        asked = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                asked += 1

    assert 0 < asked < 5
