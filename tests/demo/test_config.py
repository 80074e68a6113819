"""The demo's configuration is one that `serve` takes."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.demo import config
from proxy.settings import load
from proxy.tokens import Keyring


@pytest.fixture
def plan(tmp_path: Path) -> config.Plan:
    """A demo's plan, written down."""
    plan = config.Plan(
        folder=tmp_path, shop_port=8000, proxy_port=8001, private_port=8002, sandbox_port=8003
    )
    config.write(plan)
    return plan


def test_the_settings_load(plan: config.Plan) -> None:
    """Five upstreams, one per API, that report at once."""
    partner = load(plan.file, {}).partners[config.PARTNER]

    assert [upstream.api for upstream in partner.upstreams.values()] == list(config.APIS)
    assert {upstream.settle for upstream in partner.upstreams.values()} == {timedelta(0)}
    assert partner.open_offers
    assert partner.origins == ("http://127.0.0.1:8000", "http://localhost:8000")


def test_reports_are_due_when_the_api_wants_them(plan: config.Plan) -> None:
    """What the demo takes for the moment of each API is the product's default."""
    upstreams = load(plan.file, {}).partners[config.PARTNER].upstreams.values()

    assert {u.api for u in upstreams if u.report_on == "purchase"} == config.AT_PURCHASE
    assert all(u.report_on == u.definition.report_on for u in upstreams)


def test_the_shops_key_is_the_proxys(plan: config.Plan) -> None:
    """The keyring that `serve` would have can sign for the shop."""
    keyring = Keyring.from_settings(load(plan.file, {}))

    assert keyring.mint(
        config.PARTNER, offer="O", origin=plan.origins[0], upstream="xone-offers", now=1_800_000_000
    ).startswith(f"{config.KID}.")


def test_secrets_are_hidden(plan: config.Plan) -> None:
    """Secret files are for their owner, and the configuration file holds none of them."""
    files = list((plan.folder / "secrets").iterdir())
    text = plan.file.read_text()

    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not any(path.read_text().strip() in text for path in files)
    assert plan.secrets.server_key not in text
    assert plan.secrets.signing not in repr(plan)


@pytest.mark.parametrize(
    ("tamper", "name"), [("hmac", "SANDBOX_API_SECRET"), ("oauth", "SANDBOX_CLIENT_SECRET")]
)
def test_tampering_changes_one_secret(plan: config.Plan, tamper: str, name: str) -> None:
    """The insurer knows another secret than the proxy, and nothing else differs."""
    right = config.sandbox_environment(plan, None)

    wrong = config.sandbox_environment(plan, tamper)

    assert {key for key in right if right[key] != wrong[key]} == {name}
