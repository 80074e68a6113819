"""The private listener: readiness and figures, for this machine or the networks that may."""

from collections.abc import Callable

from flask import Flask, request
from prometheus_client import CollectorRegistry
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from proxy.errors import Problem
from proxy.reload import Configuration
from proxy.web import problems
from proxy.web.ops import Figures, Measure, readiness
from proxy.web.terms import address, is_within, networks


def create_private(
    configuration: Configuration,
    ready: Callable[[], list[str]],
    measure: Measure,
    registry: CollectorRegistry | None = None,
    admin: Flask | None = None,
) -> Flask:
    """Return the private application.

    *ready* names why work can not be done, if it can not; *measure* reads the register's figures;
    *registry* holds what this process counts; *admin* is the dashboard.
    """
    figures = CollectorRegistry()
    figures.register(Figures(measure))
    app = Flask("proxy.private", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.before_request(lambda: _judge(configuration))
    app.after_request(problems.dress)
    app.register_error_handler(Exception, problems.answer)
    app.register_blueprint(readiness(ready, (figures, registry) if registry else (figures,)))
    if admin:
        admin.before_request(lambda: _judge(configuration))
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/admin": admin})  # type: ignore[method-assign]
    return app


def _judge(configuration: Configuration) -> None:
    """Let nobody see that there is anything here but this machine and the networks that may."""
    caller = address(request.environ.get("REMOTE_ADDR", ""))
    allowed = networks(configuration.current.admin_networks)
    if caller is None or not (caller.is_loopback or is_within(caller, allowed)):
        raise Problem("not_found")
