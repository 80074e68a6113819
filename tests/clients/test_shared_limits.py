"""Limits that several processes share through Redis, and what becomes of them without it."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from proxy import migrate
from proxy.clocks import wall
from proxy.database import Database
from tests.acceptance.deployment import until
from tests.clients.callers import form, post, token
from tests.clients.store import Store
from tests.faults.cluster import Cluster
from tests.faults.postgres import a_server

WEBS = ("one", "two")
TOKEN, PREFIX, PARTNER = 3, 5, 9


@pytest.fixture(scope="module")
def shop_store() -> Iterator[Store]:
    """The Redis that both processes count in."""
    with Store() as store:
        yield store


@pytest.fixture(scope="module")
def pair(shop_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two `serve` on one PostgreSQL; each test has a partner and a network of its own."""
    names = ("TOKENS", "NETS", "PEERS", "BUSY", "CALM")
    with a_server() as server:
        url = server.create_database("limits")
        register = Database(url, wall)
        migrate.upgrade(register)
        register.dispose()
        top = {
            "trusted_proxies": '["127.0.0.1/32"]',
            "redis_url": f'"{shop_store.url}"',
            "limits": f'{{ token = "{TOKEN}/hour", prefix = "{PREFIX}/hour",'
            f' partner = "{PARTNER}/hour" }}',
        }
        folder = tmp_path_factory.mktemp("limits")
        cluster = Cluster(folder, url, partners={name: {} for name in names}, top=top)
        try:
            for web in WEBS:
                cluster.start_web(web, "--no-worker")
            yield cluster
        finally:
            cluster.end()


def declined(
    pair: Cluster, number: int, spoken: str, *, seen: str, source: str = "127.0.0.1"
) -> int:
    """Let a page decline at one of both processes; *seen* is what is forwarded of its address."""
    port = pair.ports[WEBS[number % 2]][0]
    connection = HTTPConnection("127.0.0.1", port, timeout=30, source_address=(source, 0))
    status, headers, _ = post(connection, form(spoken), **{"X-Forwarded-For": seen})
    connection.close()
    if status == 429:
        assert 0 < int(headers["Retry-After"]) <= 3_600
    return status


def test_a_token_has_one_limit_at_both(pair: Cluster) -> None:
    """Half of it here and half of it there is all of it; the next token has its own."""
    spoken = token(pair.config, "offer-1", "TOKENS")
    seen = [declined(pair, number, spoken, seen="203.0.113.1") for number in range(TOKEN + 1)]

    assert seen == [202] * TOKEN + [429]
    other = token(pair.config, "offer-2", "TOKENS")
    assert declined(pair, TOKEN, other, seen="203.0.113.2") == 202


def test_a_network_has_one_limit_at_both(pair: Cluster, shop_store: Store) -> None:
    """A /48 is one caller, in whichever of its networks; the next /48 is another."""
    seen = [
        declined(
            pair, number, token(pair.config, f"net-{number}", "NETS"), seen=f"2001:db8:1:{number}::"
        )
        for number in range(PREFIX + 1)
    ]

    assert seen == [202] * PREFIX + [429]
    spoken = token(pair.config, "net-other", "NETS")
    assert declined(pair, PREFIX, spoken, seen="2001:db8:2::1") == 202
    assert [name for name in shop_store.names() if "2001:db8:1::" in name]


def test_a_stranger_can_not_name_its_network(pair: Cluster) -> None:
    """X-Forwarded-For counts from trusted proxies; from 127.0.0.7 it is only a word."""
    seen = [
        declined(
            pair,
            number,
            token(pair.config, f"peer-{number}", "PEERS"),
            seen=f"2001:db8:{number + 3:x}::1",
            source="127.0.0.7",
        )
        for number in range(PREFIX + 1)
    ]

    assert seen == [202] * PREFIX + [429]


def test_a_partner_has_one_limit_at_both(pair: Cluster) -> None:
    """And no other partner feels it."""
    seen = [
        pair.say(f"busy-{number}", partner="BUSY", web=WEBS[number % 2]).status_code
        for number in range(PARTNER + 2)
    ]

    assert seen == [202] * PARTNER + [429, 429]
    for number, web in enumerate(WEBS):
        assert pair.say(f"calm-{number}", partner="CALM", web=web).status_code == 202


@pytest.fixture
def alone(store: Store, tmp_path: Path) -> Iterator[Cluster]:
    """One `serve` that counts over the Unix socket of its Redis."""
    limits = '{ token = "off", prefix = "off", partner = "2/hour" }'
    top = {"redis_url": f'"{store.unix_url}"', "limits": limits}
    cluster = Cluster(tmp_path, top=top)
    try:
        cluster.start_web()
        yield cluster
    finally:
        cluster.end()


def test_no_decline_is_lost_with_redis(alone: Cluster, store: Store) -> None:
    """Frozen, away or refusing: everything is taken, the log says so, and the limits come back."""

    def is_limited() -> bool:
        return alone.say("again").status_code == 429

    def all_are_taken(when: str) -> bool:
        return [alone.say(f"{when}-{number}").status_code for number in range(10)] == [202] * 10

    until(is_limited, "the limit")
    store.freeze()
    assert all_are_taken("frozen")
    store.thaw()
    until(is_limited, "the limit after the freeze")
    store.kill()
    assert all_are_taken("away")
    store.start("another password")
    assert all_are_taken("refused")
    store.kill()
    store.start()
    until(is_limited, "the limit of the new server")

    assert "limits.unavailable" in alone.logs()
    assert store.password not in alone.logs()


def test_check_says_where_is_counted(alone: Cluster) -> None:
    """Without Redis each process counts for itself, and `check` says so."""
    _, said = alone.command("check")
    assert "per process" not in said

    alone.write({})
    _, said = alone.command("check")
    assert "Without `redis_url` the inbound limits count per process." in said
