"""The private listener: readiness and figures, for this machine or the networks that may."""

from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, request
from prometheus_client import CollectorRegistry
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from proxy.errors import Problem
from proxy.reload import Configuration
from proxy.web import problems
from proxy.web.limits import client_of
from proxy.web.ops import Figures, Measure, Reasons, readiness
from proxy.web.terms import address, is_within, networks
from proxy.web.watch import identify


def create_private(
    configuration: Configuration,
    ready: Callable[[], list[str]],
    measure: Measure,
    registry: CollectorRegistry | None = None,
    admin: Flask | None = None,
    *,
    warnings: Reasons | None = None,
) -> Flask:
    """Return the private application.

    *ready* names why work can not be done, if it can not, *warnings* what should be looked at;
    *measure* reads the register's figures; *registry* holds what this process counts; *admin* is
    the dashboard.
    """
    figures = CollectorRegistry()
    figures.register(Figures(measure))
    app = Flask("proxy.private", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    identify(app)
    app.before_request(lambda: _judge(configuration))
    app.after_request(problems.dress)
    app.register_error_handler(Exception, problems.answer)
    registries = (figures, registry) if registry else (figures,)
    app.register_blueprint(readiness(ready, registries, warnings))
    if admin:
        outside, inside = app.wsgi_app, DispatcherMiddleware(app.wsgi_app, {"/admin": admin})

        def mounted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            return (inside if _may(configuration, environ) else outside)(environ, start_response)

        app.wsgi_app = mounted  # type: ignore[method-assign]  # as Flask has it
    return app


def _judge(configuration: Configuration) -> None:
    """Let nobody see that there is anything here but this machine and the networks that may."""
    if not _may(configuration, request.environ):
        raise Problem("not_found")


def _may(configuration: Configuration, environ: WSGIEnvironment) -> bool:
    """Tell whether the caller is this machine itself, or stands in a network that may.

    Of whom a proxy speaks for only the network counts: it would be told anything.
    """
    settings = configuration.current
    peer = address(environ.get("REMOTE_ADDR", ""))
    caller = client_of(environ, networks(settings.trusted_proxies)) if peer else None
    if caller is None:
        return False
    is_here = caller is peer and caller.is_loopback
    return is_here or is_within(caller, networks(settings.admin_networks))
