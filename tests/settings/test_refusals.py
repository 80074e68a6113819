"""Every refusal is one sentence that names the place and says how to mend it."""

import re

import pytest

from proxy.errors import ConfigurationError
from tests.settings.home import BASE, ELEMENTS, KEY_HASH, OTHER_PARTNER, Home

ACME = "in [partners.ACME]"
TICKETS = "[partners.ACME.upstreams.tickets]"
OTHER = "[partners.ACME.upstreams.other]"
HMAC = 'hmac = { api_key_file = "secrets/key", api_secret_file = "secrets/secret" }'
NETWORK = "which is not a network such as 10.0.0.0/8"


UNKNOWN = {
    "databse = 'x'": "the top table has no setting `databse`; the nearest one is `database`.",
    "[limit]": "the top table has no setting `limit`; the nearest one is `limits`.",
    "[limits]\ntokens = 'x'": "[limits] has no setting `tokens`; the nearest one is `token`.",
    "[alerts]\nweb_hook_file = 'x'": (
        "[alerts] has no setting `web_hook_file`; the nearest one is `webhook_file`."
    ),
    "[admin.oidc]\nissuer = 'https://id.example'\nclient_id = 'a'\nclient_secret = 'b'": (
        "[admin] has `oidc` and nowhere to come back to; add `url`."
    ),
    "[admin.oidc]\nissuers = 'x'": (
        "[admin.oidc] has no setting `issuers`; the nearest one is `issuer`."
    ),
    "[partners.ACME]\norgins = []": (
        "[partners.ACME] has no setting `orgins`; the nearest one is `origins`."
    ),
    "[partners.ACME]\nsigning_keys = [{ kid = 'a', secrets_file = 'x' }]": (
        "[partners.ACME.signing_keys[0]] has no setting `secrets_file`;"
        " the nearest one is `secret_file`."
    ),
    "[partners.ACME.upstreams.tickets]\nreports_on = 'x'": (
        f"{TICKETS} has no setting `reports_on`; the nearest one is `report_on`."
    ),
    "[partners.ACME.upstreams.tickets]\nhmac = { api_keyfile = 'x' }": (
        "[partners.ACME.upstreams.tickets.hmac] has no setting `api_keyfile`;"
        " the nearest one is `api_key_file`."
    ),
    "[partners.ACME.upstreams.tickets]\nname = 'x'": (
        "`name` is not a setting; it follows from where the table stands."
    ),
    "folder = 'x'": "`folder` is not a setting; it follows from where the table stands.",
}


@pytest.mark.parametrize(("text", "sentence"), UNKNOWN.items(), ids=UNKNOWN)
def test_an_unknown_key_is_told_its_nearest(home: Home, text: str, sentence: str) -> None:
    """A typing error must not become a silent default."""
    assert sentence in home.refusal(text)


