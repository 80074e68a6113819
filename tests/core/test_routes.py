"""The way of a delivery: a host never meets another's key, whatever is reloaded meanwhile."""

from pathlib import Path
from typing import Any

from proxy import pace
from proxy.choices import Delivery, Kind, Outcome
from proxy.credentials import HmacCredentials
from proxy.reload import Configuration
from proxy.routes import Routes
from proxy.sender import Sender
from proxy.settings import load
from proxy.settings_upstreams import UpstreamSetting
from tests.core.conftest import DELIVERED, START
from tests.settings.home import BASE, Home

DELIVERY = Delivery(
    row=1,
    claim="c",
    partner="ACME",
    upstream="tickets",
    offer="o",
    epoch=1,
    attempt=1,
    body="{}",
    send_at=0,
    lease_until=0,
)
HOST = 'base_url = "https://other.example/x"\npartner_code = "LLODT"'


class Listening(Sender):
    """A sender that sends nothing and remembers where it would, and as whom."""

    def __init__(self) -> None:
        super().__init__(audience="optout-proxy:test")
        self.sent: list[tuple[str, str]] = []

    def send(self, _delivery: Delivery, upstream: UpstreamSetting, credentials: Any) -> Outcome:
        """Take one attempt."""
        assert isinstance(credentials, HmacCredentials)
        (key, *_) = credentials.secrets()
        self.sent.append((upstream.base_url, key))
        return DELIVERED


def _configured(home: Home) -> Configuration:
    for name, text in (("key", "key-1"), ("secret", "secret-1"), ("key-2", "key-2")):
        home.secret(name, text)
    path = home.write()
    return Configuration(load(path, {}), path, {})


def test_a_reload_changes_host_and_key_together(tmp_path: Path) -> None:
    """A delivery claimed before a reload goes the new way whole, never to one with the other."""
    home, sender = Home(tmp_path), Listening()
    configuration = _configured(home)
    routes = Routes(configuration, sender)
    routes.send(DELIVERY)
    moved = BASE.replace('partner_code = "LLODT"', HOST).replace("secrets/key", "secrets/key-2")
    home.write(moved)
    assert configuration.reload()
    routes.send(DELIVERY)

    hosts = [host for host, _ in sender.sent]
    assert hosts == ["https://api.xcover.com/x", "https://other.example/x"]
    assert len({key for _, key in sender.sent}) == 2


def test_an_upstream_that_was_taken_out_waits(tmp_path: Path) -> None:
    """Its rows are tried again when it is back; nothing is sent anywhere meanwhile."""
    home, sender = Home(tmp_path), Listening()
    configuration = _configured(home)
    routes = Routes(configuration, sender)
    home.write(BASE.replace("upstreams.tickets", "upstreams.others"))
    assert configuration.reload()

    assert routes.send(DELIVERY).kind is Kind.TRANSIENT
    assert sender.sent == []


def test_permits_outlive_a_clock_that_was_set_back() -> None:
    """A bucket that is booked for next hour can only have been booked by another clock."""
    ahead = pace.Bucket(bucket="b", next_us=(START + 3_600_000) * 1000)

    assert pace.permits(ahead, rate=10.0, now=START, most=1) == [START]
    assert pace.take(ahead, rate=10.0, now=START, count=1).next_us == (START + 100) * 1000
