"""What operators get wrong in settings: each breaks a good home in one way."""

import re
import socket
from collections.abc import Callable
from contextlib import closing

from proxy.secret import PLACEHOLDER
from proxy.tokens import new_secret
from tests.settings.home import BASE, ELEMENTS, OTHER_PARTNER, Home

GOOD_TEXT = f'trusted_proxies = ["127.0.0.1/32"]\n{BASE}'

Break = Callable[[Home], object]


def good(home: Home) -> None:
    """Make *home* one that nothing is wrong with."""
    home.write(GOOD_TEXT)
    home.config.chmod(0o600)
    for name in ("key", "secret", "id"):
        home.secret(name, f"{name}-of-a-test")


def swap(before: str, after: str) -> Break:
    """Return what replaces the first match of *before* in the configuration."""

    def break_it(home: Home) -> None:
        text = home.config.read_text("utf-8")
        assert re.search(before, text), before
        home.write(re.sub(before, lambda _: after, text, count=1))

    return break_it


def top(line: str) -> Break:
    """Return what writes *line* above all tables."""
    return lambda home: home.write(f"{line}\n{home.config.read_text('utf-8')}")


def more(text: str) -> Break:
    """Return what writes *text* to the end."""
    return lambda home: home.write(home.config.read_text("utf-8") + text)


def both(*steps: Break) -> Break:
    """Return what does one step after the other."""

    def break_it(home: Home) -> None:
        for step in steps:
            step(home)

    return break_it


def secret(name: str, text: str, mode: int = 0o600) -> Break:
    """Return what writes another text to a secret file."""
    return lambda home: home.secret(name, text, mode)