CHANGES = {
    "no audience": (
        ('audience = "optout-proxy:test"\n', ""),
        "`audience` is missing; add it.",
    ),
    "audience of two words": (
        ("optout-proxy:test", "optout proxy"),
        "`audience` must be one word that names this deployment, such as `optout-proxy:prod`.",
    ),
    "audience a number": (
        ('"optout-proxy:test"', "5"),
        "`audience` must be text in quotes.",
    ),
    "public http": (
        ('"https://proxy.shop.example"', '"http://proxy.shop.example"'),
        (
            "`public_url` is `http://proxy.shop.example`, which is not `https://host` or"
            " `https://host:port` (`http` is for loopback hosts only)."
        ),
    ),
    "public path": (
        ('"https://proxy.shop.example"', '"https://proxy.shop.example/choices"'),
        (
            "`public_url` is `https://proxy.shop.example/choices`, which must end after the host"
            " and port: no path, no `/`."
        ),
    ),
    "origin in upper case": (
        ("https://shop.example", "https://Shop.example"),
        (
            f"`origins` {ACME} has `https://Shop.example`, which must be in lower case, as browsers"
            " send it."
        ),
    ),
    "origin with a slash": (
        ("https://shop.example", "https://shop.example/"),
        (
            f"`origins` {ACME} has `https://shop.example/`, which must end after the host and port:"
            " no path, no `/`."
        ),
    ),
    "origin with its port": (
        ("https://shop.example", "https://shop.example:443"),
        (
            f"`origins` {ACME} has `https://shop.example:443`; leave out the port, because browsers"
            " do."
        ),
    ),
    "origin of a stranger over http": (
        ("https://shop.example", "http://shop.example"),
        (
            f"`origins` {ACME} has `http://shop.example`, which is not `https://host` or"
            " `https://host:port` (`http` is for loopback hosts only)."
        ),
    ),
    "origin a pattern": (
        ("https://shop.example", "https://*.shop.example"),
        (
            f"`origins` {ACME} has `https://*.shop.example`, which is not `https://host` or"
            " `https://host:port` (`http` is for loopback hosts only)."
        ),
    ),
    "kid with a dot": (
        ('kid = "acme-2026a"', 'kid = "acme.2026a"'),
        "`kid` in [partners.ACME.signing_keys[0]] must be 1 to 32 letters, digits, `_` and `-`.",
    ),
    "secret a number": (
        ('secret_file = "secrets/acme-2026a"', "secret = 5"),
        "`secret` must be text in quotes.",
    ),
    "no secret": (
        (', secret_file = "secrets/acme-2026a"', ""),
        "`secret` in [partners.ACME.signing_keys[0]] is missing; add it.",
    ),
    "secret twice": (
        ("secret_file =", 'secret = "x", secret_file ='),
        "give `secret` or `secret_file`, not both.",
    ),
    "hash in upper case": (
        (KEY_HASH, KEY_HASH.upper()),
        (
            f"`server_key_hashes` {ACME} has one that is not `sha256:` and the 64 lower-case"
            " hex digits of a whole server key."
        ),
    ),
    "no upstream": (
        (BASE[BASE.index("[partners.ACME.upstreams") :], "upstreams = {}"),
        "[partners.ACME] has no upstream; add [partners.ACME.upstreams.NAME].",
    ),
    "unknown api": (
        ("xcover-offers", "xcover-ofers"),
        (
            f"`api` in {TICKETS} is `xcover-ofers`, which is no API; the nearest one is"
            " `xcover-offers`."
        ),
    ),
    "partner code with a slash": (
        ("LLODT", "../LLODT"),
        (
            f"`partner_code` in {TICKETS} must be 1 to 64 letters, digits and hyphens, as the"
            " insurer gave it."
        ),
    ),
    "no credentials": (
        (HMAC, ""),
        (
            f"{TICKETS} needs its credentials: add"
            ' `hmac = { api_key_file = "…", api_secret_file = "…" }`.'
        ),
    ),
    "the other credentials": (
        (HMAC, 'oauth = { client_id = "a", client_secret = "b" }'),
        (
            f"{TICKETS} needs its credentials: add"
            ' `hmac = { api_key_file = "…", api_secret_file = "…" }`.'
        ),
    ),
    "both credentials": (
        (HMAC, f'{HMAC}\noauth = {{ client_id = "a", client_secret = "b" }}'),
        f"{TICKETS} has `oauth`, which `xcover-offers` does not take; remove it.",
    ),
    "credentials no table": (
        (HMAC, 'hmac = "secret"'),
        "[partners.ACME.upstreams.tickets.hmac] must be a table.",
    ),
    "unknown algorithm": (
        ("hmac = {", 'hmac = { algorithm = "hmac-sha1",'),
        (
            "`algorithm` in [partners.ACME.upstreams.tickets.hmac] must be 'hmac-sha256',"
            " 'hmac-sha384' or 'hmac-sha512'."
        ),
    ),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_a_wrong_value_is_named(home: Home, change: tuple[str, str], sentence: str) -> None:
    """One change to a good file gives one sentence."""
    assert home.refusal(BASE.replace(*change)) == [sentence]


TWINS = {
    "partners": (
        BASE + OTHER_PARTNER.replace("OTHER", "acme"),
        "[partners] has `ACME` and `acme`, which differ only in case; rename one.",
    ),
    "upstreams": (
        BASE + ELEMENTS.replace("elements", "Tickets"),
        (
            "[partners.ACME.upstreams] has `tickets` and `Tickets`, which differ only in case;"
            " rename one."
        ),
    ),
    "kids": (
        BASE + OTHER_PARTNER.replace("other-2026a", "ACME-2026a"),
        "`partners` use the kid `acme-2026a` twice; each key needs a name of its own.",
    ),
    "server keys": (
        BASE + OTHER_PARTNER.replace("signing_keys", f'server_key_hashes = ["{KEY_HASH}"]\n#'),
        "`partners` share a server key, so that nobody could tell them apart.",
    ),
    "three keys": (
        BASE.replace("[{ kid", '[{ kid = "a", secret = "x" }, { kid = "b", secret = "y" }, { kid'),
        "[partners.ACME] has more than two signing keys; take the oldest away.",
    ),
}


@pytest.mark.parametrize(("text", "sentence"), TWINS.values(), ids=TWINS)
def test_what_could_be_mistaken_is_refused(home: Home, text: str, sentence: str) -> None:
    """A name, a kid or a server key stands for one thing."""
    assert home.refusal(text) == [sentence]


@pytest.mark.parametrize("name", ["A__B", "-A", "A.B", "A B", "", "Ä", "A" * 65])
def test_a_name_that_could_not_travel(home: Home, name: str) -> None:
    """A partner's name goes into tokens and names of variables."""
    (sentence,) = home.refusal(BASE.replace("ACME", f'"{name}"'))

    assert sentence == (
        f"[partners] has the name `{name}`; take up to 64 letters and digits,"
        " with single `-` or `_` between them."
    )


def test_all_faults_are_told_at_once(home: Home) -> None:
    """Who mends a file does not want to be sent back for each line."""
    text = BASE.replace("LLODT", "LL/ODT").replace("optout-proxy:test", "a b")

    assert [re.sub(r" must.*", "", line) for line in home.refusal(text)] == [
        "`audience`",
        f"`partner_code` in {TICKETS}",
    ]


def test_no_refusal_repeats_a_secret(home: Home) -> None:
    """A password in a wrong place is not written to the log."""
    lines = home.refusal(f'{BASE}base_url = "https://user:hush@api.example"\n')

    assert "hush" not in " ".join(lines)


def test_a_file_that_is_not_there(home: Home) -> None:
    """The sentence names the command that makes one."""
    home.config.unlink()

    with pytest.raises(ConfigurationError, match="`optout-proxy init` writes one"):
        home.load_again()


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"a = ", "is not TOML: Invalid value (at end of document)."),
        (b'a = "\xff"', "is not UTF-8 text; save it as such."),
    ],
)
def test_a_file_that_is_no_toml(home: Home, raw: bytes, sentence: str) -> None:
    """The parser's own words say the line."""
    home.config.write_bytes(raw)

    with pytest.raises(ConfigurationError) as refused:
        home.load_again()

    assert str(refused.value) == f"{home.config} {sentence}"


def test_a_file_that_can_not_be_read(home: Home) -> None:
    """A folder in its place is told as such."""
    home.config.unlink()
    home.config.mkdir()

    with pytest.raises(ConfigurationError, match=r"can not be read \(is a directory\)"):
        home.load_again()
