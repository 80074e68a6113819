"""Where processes listen, and the small server of the private side."""

import socket
import threading
from ipaddress import ip_address

from flask import Flask
from prometheus_client import CollectorRegistry
from waitress.server import create_server

from proxy.condition import Condition
from proxy.counters import Counters
from proxy.errors import ConfigurationError
from proxy.reload import Configuration
from proxy.settings import Settings
from proxy.web.ops import Figures, health
from proxy.web.private import create_private

THREADS = 4
BACKLOG = 2048
LARGEST = 2 << 20  # bytes of a request to the private side: twice what any page takes


def listen(host: str, port: int, *, option: str) -> socket.socket:
    """Return a socket that listens there. ConfigurationError, which names *option*, if it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} can not be bound ({error.strerror}); give {option} another address."
        ) from error


def require_private(settings: Settings, host: str) -> None:
    """Refuse a private listener that strangers could reach."""
    if _is_loopback(host) or settings.admin_networks:
        return
    raise ConfigurationError(
        f"--admin-bind {host} can be reached from other machines; "
        "set `admin_networks` to the networks that may, or bind it to 127.0.0.1."
    )


def serve_private(
    listener: socket.socket,
    configuration: Configuration,
    condition: Condition,
    counters: Counters,
    admin: Flask | None = None,
) -> None:
    """Serve the private side on *listener*, in threads that end with the process.

    Without a dashboard there is no public side either, and the private one answers /healthz.
    """
    registry = CollectorRegistry()
    registry.register(counters)
    registry.register(Figures(condition.state, of_register=False))
    app = create_private(
        configuration,
        condition.ready,
        condition.measure,
        registry,
        admin,
        warnings=condition.warnings,
    )
    if admin is None:
        app.register_blueprint(health())
    server = create_server(
        app,
        sockets=[listener],
        threads=THREADS,
        max_request_body_size=LARGEST,  # it is kept on disk, before anybody is asked who it is
        ident=None,
        clear_untrusted_proxy_headers=False,  # they are judged by `trusted_proxies`, not here
    )
    threading.Thread(target=server.run, name="private", daemon=True).start()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
