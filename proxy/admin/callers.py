"""Who calls the dashboard, and how: behind a proxy only a trusted one is believed."""

from typing import Any
from urllib.parse import urlsplit

from flask import Request, current_app, request

from proxy.admin.parts import Parts
from proxy.errors import Problem
from proxy.settings import Settings
from proxy.web.limits import client_of, prefix_of
from proxy.web.terms import Address, address, is_within, networks

LOCAL = ("localhost", "127.0.0.1", "[::1]")


def parts() -> Parts:
    """Return what the dashboard stands on."""
    found: Parts = current_app.extensions["parts"]
    return found


def settings() -> Settings:
    """Return the settings in force."""
    return parts().configuration.current


def now() -> int:
    """Return Unix milliseconds, as the sessions of all processes have them."""
    database = parts().database
    with database.read() as connection:
        return database.now(connection)


def is_secure(request: Request) -> bool:
    """Tell whether the visitor's browser speaks TLS: with us, or with a proxy that is trusted."""
    return request.scheme == "https" or _says_https(request.environ, settings())


def is_local(request: Request) -> bool:
    """Tell whether the page is reached on this machine: then nothing leaves it in clear text."""
    return _host_of(request) in LOCAL


def client(environ: dict[str, Any], settings: Settings) -> Address | None:
    """Return who calls."""
    return client_of(environ, networks(settings.trusted_proxies))


def address_here() -> str | None:
    """Return the address that the request under way came from, as it is written down."""
    found = client(request.environ, settings())
    return str(found) if found else None


def network_here() -> str:
    """Return the network that the request under way came from: /24, or /48 of IPv6."""
    found = client(request.environ, settings())
    return prefix_of(found) if found else ""


def judge_host(request: Request) -> None:
    """Refuse a name that is not ours: it may be a stranger's page that points to this machine."""
    host = _host_of(request)
    ours = urlsplit(settings().admin.url or "").netloc
    if host in LOCAL or address(host.strip("[]")) or request.host == ours:
        return
    raise Problem("host_not_allowed", "set `url` in [admin] to the address of the dashboard")


def _host_of(request: Request) -> str:
    """Return the host without its port."""
    host = request.host
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def _says_https(environ: dict[str, Any], settings: Settings) -> bool:
    peer = address(environ.get("REMOTE_ADDR", ""))
    trusted = networks(settings.trusted_proxies)
    if peer is None or not is_within(peer, trusted):
        return False
    said: str = environ.get("HTTP_X_FORWARDED_PROTO", "")
    return said.rpartition(",")[2].strip() == "https"
