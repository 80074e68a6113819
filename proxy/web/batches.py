"""POST /v1/choices/batch: many choices of a partner's server, a line each, in one commit."""

from typing import Any

from flask import Blueprint, Response, request

from proxy.choices import Message, Recorded
from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.web import answers, messages
from proxy.web.bodies import BATCH_BYTES, LINES, SERVER_BYTES, announced
from proxy.web.callers import server
from proxy.web.calls import document, refuse_query
from proxy.web.parts import Parts

MOST_LINES = 1_000


def blueprint(parts: Parts) -> Blueprint:
    """Serve the call that records many choices."""
    batches = Blueprint("batches", __name__)

    @batches.post("/v1/choices/batch")
    def record_all() -> Response:
        partner, lines = _opened(parts, request.environ)
        heard = [_hear(partner, line) for line in lines]
        answered = _record(parts, heard)
        text = "".join(_line(parts, one) for one in answered)
        return Response(text, content_type="application/x-ndjson")

    return batches


def _opened(parts: Parts, environ: dict[str, Any]) -> tuple[PartnerSetting, list[bytes]]:
    length = announced(environ, LINES).within(BATCH_BYTES)
    terms = parts.terms()
    partner = server(terms, environ)
    refuse_query(environ)
    lines = _split(parts.deadlines.read(environ, length))
    parts.limits.partner(terms, partner.name, cost=len(lines))
    return partner, lines


def _split(content: bytes) -> list[bytes]:
    """Return the lines of *content*; the last one may lack its newline."""
    if not content:
        raise Problem("invalid_json", "there is no line")
    lines = content.removesuffix(b"\n").split(b"\n")
    if len(lines) > MOST_LINES:
        raise Problem("body_too_large", "there are more than 1,000 lines")
    return lines


def _hear(partner: PartnerSetting, line: bytes) -> Message | Problem:
    if len(line) > SERVER_BYTES:
        return Problem("body_too_large", "the line is larger than 16 KiB")
    try:
        return messages.from_server(partner, document(line, messages.JSON_FIELDS))
    except Problem as problem:
        return problem


def _record(parts: Parts, heard: list[Message | Problem]) -> list[Recorded | Problem]:
    """Record the messages in one commit; return one answer for each line, in their order."""
    said = [one for one in heard if isinstance(one, Message)]
    recorded = iter(parts.intake.record_all(said) if said else ())
    return [one if isinstance(one, Problem) else next(recorded) for one in heard]


def _line(parts: Parts, answer: Recorded | Problem) -> str:
    if isinstance(answer, Problem):
        return answers.compact(answers.of_problem(answer)) + "\n"
    return answers.compact(answers.of_record(answer, parts.signer.sign(answer))) + "\n"
