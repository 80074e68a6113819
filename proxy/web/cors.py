"""Which pages may read an answer: flask-cors, asked only about an origin that is configured.

By itself flask-cors ignores case, reads some origins as patterns, and takes its list once, at the
start. So the list is looked at here, byte for byte, as the settings have it now.
"""

import re
from functools import lru_cache
from typing import Any, cast

from flask import Request, Response, g
from flask_cors import cross_origin

from proxy.web.terms import InForce

PAGE_CALL = "/v1/choices"  # the only call that a page makes

_OPTIONS: dict[str, Any] = {
    "methods": ["POST"],
    "allow_headers": ["Content-Type"],
    "expose_headers": ["Retry-After"],
    "always_send": False,
    "automatic_options": False,
    "vary_header": False,  # the guard says it of every answer
}

_PRIVATE_NETWORK = "Access-Control-Allow-Private-Network"  # flask-cors says "false"; we say nothing

Headers = tuple[tuple[str, str], ...]


def share(response: Response, request: Request, terms: InForce) -> Response:
    """Let the page read *response* if its origin is configured; nobody else gets a CORS header."""
    origin = request.environ.get("HTTP_ORIGIN")
    if origin is None or not _is_for_pages(request) or origin not in terms().origins:
        return response
    granted = _judged if request.method == "OPTIONS" else _granted
    response.headers.extend(granted(origin))
    return response


def _is_for_pages(request: Request) -> bool:
    """A server's call is no page's business, nor a refusal to a page of another partner."""
    is_server = request.path != PAGE_CALL or g.get("is_server", False)
    return not is_server and g.get("code") != "origin_not_allowed"


def _judged(origin: str) -> Headers:
    """Return what flask-cors says of *origin*, taken literally, to the request under way."""
    stamp = cross_origin(origins=[re.compile(re.escape(origin))], **_OPTIONS)(Response)
    said = dict(cast(Response, stamp()).headers)
    return tuple((name, said[name]) for name in said if _is_ours(name))


def _is_ours(name: str) -> bool:
    return name.startswith("Access-Control-") and name != _PRIVATE_NETWORK


# To a call that is no preflight it always says the same.
_granted = lru_cache(maxsize=1024)(_judged)
