"""What a good file means: every key, its default, and where relative things are."""

from datetime import timedelta
from pathlib import Path

import pytest

from proxy.secret import Secret
from proxy.settings import Settings, SigningKeySetting, load
from tests.settings.home import BASE, CUSTOM, ELEMENTS, KEY_HASH, OTHER_PARTNER, Home

EVERYTHING = f"""\
database = "postgresql+psycopg://proxy@db.example/optout"
audience = "optout-proxy:prod"
public_url = "https://proxy.shop.example:8443/"
audit_key_file = "/etc/optout/audit"
signing_key_file = "keys/signing.pem"
trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
admin_networks = ["fd00::/8"]
redis_url = "redis://redis.example/0"
customer_keys = "weekly"
lease = "45s"
threads = 4
senders = 2
log_level = "debug"

[limits]
token = "60/minute"
prefix = "off"
partner = "100/second"

[alerts]
webhook = "https://hooks.example/services/T0/B0?x=1"
webhook_secret_file = "secrets/webhook"

[admin]
url = "https://ops.shop.example/"

[admin.oidc]
issuer = "https://login.example/realm"
client_id = "optout"
client_secret_file = "secrets/secret"
operators = ["insurance-team", "boss@shop.example"]
viewers = ["analysts"]
name_claim = "sub"
groups_claim = "roles"
scopes = ["openid"]

[partners.ACME]
origins = ["https://shop.example", "https://shop.example:8443", "http://localhost:3000"]
signing_keys = [
  {{ kid = "acme-2026a", secret_file = "secrets/acme-2026a" }},
  {{ kid = "acme-2026b", secret = "ots_live_x" }},
]
server_key_hashes = ["{KEY_HASH}"]
open_offers = true
customer = true
late = "48h"
retention = "3650d"
disabled = true

[partners.ACME.upstreams.tickets]
api = "xcover-offers"
base_url = "https://api.staging.example/x/"
partner_code = "LLODT"
report_on = "purchase"
settle = "500ms"
hold = "2d"
unanswered = "declined"
unanswered_after = "12h"
rate_per_second = 0.5
hmac = {{ api_key = "k", api_secret_file = "/s", algorithm = "hmac-sha256", headers = "date" }}
"""


def test_defaults(home: Home) -> None:
    """What the file does not say is as the design says."""
    settings = home.load()
    partner = settings.partners["ACME"]
    upstream = partner.upstream("tickets")

    assert settings.database == f"sqlite:///{home.folder}/optout.db"
    assert settings.audit_key_file == home.folder / "secrets/audit"
    assert settings.signing_key_file == home.folder / "secrets/signing.pem"
    assert settings.lease == timedelta(seconds=30)
    assert settings.limits.token == "30/minute"
    assert (partner.late, partner.retention) == (timedelta(hours=24), timedelta(days=730))
    assert (partner.open_offers, partner.customer, partner.disabled) == (False, False, False)
    assert (upstream.settle, upstream.hold) == (timedelta(seconds=5), timedelta(hours=24))
    assert (upstream.unanswered, upstream.unanswered_after) == ("ignore", timedelta(hours=24))
    assert upstream.hmac is not None
    assert (upstream.hmac.algorithm, upstream.hmac.headers) == ("hmac-sha512", "date")


def test_every_setting_of_the_deployment(home: Home) -> None:
    """Each top key and table arrives as it was written."""
    settings = home.load(EVERYTHING)

    assert settings.database == "postgresql+psycopg://proxy@db.example/optout"
    assert settings.public_url == "https://proxy.shop.example:8443"
    assert settings.audit_key_file == Path("/etc/optout/audit")
    assert settings.signing_key_file == home.folder / "keys/signing.pem"
    assert settings.customer_keys == home.folder / "weekly"
    assert settings.trusted_proxies == ("10.0.0.0/8", "192.0.2.7/32")
    assert settings.admin_networks == ("fd00::/8",)
    assert (settings.lease, settings.threads, settings.senders) == (timedelta(seconds=45), 4, 2)
    assert (settings.limits.prefix, settings.log_level) == ("off", "debug")
    assert settings.alerts.webhook == "https://hooks.example/services/T0/B0?x=1"
    assert settings.alerts.webhook_secret == Secret(path=home.folder / "secrets/webhook")
    assert settings.admin.url == "https://ops.shop.example"
    assert settings.admin.oidc is not None
    assert settings.admin.oidc.operators == ("insurance-team", "boss@shop.example")
    assert settings.admin.oidc.client_secret == Secret(path=home.folder / "secrets/secret")


