"""POST /v1/choices: parse, verify, record, answer. From a page as a form, from a server as JSON."""

from typing import Any

from flask import Blueprint, Response, g, request

from proxy.choices import Message
from proxy.errors import Problem
from proxy.web import answers, calls, messages
from proxy.web.bodies import FORM, JSON, PAGE_BYTES, Body, announced
from proxy.web.callers import page
from proxy.web.forms import parse
from proxy.web.parts import Parts

_MEDIA = frozenset({FORM, JSON})


def blueprint(parts: Parts) -> Blueprint:
    """Serve the call that records one choice."""
    choices = Blueprint("choices", __name__)

    @choices.post("/v1/choices")
    def record() -> Response:
        environ = request.environ
        body = announced(environ, _MEDIA)
        g.is_server = body.media == JSON
        hear = _from_server if g.is_server else _from_page
        recorded = parts.intake.record(hear(parts, environ, body))
        return answers.as_json(answers.of_record(recorded, parts.signer.sign(recorded)), 202)

    return choices


def _from_page(parts: Parts, environ: dict[str, Any], body: Body) -> Message:
    length = body.within(PAGE_BYTES)
    terms = parts.terms()
    parts.limits.prefix(terms, environ)
    form = parse(parts.deadlines.read(environ, length), messages.FORM_FIELDS)
    if "token" not in form:
        raise Problem("token_missing")
    calls.refuse_query(environ)
    now_ms = parts.clock()
    caller = page(terms, form["token"], now_ms, environ)
    parts.limits.token(terms, caller.session)
    parts.limits.partner(terms, caller.partner.name)
    return messages.from_page(caller, form, now_ms)


def _from_server(parts: Parts, environ: dict[str, Any], body: Body) -> Message:
    partner, given = calls.opened(parts, parts.terms(), environ, body, messages.JSON_FIELDS)
    return messages.from_server(partner, given)
