"""The sandbox's own calls under /_sandbox: what came in, and what shall go wrong."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from proxy.sandbox.app import Upstream
from proxy.sandbox.faults import BadRule, rule_from
from proxy.sandbox.wire import Answer, NotJson, Request, json_answer, read_json

PREFIX = "/_sandbox"

_NO_STORE = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class _BadCall(ValueError):
    """A call of the sandbox itself is wrong; the message says how."""


def answer(upstream: Upstream, request: Request) -> Answer:
    """Answer a call under /_sandbox; a browser's cross-site one is refused."""
    methods = _CALLS.get(request.path)
    if methods is None:
        return _error(HTTPStatus.NOT_FOUND, f"there are only: {', '.join(_CALLS)}")
    if request.method not in methods:
        refusal = _error(HTTPStatus.METHOD_NOT_ALLOWED, f"use one of: {', '.join(methods)}")
        return refusal.extended(("Allow", ", ".join(methods)))
    if "origin" in request.headers:
        return _error(HTTPStatus.FORBIDDEN, "a page of another site may not steer the sandbox")
    try:
        data = methods[request.method](upstream, request)
    except (_BadCall, BadRule, NotJson) as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    if data is None:
        return Answer(HTTPStatus.NO_CONTENT, _NO_STORE)
    return json_answer(HTTPStatus.OK, data, _NO_STORE)


def _error(status: int, text: str) -> Answer:
    return json_answer(status, {"error": text}, _NO_STORE)


def _about(upstream: Upstream, _request: Request) -> Any:
    options = upstream.options
    paths = {path: list(methods) for path, methods in _CALLS.items()}
    return {"partner": options.partner, "prefix": options.prefix, "calls": paths}


def _clear(upstream: Upstream, _request: Request) -> None:
    upstream.clear()


def _requests(upstream: Upstream, request: Request) -> Any:
    query = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
    if query.keys() - {"offer", "after"}:
        raise _BadCall("the filters are `offer` and `after`, the number of a request")
    after = query.get("after", ["0"])[0]
    if not (after.isascii() and after.isdigit()):
        raise _BadCall("`after` is the number of a request")
    return upstream.ledger.requests(offer=query.get("offer", [None])[0], after=int(after))


def _clear_requests(upstream: Upstream, _request: Request) -> None:
    upstream.ledger.clear()


def _effects(upstream: Upstream, _request: Request) -> Any:
    return upstream.ledger.effects()


def _bookings(upstream: Upstream, _request: Request) -> Any:
    return upstream.desk.packages.confirmed()


def _faults(upstream: Upstream, _request: Request) -> Any:
    return upstream.script.shown()


def _add_faults(upstream: Upstream, request: Request) -> Any:
    if request.media_type != "application/json":
        raise _BadCall("the body must be application/json")
    rules = read_json(request.body)
    if not isinstance(rules, list):
        raise _BadCall("the body is a list of rules")
    upstream.script.add(*map(rule_from, rules))
    return upstream.script.shown()


def _clear_faults(upstream: Upstream, _request: Request) -> None:
    upstream.script.clear()


_Calls = Mapping[str, Mapping[str, Callable[[Upstream, Request], Any]]]
_CALLS: _Calls = MappingProxyType(
    {
        PREFIX: {"GET": _about, "DELETE": _clear},
        f"{PREFIX}/requests": {"GET": _requests, "DELETE": _clear_requests},
        f"{PREFIX}/effects": {"GET": _effects},
        f"{PREFIX}/bookings": {"GET": _bookings},
        f"{PREFIX}/faults": {"GET": _faults, "POST": _add_faults, "DELETE": _clear_faults},
    }
)
