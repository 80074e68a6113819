"""A request's id, in its answer and in every line of its log; and a look at it from outside."""

from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from proxy.telemetry import Telemetry
from proxy.web.answers import request_id

UNKNOWN = "none"  # the route of what is not there
_REFUSED = 400  # and above


def identify(app: Flask) -> None:
    """Put the request's id in every line that its thread logs; before any other hook of *app*."""
    app.before_request(_identify)
    app.teardown_request(lambda _error: clear_contextvars())


def watch(app: Flask, telemetry: Telemetry) -> None:
    """Look at every request of *app*; before any other hook, so that none is missed."""
    identify(app)
    app.before_request(telemetry.begin)
    app.after_request(_note)
    app.teardown_request(lambda _error: _end(telemetry))


def _identify() -> None:
    clear_contextvars()  # the thread has answered others before
    bind_contextvars(request_id=request_id())


def _note(response: Response) -> Response:
    g.status = response.status_code
    return response


def _end(telemetry: Telemetry) -> None:
    status = g.get("status", 500)
    # A page can not send it: it is no header that a browser lets through without asking us. Of
    # the others only who has proved who it is may say to which trace a request belongs.
    proved = "HTTP_AUTHORIZATION" in request.environ and status < _REFUSED
    telemetry.end(
        method=request.method,
        route=request.url_rule.rule if request.url_rule else UNKNOWN,
        status=status,
        code=g.get("code"),
        request_id=request_id(),
        parent=request.headers.get("traceparent") if proved else None,
    )
