"""What is said back: a choice as it is recorded, an offer as it stands, a problem."""

import json
import random
from typing import Any

from flask import Response, g

from proxy.choices import Recorded
from proxy.errors import CODES, Problem
from proxy.register import Offer

PROBLEM = "application/problem+json"


compact = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` would make one for each


def as_json(value: object, status: int = 200) -> Response:
    """Return the answer that *value* is."""
    return Response(compact(value), status, content_type="application/json")


def of_record(recorded: Recorded, receipt: str) -> dict[str, Any]:
    """Return the body of a 202: the register's state after the message, and the proof of it."""
    return {
        "id": recorded.id,
        "offer": recorded.offer,
        "choice": recorded.choice,
        "report": recorded.report,
        "replayed": recorded.replayed,
        "superseded": recorded.superseded,
        "conflict": recorded.conflict,
        "receipt": receipt,
    }


def of_offer(offer: Offer) -> dict[str, Any]:
    """Return what a partner may know of its own offer."""
    return {
        "offer": offer.offer,
        "upstream": offer.upstream,
        "choice": offer.choice,
        "seq": offer.seq,
        "purchased": offer.purchased,
        "order": offer.order,
        "report": offer.report,
        "conflict": bool(offer.conflicts),
        "implicit": offer.implicit,
        "late": offer.late,
        "attempts": offer.attempts,
    }


def request_id() -> str:
    """Return the request's id, which a caller can quote and every line of its log shows."""
    given: str | None = g.get("request_id")
    if given is None:
        given = g.request_id = f"{random.getrandbits(64):016x}"  # it names, it proves nothing
    return given


def of_problem(problem: Problem) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457); `code` is on the closed list."""
    members = {
        "code": problem.code,
        "status": problem.status,
        "title": CODES[problem.code].title,
        "request_id": request_id(),
    }
    return members | {"detail": problem.detail} if problem.detail else members


def refusal(problem: Problem) -> Response:
    """Return the answer that *problem* is."""
    body = compact(of_problem(problem))
    response = Response(body, problem.status, content_type=PROBLEM)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.code == "server_key_invalid":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
