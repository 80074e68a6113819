"""One wrong line in a good file gives one sentence, which begins with the key."""

import pytest

from tests.settings.home import BASE, CUSTOM, Home

ACME = "in [partners.ACME]"
TICKETS = "[partners.ACME.upstreams.tickets]"
OTHER = "[partners.ACME.upstreams.other]"
NETWORK = "which is not a network such as 10.0.0.0/8"

UPSTREAM_LINES = {
    'base_url = "http://api.example/x"': (
        "must be `https://host` and perhaps a plain path (`http` is for loopback hosts only)"
    ),
    'base_url = "https://user:pw@api.example"': (
        "must have no user name, password, query or fragment in it"
    ),
    'base_url = "https://api.example/x?y=1"': (
        "must have no user name, password, query or fragment in it"
    ),
    'base_url = "https://api.example/x#y"': (
        "must have no user name, password, query or fragment in it"
    ),
    'base_url = "https://api.example/../x"': (
        "must be `https://host` and perhaps a plain path (`http` is for loopback hosts only)"
    ),
    'base_url = "https://api.example:443/x"': "must not name the port that its scheme has anyway",
    'report_on = "sale"': "must be 'decline' or 'purchase'",
    'settle = "5"': 'must be a duration such as "500ms", "5s", "30m", "24h" or "730d"',
    "settle = 5": 'must be a duration such as "500ms", "5s", "30m", "24h" or "730d"',
    "settle = false": 'must be a duration such as "500ms", "5s", "30m", "24h" or "730d"',
    'settle = "-5s"': 'must be a duration such as "500ms", "5s", "30m", "24h" or "730d"',
    'settle = "91d"': 'must be within "0s" and "90d"',
    "hold = 0": 'must be within "1ms" and "90d"',
    'unanswered = "yes"': "must be 'ignore' or 'declined'",
    'unanswered_after = "365d"': 'must be within "1ms" and "90d"',
    "rate_per_second = -1": "must be at least 0",
    "rate_per_second = 10001": "must be at most 10000",
    "rate_per_second = nan": "must be at least 0",
    "rate_per_second = inf": "must be at most 10000",
    'rate_per_second = "fast"': "must be a number",
    "rate_per_second = true": "must be a number, not true or false",
    'test = "perhaps"': "must be true or false",
}


@pytest.mark.parametrize(("line", "sentence"), UPSTREAM_LINES.items(), ids=UPSTREAM_LINES)
def test_a_wrong_line_of_an_upstream(home: Home, line: str, sentence: str) -> None:
    """The sentence begins with the key and the table."""
    key = line.split(" ", 1)[0]

    assert home.refusal(f"{BASE}{line}\n") == [f"`{key}` in {TICKETS} {sentence}."]


TOP_LINES = {
    'database = "mysql://db/x"': (
        "`database` must begin with `sqlite:///` or `postgresql+psycopg://`"
    ),
    'database = "sqlite://"': (
        "`database` must name a file, such as `sqlite:///optout.db`: a 202 means on disk"
    ),
    'database = "sqlite:///:memory:"': (
        "`database` must name a file, such as `sqlite:///optout.db`: a 202 means on disk"
    ),
    'redis_url = "http://redis"': (
        "`redis_url` must begin with `redis://`, `rediss://` or `unix://`"
    ),
    'trusted_proxies = ["10.0.0.1/8"]': f"`trusted_proxies` has `10.0.0.1/8`, {NETWORK}",
    'admin_networks = ["office"]': f"`admin_networks` has `office`, {NETWORK}",
    "admin_networks = 10": "`admin_networks` must be a list in brackets",
    'lease = "24s"': (
        '`lease` must be at least "25s": one attempt may take 20 s, and 5 s are for us'
    ),
    'lease = "2h"': '`lease` must be at most "1h": so long would a row of a dead worker wait',
    "threads = 0": "`threads` must be at least 1",
    "threads = 2.5": "`threads` must be a whole number",
    "threads = true": "`threads` must be a number, not true or false",
    "senders = 1000": "`senders` must be at most 256",
    'log_level = "loud"': "`log_level` must be 'debug', 'info', 'warning' or 'error'",
    "audit_key_file = 5": "`audit_key_file` must be a path in quotes",
    'limits = { token = "30" }': '`token` in [limits] must be "off" or such as "30/minute"',
    'limits = { prefix = "0/hour" }': '`prefix` in [limits] must be "off" or such as "30/minute"',
    'alerts = { webhook = "http://hooks.example" }': (
        "`webhook` in [alerts] must be an https address, without user name or fragment"
    ),
    'alerts = { webhook = "https://[x" }': "`webhook` in [alerts] is not an address",
    'alerts = { webhook = "https://hooks.example" }': (
        "[alerts] has a webhook and nothing to sign with; add webhook_secret_file"
    ),
}


