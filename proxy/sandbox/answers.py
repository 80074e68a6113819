"""What the insurer answers, in its own words: as recorded, documented, or the nearest guess."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from proxy.sandbox.packages import Package
from proxy.sandbox.routes import Call
from proxy.sandbox.wire import Answer, Headers, json_answer

_EDGE: Headers = (
    ("Server", "cloudflare"),
    ("CF-Cache-Status", "DYNAMIC"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
)
_XCOVER: Headers = (
    *_EDGE,
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_XONE: Headers = (*_EDGE, ("Cache-Control", "no-cache, private"), ("X-XSS-Protection", "1"))

_XCOVER_WORDS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        400: ("validation_error", "JSON parse error - unexpected end of data"),
        401: ("auth_error", "No valid API key was provided"),
        403: ("auth_error", "You do not have permission to access this url"),
        404: ("api_error", "Quote package does not exist"),
        405: ("api_error", "Method not allowed."),
        409: ("api_error", "Duplicated request"),
        415: ("api_error", "Unsupported media type in request."),
        422: ("validation_error", "An API error occurred."),
        423: ("api_error", "Resource is locked"),
        429: ("api_error", "Request was throttled. Expected available in 1 second."),
        500: ("api_error", "Internal server error"),
    }
)
_XONE_WORDS: Mapping[int, str] = MappingProxyType(
    {
        400: "JSON parse error - unexpected end of data",
        401: "Unauthenticated.",
        403: "Invalid scope(s) provided.",
        404: "Not Found.",
        405: "The method is not supported for this route.",
        409: "Duplicated request",
        415: "Unsupported media type in request.",
        422: "The given data was invalid.",
        423: "Resource is locked",
        429: "Request was throttled. Expected available in 1 second.",
    }
)


def _headers(call: Call | None) -> Headers:
    if call is not None and call.scheme == "hmac":
        return (("Allow", call.allow), *_XCOVER)
    return _XCOVER if call is None else _XONE


def refusal(
    call: Call | None, status: int, message: str | None = None, *, errors: object = None
) -> Answer:
    """Return the error *status* as the API of *call* words it, with *message* and *errors*."""
    more = {} if errors is None else {"errors": errors}
    if call is not None and call.scheme != "hmac":
        text = _XONE_WORDS.get(status, "Server Error")
        return json_answer(status, {"message": message or text, **more}, _headers(call))
    kind, text = _XCOVER_WORDS.get(status, ("api_error", "A server error occurred."))
    body = {"type": kind, "message": message or text, **more}
    return json_answer(status, body, _headers(call))


def no_such_path() -> Answer:
    """Return the 404 for a path that is no call: never a redirect to the right slash."""
    return refusal(None, 404, "Not found.")


def wrong_method(call: Call) -> Answer:
    """Return the 405 that names the right method."""
    answer = refusal(call, 405)
    return answer if call.scheme == "hmac" else answer.extended(("Allow", call.allow))


def described(call: Call) -> Answer:
    """Return the answer to OPTIONS."""
    return Answer(200, (("Allow", call.allow), *_EDGE))


def throttled(call: Call, wait: float) -> Answer:
    """Return the 429 for a call that comes *wait* seconds too early."""
    seconds = max(1, math.ceil(wait))
    unit = "second" if seconds == 1 else "seconds"
    text = f"Request was throttled. Expected available in {seconds} {unit}."
    return refusal(call, 429, text).extended(("Retry-After", str(seconds)))


def repeated(call: Call) -> Answer:
    """Return the 409 for a request that was answered before: the stored body, which is empty."""
    return Answer(409, _headers(call))


def pretended(call: Call) -> Answer:
    """Return a success that nothing stands behind, for a fault to spoil."""
    return Answer(204, _headers(call)) if call.scheme == "hmac" else json_answer(200, {})


def opted_out(call: Call, package: Package) -> Answer:
    """Return the success of an opt-out."""
    if call.name == "xone-offers":
        return json_answer(200, {}, _headers(call))  # its body is not documented
    if call.name == "xone-quotes":
        return json_answer(200, {"data": package.as_xone()}, _headers(call))
    return Answer(204, _headers(call))  # as recorded: no body, no Content-Type


def shown(call: Call, package: Package) -> Answer:
    """Return a quote package."""
    return json_answer(200, package.as_xcover(call.partner), _headers(call))


def booked(call: Call, package: Package, *, anew: bool) -> Answer:
    """Return the answer to a confirmation: a booking, or that there was one."""
    body = package.as_xcover(call.partner)
    if anew:
        return json_answer(201, body, _headers(call))
    text = f"Booking already exists for fast_quote_id {call.offer}. INS number: "
    return refusal(call, 422, errors=[text + body["ins_number"]])
