"""What surrounds the program: variables, networks, Redis, the limits of this process."""

import re
import resource
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from stat import S_IRWXO

from limits.errors import ConfigurationError as PrerequisiteMissing
from limits.storage import storage_from_string
from sqlalchemy import make_url

from proxy import alerts
from proxy.checks.findings import Findings, fail, ok, or_ok, refused, warn
from proxy.errors import ConfigurationError
from proxy.settings import Settings
from proxy.settings_sources import PREFIX

CONNECTIONS = 1_000  # that the web server keeps at once
_OTHER_FILES = 64  # the database's, the log's, the listeners'
_SECONDS = 2.0  # for Redis, which has 0.25 s for a call
_NEARLY = re.compile(r"opt[-_]?out(?=[A-Za-z_])", re.IGNORECASE)


def surrounding_findings(settings: Settings, environ: Mapping[str, str]) -> Findings:
    """Judge what stands around the program."""
    yield from or_ok(
        _variables(environ), "environment", f"No variable that looks like {PREFIX}… is ignored."
    )
    yield from or_ok(_public(settings), "public_url", f"Pages call {settings.public_url}.")
    yield from or_ok(_networks(settings), "networks", "Nobody is believed who should not be.")
    yield from _limits(settings)
    yield from _redis(settings)
    yield from _alerts(settings)
    yield from _customers(settings)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield from descriptor_findings(settings, soft)


def descriptor_findings(settings: Settings, limit: int) -> Findings:
    """Judge how many files a process that is started from here may have open."""
    needed = CONNECTIONS + settings.threads + settings.senders + _OTHER_FILES
    if 0 <= limit < needed:
        yield warn(
            "descriptors",
            f"A process started here may open {limit} files; a full house takes {needed}, and "
            "customers beyond are kept waiting.",
            "`ulimit -n 4096` before `serve`, or `LimitNOFILE=4096` in its unit.",
        )
    else:
        yield ok("descriptors", f"{limit} open files are enough.")


def _variables(environ: Mapping[str, str]) -> Findings:
    for name in sorted(environ):
        if name.startswith(PREFIX):
            if not environ[name]:
                yield warn(
                    "environment",
                    f"{name} is empty, so it is not looked at.",
                    "Give it a value, or unset it: an empty one overrides nothing.",
                )
        elif _NEARLY.match(name):
            yield warn(
                "environment",
                f"{name} looks like a setting and is none.",
                f"Settings begin with {PREFIX}, such as {PREFIX}PUBLIC_URL.",
            )


def _public(settings: Settings) -> Findings:
    elsewhere = [origin for origin in sorted(settings.origins) if origin.startswith("https:")]
    if settings.public_url.startswith("http:") and elsewhere:
        yield warn(
            "public_url",
            f"`public_url` is {settings.public_url}, which pages of {elsewhere[0]} can not reach.",
            "Write the https address under which customers' browsers find the proxy.",
        )


def _networks(settings: Settings) -> Findings:
    is_behind = settings.public_url.startswith("https:") and settings.limits.prefix != "off"
    if is_behind and not settings.trusted_proxies:
        yield warn(
            "networks",
            "`trusted_proxies` is empty: what ends TLS looks like the only customer, and all "
            f"share `[limits] prefix` ({settings.limits.prefix}).",
            'List where it calls from, such as `trusted_proxies = ["127.0.0.1/32"]`.',
        )
    if _everybody(settings.trusted_proxies):
        yield fail(
            "networks",
            "`trusted_proxies` has every address, so any caller can claim to be another.",
            "List only what stands before the proxy.",
        )
    if _everybody(settings.admin_networks):
        yield warn(
            "networks",
            "`admin_networks` has every address: whoever reaches the private listener is let in.",
            "List the networks of those who operate it.",
        )


def _everybody(networks: tuple[str, ...]) -> bool:
    return any(ip_network(each).prefixlen == 0 for each in networks)


def _limits(settings: Settings) -> Findings:
    if settings.redis_url is not None:
        yield ok("limits", "The inbound limits are counted in Redis, for all processes.")
        return
    told = "Without `redis_url` the inbound limits count per process."
    if settings.database.startswith("sqlite"):
        yield ok("limits", f"{told} On SQLite there is one.")
    else:
        yield warn(
            "limits",
            told,
            "Set `redis_url`, or divide `[limits]` by the number of web processes.",
        )


def _redis(settings: Settings) -> Findings:
    if settings.redis_url is None:
        return
    url = settings.redis_url
    options = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
    try:
        address = f"redis+{url}" if url.startswith("unix:") else url
        answers = storage_from_string(address, **options).check()
    except PrerequisiteMissing:
        yield fail(
            "redis",
            "`redis_url` needs the Redis client.",
            "Run `pip install 'optout-proxy[redis]'`.",
        )
        return
    if answers:
        yield ok("redis", "Redis answers.")
    else:
        yield warn(
            "redis",
            "Redis does not answer: until it does, calls pass uncounted.",
            "Look whether it runs, and whether address and password in `redis_url` are right.",
        )


def _alerts(settings: Settings) -> Findings:
    if settings.alerts.webhook is None:
        yield ok("alerts", "No webhook is set: the log and `/metrics` tell of dead letters.")
        return
    try:
        alerts.judge(settings)
    except ConfigurationError as error:
        yield refused("alerts", error)
    else:
        yield ok("alerts", "What needs a person is posted to the webhook, signed.")


def _customers(settings: Settings) -> Findings:
    passing = [name for name, partner in settings.partners.items() if partner.customer]
    folder = settings.customer_keys
    if not passing:
        yield ok("customers", "No personal data passes.")
    elif folder is None:
        yield fail(
            "customers",
            f"{passing[0]} has `customer = true`, and there is no folder for the keys.",
            "Set `customer_keys` to a folder outside the backups.",
        )
    else:
        yield from or_ok(_folder(settings, folder), "customers", f"Keys are kept in {folder}.")


def _folder(settings: Settings, folder: Path) -> Findings:
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and folder.is_relative_to(
        Path(url.database or "").parent
    ):
        yield warn(
            "customers",
            f"{folder} lies beside the database: one copy of that folder holds data and keys.",
            "Set `customer_keys` to a folder outside the backups.",
        )
    if folder.is_dir() and folder.stat().st_mode & S_IRWXO:
        yield fail(
            "customers",
            f"{folder} is open to every user of this machine.",
            f"Run `chmod 700 {folder}`.",
        )