@pytest.mark.parametrize(("line", "sentence"), TOP_LINES.items(), ids=TOP_LINES)
def test_a_wrong_line_of_the_deployment(home: Home, line: str, sentence: str) -> None:
    """The sentence begins with the key."""
    assert home.refusal(f"{line}\n{BASE}") == [f"{sentence}."]


PARTNER_LINES = {
    'late = "31d"': f'`late` {ACME} must be within "0s" and "30d"',
    'retention = "1h"': f'`retention` {ACME} must be within "1d" and "36500d"',
    'open_offers = "maybe"': f"`open_offers` {ACME} must be true or false",
}


@pytest.mark.parametrize(("line", "sentence"), PARTNER_LINES.items(), ids=PARTNER_LINES)
def test_a_wrong_line_of_a_partner(home: Home, line: str, sentence: str) -> None:
    """The sentence begins with the key and the table."""
    text = BASE.replace("[partners.ACME]\n", f"[partners.ACME]\n{line}\n")

    assert home.refusal(text) == [f"{sentence}."]


CUSTOM_CHANGES = {
    "no path": (
        ('path = "/v2/{partner_code}/declined/{offer}"', ""),
        f'{OTHER} has `api = "custom"` and needs `path` with it.',
    ),
    "no address": (
        ('base_url = "https://api.insurer.example"', ""),
        f'{OTHER} has `api = "custom"` and needs `base_url` with it.',
    ),
    "no auth": (
        ('auth = "oauth"', ""),
        f'{OTHER} has `api = "custom"` and needs `auth` with it.',
    ),
    "not custom": (
        ('api = "custom"', 'api = "xone-offers"'),
        f'{OTHER} has `path`, which is only for `api = "custom"`; remove it.',
    ),
    "no status": (
        ('auth = "oauth"', 'auth = "oauth"\nsuccess = [204, 404]'),
        f"`success` in {OTHER} must list one or more statuses from 200 to 299.",
    ),
    "a way to buy": (
        ('auth = "oauth"', 'auth = "oauth"\nmethod = "GET"'),
        f"`method` in {OTHER} must be 'POST', 'PUT' or 'PATCH'.",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), CUSTOM_CHANGES.values(), ids=CUSTOM_CHANGES)
def test_a_custom_api_is_complete(home: Home, change: tuple[str, str], sentence: str) -> None:
    """No part is missing, and none stands where it has no meaning."""
    assert home.refusal(BASE + CUSTOM.replace(*change)) == [sentence]


@pytest.mark.parametrize(
    "path",
    [
        "declined/{offer}",
        "/declined",
        "/declined/{offer}/{offer}",
        "/declined/{other}/{offer}",
        "/declined/{offer}?x=1",
        "/declined/{offer}#x",
        "/declined//{offer}",
        "/declined/../{offer}",
        "/declined/a%2fb/{offer}",
        "/declined/x{offer}",
        "/declined/{offer}\\n",
    ],
)
def test_a_custom_path_can_not_be_moved(home: Home, path: str) -> None:
    """A decline must never become a purchase, whoever wrote the path."""
    text = BASE + CUSTOM.replace("/v2/{partner_code}/declined/{offer}", path)

    assert home.refusal(text) == [
        (
            f"`path` in {OTHER} must be plain segments such as"
            " `/partners/{partner_code}/offers/{offer}/opt_out`, with `{offer}` once."
        )
    ]
