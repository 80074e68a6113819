"""Whatever goes wrong in the dashboard: as a page, or as a problem document to whom asks for one.

And what every answer carries, whether it went well or not.
"""

from flask import Flask, Response, make_response, render_template, request
from flask_wtf.csrf import CSRFError

from proxy.admin.callers import is_secure
from proxy.errors import CODES, Problem
from proxy.web import problems
from proxy.web.answers import PROBLEM

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
_OVER_TLS = "max-age=31536000; includeSubDomains"


def install(app: Flask) -> None:
    """Stand behind every view of *app*."""
    app.register_error_handler(Exception, answer)
    app.after_request(_dress)


def wants_page() -> bool:
    """Tell whether a page is an answer to whoever asks: only then is there somebody to read it."""
    return request.accept_mimetypes.best_match([PROBLEM, "application/json", "text/html"]) == (
        "text/html"
    )


def answer(error: Exception) -> Response:
    """Return what is said of *error*."""
    if isinstance(error, CSRFError):
        error = Problem("csrf_failed")
    response = problems.answer(error)
    if wants_page():
        problem = problems.problem_of(error)
        told = response.get_json(force=True)
        page = render_template(
            "admin/problem.html", problem=problem, title=CODES[problem.code].title, told=told
        )
        response.set_data(page)
        response.content_type = "text/html; charset=utf-8"
    return make_response(response)


def onward(place: str) -> Response:
    """Return a page that goes on to *place* by itself.

    A browser that comes from another site keeps our cookie back, also when it is sent on; from a
    page of ours it brings it along.
    """
    return make_response(render_template("admin/onward.html", place=place))


def _dress(response: Response) -> Response:
    """Put on *response* what every answer of the dashboard carries."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)  # the report brings a policy of its own
    if is_secure(request):
        response.headers["Strict-Transport-Security"] = _OVER_TLS
    return response