def test_every_setting_of_a_partner(home: Home) -> None:
    """Each key of a partner and of its upstream arrives as it was written."""
    partner = home.load(EVERYTHING).partners["ACME"]
    upstream = partner.upstreams["tickets"]

    assert partner.name == "ACME"
    assert [key.kid for key in partner.signing_keys] == ["acme-2026a", "acme-2026b"]
    assert (partner.open_offers, partner.customer, partner.disabled) == (True, True, True)
    assert (partner.late, partner.retention) == (timedelta(hours=48), timedelta(days=3650))
    assert (upstream.name, upstream.base_url) == ("tickets", "https://api.staging.example/x")
    assert (upstream.report_on, upstream.unanswered) == ("purchase", "declined")
    assert (upstream.settle, upstream.hold) == (timedelta(milliseconds=500), timedelta(days=2))
    assert (upstream.unanswered_after, upstream.rate_per_second) == (timedelta(hours=12), 0.5)
    assert upstream.hmac is not None
    assert upstream.hmac.api_secret == Secret(path=Path("/s"))


@pytest.mark.parametrize(
    ("api", "auth", "report_on"),
    [
        ("xcover-offers", "hmac", "decline"),
        ("xcover-bookings", "hmac", "decline"),
        ("xcover-renewals", "hmac", "decline"),
        ("xone-offers", "oauth", "purchase"),
        ("xone-quotes", "oauth", "purchase"),
    ],
)
def test_each_api_brings_its_own_defaults(home: Home, api: str, auth: str, report_on: str) -> None:
    """Address, report moment and rate follow from the API."""
    text = BASE.replace("xcover-offers", api)
    if auth == "oauth":
        text = text.replace("hmac =", "oauth =").replace("api_key_", "client_id_")
        text = text.replace("api_secret_", "client_secret_")

    upstream = home.load(text).partners["ACME"].upstream(None)

    assert (upstream.definition.name, upstream.definition.auth) == (api, auth)
    assert (upstream.report_on, upstream.rate_per_second) == (report_on, 10)
    assert upstream.base_url == upstream.definition.base_url


@pytest.mark.parametrize(
    ("written", "rate"),
    [("", 2), ("rate_per_second = 10", 2), ("rate_per_second = 1", 1), ("rate_per_second = 0", 0)],
)
def test_a_test_key_is_slow(home: Home, written: str, rate: float) -> None:
    """Upstream grants 2 per second to a test key, whatever the line above says."""
    upstream = home.load(f"{BASE}test = true\n{written}\n").partners["ACME"].upstream(None)

    assert upstream.rate_per_second == rate


def test_a_further_insurer_is_a_row_of_settings(home: Home) -> None:
    """`custom` describes a call in full, with modest defaults."""
    definition = home.load(BASE + CUSTOM).partners["ACME"].upstream("other").definition

    assert (definition.name, definition.method, definition.auth) == ("custom", "POST", "oauth")
    assert definition.path == "/v2/{partner_code}/declined/{offer}"
    assert (definition.body, definition.report_on, definition.rate) == ("empty", "decline", 10)
    assert definition.success == {200, 201, 202, 204}
    assert definition.base_url == "https://api.insurer.example"


def test_a_further_insurer_in_full(home: Home) -> None:
    """Whatever differs from the defaults can be written."""
    more = 'method = "PUT"\nbody = "metadata"\nsuccess = [202]\nreport_on = "purchase"\n'

    definition = home.load(BASE + CUSTOM + more).partners["ACME"].upstream("other").definition

    assert (definition.method, definition.body) == ("PUT", "metadata")
    assert (definition.success, definition.report_on) == (frozenset({202}), "purchase")


def test_the_only_upstream_needs_no_name(home: Home) -> None:
    """A token or a call may leave the name out while there is one."""
    partner = home.load().partners["ACME"]

    assert partner.upstream(None) is partner.upstream("tickets")


