"""What all calls of a partner's server have in common: key, query, document."""

from collections.abc import Mapping
from typing import Any

from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.strictjson import loads
from proxy.web import callers
from proxy.web.bodies import SERVER_BYTES, Body
from proxy.web.parts import Parts
from proxy.web.terms import Terms


def refuse_query(environ: dict[str, Any]) -> None:
    """Raise Problem if there is a query: what is said in an address ends in somebody's log."""
    if environ.get("QUERY_STRING"):
        raise Problem("invalid_request", "the address has a query")


def document(content: bytes, known: frozenset[str]) -> Mapping[str, object]:
    """Return the JSON object that *content* is; raise Problem if it has a field not in *known*."""
    try:
        value = loads(content)
    except ValueError:
        raise Problem("invalid_json") from None
    if not isinstance(value, dict):
        raise Problem("invalid_request", "the document is not an object")
    if not value.keys() <= known:
        raise Problem("invalid_request", "the document has an unknown field")
    return value


def opened(
    parts: Parts, terms: Terms, environ: dict[str, Any], body: Body, known: frozenset[str]
) -> tuple[PartnerSetting, Mapping[str, object]]:
    """Return who calls and what document it sends; the key is judged before any of it is read."""
    length = body.within(SERVER_BYTES)
    partner = callers.server(terms, environ)
    parts.limits.partner(terms, partner.name)
    refuse_query(environ)
    return partner, document(parts.deadlines.read(environ, length), known)
