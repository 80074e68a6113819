"""The environment overrides every value of the file, and is checked as strictly."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.errors import ConfigurationError
from proxy.secret import Secret
from proxy.settings import load
from tests.settings.home import BASE, ELEMENTS, KEY_HASH, Home

TICKETS = "OPTOUT_PARTNERS__ACME__UPSTREAMS__TICKETS"


def test_top_values(home: Home) -> None:
    """A variable is the key in capitals after OPTOUT_."""
    environ = {"OPTOUT_AUDIENCE": "other", "OPTOUT_THREADS": "3", "OPTOUT_LEASE": "1m"}

    settings = home.load(environ=environ)

    assert (settings.audience, settings.threads) == ("other", 3)
    assert settings.lease == timedelta(minutes=1)


def test_nested_values(home: Home) -> None:
    """Two underscores go one table down."""
    environ = {
        "OPTOUT_LIMITS__TOKEN": "off",
        "OPTOUT_PARTNERS__ACME__LATE": "2h",
        "OPTOUT_PARTNERS__ACME__OPEN_OFFERS": "true",
        f"{TICKETS}__RATE_PER_SECOND": "0.5",
        f"{TICKETS}__HMAC__ALGORITHM": "hmac-sha256",
    }

    settings = home.load(environ=environ)
    partner = settings.partners["ACME"]
    upstream = partner.upstream(None)

    assert (settings.limits.token, settings.limits.prefix) == ("off", "1200/minute")
    assert (partner.late, partner.open_offers) == (timedelta(hours=2), True)
    assert upstream.rate_per_second == 0.5
    assert upstream.hmac is not None
    assert upstream.hmac.algorithm == "hmac-sha256"
    assert upstream.hmac.api_key == Secret(path=home.folder / "secrets/key")


@pytest.mark.parametrize("name", ["ACME", "acme", "Acme"])
def test_names_match_in_any_case(home: Home, name: str) -> None:
    """The file says how a name is written; a variable only finds it."""
    settings = home.load(environ={f"OPTOUT_PARTNERS__{name}__LATE": "2h"})

    assert {key: each.late for key, each in settings.partners.items()} == {
        "ACME": timedelta(hours=2)
    }


def test_an_underscore_finds_a_hyphen(home: Home) -> None:
    """No shell can export a variable with a hyphen in its name."""
    text = BASE.replace("ACME", "acme-tickets")

    settings = home.load(text, {"OPTOUT_PARTNERS__ACME_TICKETS__LATE": "2h"})

    assert settings.partners["acme-tickets"].late == timedelta(hours=2)


@pytest.mark.parametrize(
    "listed",
    ["https://a.example,https://b.example", '["https://a.example", "https://b.example"]'],
)
def test_a_list_is_json_or_has_commas(home: Home, listed: str) -> None:
    """Both are common in container files."""
    settings = home.load(environ={"OPTOUT_PARTNERS__ACME__ORIGINS": listed})

    assert settings.partners["ACME"].origins == ("https://a.example", "https://b.example")


def test_a_secret_replaces_the_file_that_the_configuration_names(home: Home) -> None:
    """A value in the environment wins over `…_file` in the file, and is not "both"."""
    settings = home.load(environ={f"{TICKETS}__HMAC__API_SECRET": "[not json"})

    hmac = settings.partners["ACME"].upstream(None).hmac
    assert hmac is not None
    assert hmac.api_secret.read() == "[not json"


def test_a_secret_file_is_relative_to_the_configuration(home: Home) -> None:
    """It makes no difference where a path is written."""
    settings = home.load(environ={f"{TICKETS}__HMAC__API_SECRET_FILE": "run/secret"})

    hmac = settings.partners["ACME"].upstream(None).hmac
    assert hmac is not None
    assert hmac.api_secret == Secret(path=home.folder / "run/secret")


def test_one_key_of_a_list(home: Home) -> None:
    """A number finds a table in a list; the next number adds one."""
    prefix = "OPTOUT_PARTNERS__ACME__SIGNING_KEYS"
    environ = {
        f"{prefix}__0__SECRET": "old",
        f"{prefix}__1__KID": "acme-2026b",
        f"{prefix}__1__SECRET": "new",
    }

    keys = home.load(environ=environ).partners["ACME"].signing_keys

    assert [(key.kid, key.secret.read()) for key in keys] == [
        ("acme-2026a", "old"),
        ("acme-2026b", "new"),
    ]


def test_a_whole_table_as_json(home: Home) -> None:
    """A partner can be added without a file being touched."""
    other = {
        "origins": ["https://other.example"],
        "upstreams": {
            "tickets": {
                "api": "xone-offers",
                "partner_code": "OTHER",
                "oauth": {"client_id": "a", "client_secret_file": "secrets/secret"},
            }
        },
    }

    settings = home.load(environ={"OPTOUT_PARTNERS__OTHER": json.dumps(other)})
    oauth = settings.partners["OTHER"].upstream(None).oauth

    assert sorted(settings.partners) == ["ACME", "OTHER"]
    assert oauth is not None
    assert oauth.client_secret == Secret(path=home.folder / "secrets/secret")


def test_no_file_at_all() -> None:
    """A container may be configured by its environment alone; names keep their case."""
    prefix = "OPTOUT_PARTNERS__Shop"
    environ = {
        "OPTOUT_AUDIENCE": "optout-proxy:test",
        "OPTOUT_PUBLIC_URL": "https://proxy.shop.example",
        f"{prefix}__ORIGINS": "https://shop.example",
        f"{prefix}__SIGNING_KEYS__0__KID": "shop-2026a",
        f"{prefix}__SIGNING_KEYS__0__SECRET_FILE": "secrets/a",
        "OPTOUT_PARTNERS__SHOP__SERVER_KEY_HASHES": KEY_HASH,
        f"{prefix}__UPSTREAMS__Tickets__API": "xcover-offers",
        f"{prefix}__UPSTREAMS__Tickets__PARTNER_CODE": "LLODT",
        f"{prefix}__UPSTREAMS__Tickets__HMAC__API_KEY": "k",
        f"{prefix}__UPSTREAMS__Tickets__HMAC__API_SECRET": "s",
    }

    settings = load(None, environ)
    partner = settings.partners["Shop"]

    assert settings.folder == Path.cwd()
    assert partner.server_key_hashes == (KEY_HASH,)
    assert partner.signing_keys[0].secret == Secret(path=Path.cwd() / "secrets/a")
    assert list(partner.upstreams) == ["Tickets"]


IGNORED = [
    "OPTOUT_CONFIG",
    "OPTOUT_SERVICE_HOST",
    "OPTOUT_PROXY_SERVICE_PORT_HTTP",
    "OPTOUT_PROXY_PORT",
    "OPTOUT_PROXY_PORT_8080_TCP_ADDR",
    "OPTOUT_PORT",
    "OTHER_AUDIENCE",
    "optout_audience",
]


@pytest.mark.parametrize("variable", IGNORED)
def test_variables_that_are_not_ours(home: Home, variable: str) -> None:
    """Kubernetes sets some for every service, the command line reads one of its own."""
    assert home.load(environ={variable: "tcp://10.0.0.1:80"}).audience == "optout-proxy:test"


def test_an_empty_variable_says_nothing(home: Home) -> None:
    """Compose files pass variables on that nobody has set."""
    assert home.load(environ={"OPTOUT_AUDIENCE": ""}).audience == "optout-proxy:test"


REFUSED = {
    "OPTOUT_AUDIENC": (
        "x",
        "OPTOUT_AUDIENC: the top table has no setting `audienc`; the nearest one is `audience`.",
    ),
    "OPTOUT_PARTNERS__ACME__ORGINS": (
        "x",
        (
            "OPTOUT_PARTNERS__ACME__ORGINS: [partners.ACME] has no setting `orgins`;"
            " the nearest one is `origins`."
        ),
    ),
    "OPTOUT_THREADS": ("many", "OPTOUT_THREADS: `threads` must be a whole number."),
    "OPTOUT_PARTNERS__acme__LATE": (
        "1",
        (
            "OPTOUT_PARTNERS__acme__LATE: `late` in [partners.ACME] must be a duration such as"
            ' "500ms", "5s", "30m", "24h" or "730d".'
        ),
    ),
    "OPTOUT_PARTNERS__ACME__ORIGINS": (
        '["https://shop.example"',
        "OPTOUT_PARTNERS__ACME__ORIGINS: begins like JSON and is none; mend it.",
    ),
    "OPTOUT_PARTNERS__ACME__SIGNING_KEYS__0__KID": (
        "a.b",
        (
            "OPTOUT_PARTNERS__ACME__SIGNING_KEYS__0__KID: `kid` in [partners.ACME.signing_keys[0]]"
            " must be 1 to 32 letters, digits, `_` and `-`."
        ),
    ),
    "OPTOUT_FOLDER": (
        "x",
        "The environment: `folder` is not a setting; it follows from where the table stands.",
    ),
}


@pytest.mark.parametrize("variable", REFUSED)
def test_a_refusal_names_the_variable(home: Home, variable: str) -> None:
    """The file is not to blame for what the environment says."""
    text, sentence = REFUSED[variable]

    with pytest.raises(ConfigurationError) as refused:
        home.load(environ={variable: text})

    assert str(refused.value) == sentence


def test_the_file_is_blamed_for_the_rest(home: Home) -> None:
    """Each sentence names where its own fault is written."""
    text = BASE.replace("LLODT", "L/T")

    with pytest.raises(ConfigurationError) as refused:
        home.load(text, {"OPTOUT_THREADS": "0"})

    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [
        "optout.toml",
        "OPTOUT_THREADS",
    ]


def test_both_forms_of_a_secret_in_the_environment(home: Home) -> None:
    """Within one source it is not clear which one is meant."""
    environ = {f"{TICKETS}__HMAC__API_KEY": "a", f"{TICKETS}__HMAC__API_KEY_FILE": "b"}

    with pytest.raises(ConfigurationError, match="give `api_key` or `api_key_file`, not both"):
        home.load(environ=environ)


def test_a_table_and_a_part_of_it(home: Home) -> None:
    """A text can not be a table as well."""
    environ = {"OPTOUT_LIMITS": "off", "OPTOUT_LIMITS__TOKEN": "off"}

    with pytest.raises(ConfigurationError, match="another variable gives this whole table"):
        home.load(environ=environ)


def test_two_upstreams_keep_apart(home: Home) -> None:
    """A variable changes the upstream that it names and no other."""
    variable = "OPTOUT_PARTNERS__ACME__UPSTREAMS__ELEMENTS__HOLD"

    partner = home.load(BASE + ELEMENTS, {variable: "1h"}).partners["ACME"]

    assert partner.upstream("elements").hold == timedelta(hours=1)
    assert partner.upstream("tickets").hold == timedelta(hours=24)