@pytest.mark.parametrize(("text", "name"), [(BASE, "elements"), (BASE + ELEMENTS, None)])
def test_an_upstream_that_is_not_there(home: Home, text: str, name: str | None) -> None:
    """A wrong name, and none where there are two, is a KeyError."""
    partner = home.load(text).partners["ACME"]

    with pytest.raises(KeyError):
        partner.upstream(name)


def test_origins_of_all_partners(home: Home) -> None:
    """CORS needs the union."""
    settings = home.load(BASE + OTHER_PARTNER)

    assert settings.origins == {"https://shop.example", "https://other.example"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sqlite:///data/optout.db", "sqlite:///{folder}/data/optout.db"),
        ("sqlite:////var/lib/optout.db", "sqlite:////var/lib/optout.db"),
        ("sqlite:///o.db?timeout=5", "sqlite:///{folder}/o.db?timeout=5"),
        ("postgresql://proxy@db/optout", "postgresql+psycopg://proxy@db/optout"),
    ],
)
def test_the_database_is_absolute(home: Home, written: str, read: str) -> None:
    """A relative file lies beside the configuration, wherever the program is started."""
    settings = home.load(f'database = "{written}"\n{BASE}')

    assert settings.database == read.format(folder=home.folder)


def test_a_relative_configuration_file(home: Home) -> None:
    """The folder is absolute even if the file was named relatively."""
    home.write()

    settings = load(Path(f"/proc/self/cwd/../../../../../../../..{home.config}"), {})

    assert settings.folder.is_absolute()


def test_a_password_in_a_file_of_its_own(home: Home) -> None:
    """A database address is a secret where it has a password in it."""
    home.secret("db", "postgresql+psycopg://proxy:pw@db/optout")

    settings = home.load(f'database_file = "secrets/db"\n{BASE}')

    assert settings.database == "postgresql+psycopg://proxy:pw@db/optout"


def test_loading_opens_no_secret(home: Home) -> None:
    """The web side may not even have the files of an upstream."""
    (home.folder / "secrets" / "secret").unlink()

    assert home.load().partners["ACME"].upstream(None).hmac is not None


def test_every_secret_is_listed_with_its_place(home: Home) -> None:
    """`check` and the watch go through them."""
    places = {place: secret.path for place, secret in home.load().secrets()}

    assert places == {
        "partners.ACME.signing_keys[0].secret": home.folder / "secrets/acme-2026a",
        "partners.ACME.upstreams.tickets.hmac.api_key": home.folder / "secrets/key",
        "partners.ACME.upstreams.tickets.hmac.api_secret": home.folder / "secrets/secret",
    }


def test_nothing_secret_is_shown(home: Home) -> None:
    """A log line or a traceback with the settings in it betrays nothing."""
    text = BASE.replace('secret_file = "secrets/acme-2026a"', 'secret = "ots_live_hush"')
    head = 'database = "postgresql+psycopg://proxy:hush@db/o"\nredis_url = "redis://:hush@redis"\n'

    alerts = '[alerts]\nwebhook = "https://hooks.example/hush"\nwebhook_secret = "hush"\n'

    settings = home.load(f"{head}{text}\n{alerts}")

    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.partners["ACME"].model_dump())


def test_settings_can_not_be_changed(home: Home) -> None:
    """They are swapped whole or not at all."""
    settings = home.load()

    with pytest.raises(ValueError, match="frozen"):
        settings.audience = "other"  # type: ignore[misc]


def test_settings_can_be_made_by_hand() -> None:
    """Values of the right type need not be written as text."""
    settings = Settings(
        audience="a", public_url="http://localhost:8080", lease=timedelta(minutes=1)
    )

    assert settings.lease == timedelta(minutes=1)
    with pytest.raises(ValueError, match="must be text in quotes"):
        SigningKeySetting(kid="a", secret=5)
    with pytest.raises(ValueError, match="must be a table"):
        Settings(audience="a", public_url="http://localhost", partners=5)


def test_settings_made_by_hand_ignore_the_process() -> None:
    """Only `load` is told of an environment; a variable named THREADS is none of ours."""
    settings = Settings(audience="a", public_url="http://localhost:8080")

    assert settings.partners == {}
    assert settings.folder == Path.cwd()