def _unanswering_redis(home: Home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    top(f'redis_url = "redis://127.0.0.1:{port}/0"')(home)


def _customer_keys(folder: str, mode: int = 0o700) -> Break:
    def break_it(home: Home) -> None:
        made = (home.folder / folder).resolve()
        made.mkdir(mode=0o700, exist_ok=True)
        made.chmod(mode)
        both(top(f'customer_keys = "{made}"'), swap("origins", "customer = true\norigins"))(home)

    return break_it


STAGING = "https://api.xcover-staging.com/xcover"
MANY = "".join(
    OTHER_PARTNER.replace("OTHER", f"OTHER-{number}")
    .replace("other-2026a", f"other-{number}")
    .replace("secrets/acme-2026a", f"secrets/other-{number}")
    .replace("secrets/key", f"secrets/key-{number}")
    for number in range(3)
)


def _many(home: Home) -> None:
    for number in range(3):
        home.secret(f"other-{number}", new_secret())
        home.secret(f"key-{number}", f"key-{number}")
    more(MANY)(home)


# What was done: how to do it, the check that sees it, how it judges, and words of its sentences.
Broken = tuple[Break, str, str, str, str]

BROKEN: dict[str, Broken] = {
    "no partner": (
        lambda home: home.write(GOOD_TEXT.partition("[partners.ACME]")[0]),
        "partners",
        "fail",
        "There is no partner",
        "Add [partners.NAME]",
    ),
    "a partner that nobody can speak for": (
        both(swap("signing_keys.*", ""), swap("server_key_hashes.*", "")),
        "partners",
        "fail",
        "neither signing keys nor server keys",
        "optout-proxy keys new --partner ACME",
    ),
    "keys for no page": (
        swap("origins.*", ""),
        "partners",
        "warn",
        "signing keys and no `origins`",
        "List the origins",
    ),
    "pages without a key": (
        swap("signing_keys.*", ""),
        "partners",
        "warn",
        "`origins` and no signing key",
        "keys new",
    ),
    "a partner that was switched off": (
        swap("origins", "disabled = true\norigins"),
        "partners",
        "warn",
        "switched off",
        "Take `disabled` away",
    ),
    "a code that was never filled in": (
        swap("LLODT", PLACEHOLDER),
        "partners",
        "warn",
        f"still {PLACEHOLDER}",
        "insurer's name for the shop",
    ),
    "an origin of the developer's machine": (
        swap(r"origins = \[", 'origins = ["http://localhost:3000", '),
        "origins",
        "warn",
        "allows http://localhost:3000",
        "Take it away",
    ),
    "pages that can not reach us": (
        swap("https://proxy.shop.example", "http://127.0.0.1:8080"),
        "public_url",
        "warn",
        "pages of https://shop.example can not reach",
        "https address",
    ),
    "Elements reported on the decline": (
        more(f'{ELEMENTS}report_on = "decline"\n'),
        "report_moment",
        "warn",
        "ACME.elements reports on the decline",
        'report_on = "purchase"',
    ),
    "a test key at the live host": (
        swap("partner_code", "test = true\npartner_code"),
        "test_keys",
        "warn",
        "`test = true` and the live host api.xcover.com",
        "Take `test` away",
    ),
    "live pace at the staging host": (
        swap("partner_code", f'base_url = "{STAGING}"\npartner_code'),
        "test_keys",
        "warn",
        "goes to api.xcover-staging.com without `test = true`",
        "Set `test = true`",
    ),
    "no pace": (
        swap("partner_code", "rate_per_second = 0\npartner_code"),
        "pace",
        "warn",
        "has no pace",
        "Set `rate_per_second`",
    ),
    "more than is granted": (
        swap("partner_code", "rate_per_second = 23\npartner_code"),
        "pace",
        "warn",
        "may send 23 a second",
        "below 20",
    ),
    "too few senders": (
        _many,
        "senders",
        "warn",
        "The pace of all credentials is 40 a second; 32 senders send 25",
        "Set `senders` to 52",
    ),
    "a report that waits longer than its record lives": (
        both(
            swap("partner_code", 'report_on = "purchase"\nhold = "60d"\npartner_code'),
            swap("origins", 'retention = "30d"\norigins'),
        ),
        "durations",
        "warn",
        "may wait 60 days, and `retention` is 30 days",
        "Lengthen `retention`",
    ),
    "a proxy in front that is not named": (
        swap("trusted_proxies.*", ""),
        "networks",
        "warn",
        "`trusted_proxies` is empty",
        "List where it calls from",
    ),
    "everybody as a trusted proxy": (
        swap("127.0.0.1/32", "0.0.0.0/0"),
        "networks",
        "fail",
        "`trusted_proxies` has every address",
        "List only what stands before",
    ),
    "everybody as an operator": (
        top('admin_networks = ["::/0"]'),
        "networks",
        "warn",
        "`admin_networks` has every address",
        "networks of those who operate it",
    ),
    "a Redis that is not there": (
        _unanswering_redis,
        "redis",
        "warn",
        "Redis does not answer",
        "Look whether it runs",
    ),
    "alerts that can not be signed": (
        both(
            more('[alerts]\nwebhook = "https://w.example/"\nwebhook_secret_file = "secrets/hook"'),
            secret("hook", "short"),
        ),
        "alerts",
        "fail",
        "webhook_secret",
        "",
    ),
    "personal data without keys": (
        swap("origins", "customer = true\norigins"),
        "customers",
        "fail",
        "ACME has `customer = true`",
        "Set `customer_keys`",
    ),
    "keys in the same backup as the data": (
        _customer_keys("keys"),
        "customers",
        "warn",
        "lies beside the database",
        "outside the backups",
    ),
    "keys that anybody may read": (
        _customer_keys("../keys-of-all", 0o755),
        "customers",
        "fail",
        "is open to every user",
        "chmod 700",
    ),
}

VARIABLES = {
    "OPTOUT_LOG_LEVEL": ("", "OPTOUT_LOG_LEVEL is empty", "unset it"),
    "OPT_OUT_PUBLIC_URL": ("https://x.example", "looks like a setting and is none", "OPTOUT_"),
    "optout_public_url": ("https://x.example", "looks like a setting and is none", "OPTOUT_"),
    "OPTOUTPUBLIC_URL": ("https://x.example", "looks like a setting and is none", "OPTOUT_"),
}
