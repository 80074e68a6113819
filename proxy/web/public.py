"""The public listener: the only place where its parts meet."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry

from proxy.assets import folder
from proxy.intake import Intake
from proxy.receipts import Signer
from proxy.reload import Configuration
from proxy.telemetry import Telemetry
from proxy.web import batches, choices, offers, ops, scripts, sessions
from proxy.web.deadlines import Deadlines
from proxy.web.guard import Guard
from proxy.web.limits import Limits
from proxy.web.parts import Parts
from proxy.web.terms import InForce
from proxy.web.watch import watch


class _Application(Flask):
    """Calls what it is given as it is: nothing of ours is a coroutine, and Flask asks each time."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*."""
        return func


def create_public(
    configuration: Configuration,
    intake: Intake,
    signer: Signer,
    clock: Callable[[], int],
    registry: CollectorRegistry | None = None,
    *,
    deadlines: Deadlines | None = None,
    telemetry: Telemetry | None = None,
) -> Flask:
    """Return the public application; *clock* tells Unix milliseconds.

    Raise ConfigurationError if a signing secret is unfit. *registry* shows what *telemetry*
    counts; *deadlines* are the server's, where it has some for what it reads itself.
    """
    settings = configuration.current
    telemetry = telemetry or Telemetry()
    parts = Parts(
        terms=InForce(configuration),
        intake=intake,
        signer=signer,
        clock=clock,
        limits=Limits(settings.redis_url, clock),
        deadlines=deadlines or Deadlines(settings.threads),
    )
    app = _Application("proxy", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False  # werkzeug would redirect, and a POST would lose its body
    watch(app, telemetry)
    refusals = ops.Refusals(registry, telemetry.counters)
    Guard(parts.terms, parts.deadlines, refusals).protect(app)
    for calls in (choices, batches, sessions, offers):
        app.register_blueprint(calls.blueprint(parts))
    app.register_blueprint(scripts.blueprint(scripts.released(folder("static")), signer))
    app.register_blueprint(ops.health())
    return app
