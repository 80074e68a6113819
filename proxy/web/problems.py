"""Whatever goes wrong, as an answer on the closed list. The last resort of both listeners."""

import traceback

import structlog
from flask import Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from proxy.errors import Problem
from proxy.web.answers import refusal, request_id

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_REDIRECT = range(300, 400)
_REFUSAL = range(400, 500)
_DEPTH = 4  # innermost places that a log line names
_SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def problem_of(error: Exception) -> Problem:
    """Return the problem that *error* is to the caller."""
    if isinstance(error, Problem):
        return error
    status = error.code if isinstance(error, HTTPException) else None
    if status in _REDIRECT:  # the body of a POST would be lost on the way, or sent twice
        return Problem("not_found")
    fallback = "invalid_request" if status in _REFUSAL else "internal_error"
    return Problem(_CODES.get(status or 0, fallback))


def answer(error: Exception) -> Response:
    """Return what is said of *error*, and log what nobody expected."""
    problem = problem_of(error)
    if problem.code == "internal_error":
        _report(error)
    response = refusal(problem)
    if isinstance(error, MethodNotAllowed):
        response.allow.update(error.valid_methods or ())
    return response


def dress(response: Response) -> Response:
    """Put on *response* what every answer of both listeners carries, unless it says otherwise."""
    headers = response.headers
    said = {name for name, _ in headers}  # one look at them, not one for each name
    headers.extend((name, value) for name, value in _SAFE.items() if name not in said)
    return response


def _report(error: Exception) -> None:
    """Log what went wrong and where, without a word of its message: that may quote a customer."""
    frames = traceback.extract_tb(error.__traceback__)[-_DEPTH:]
    structlog.get_logger("proxy.web").error(
        "request.failed",
        request_id=request_id(),
        error=type(error).__name__,
        where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
