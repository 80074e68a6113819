"""The first and the last to see every request: host and target before, headers after."""

from functools import partial

from flask import Flask, Response, g, request

from proxy.errors import Problem
from proxy.web.cors import share
from proxy.web.deadlines import Deadlines, is_left_over
from proxy.web.ops import HEALTH, Refusals
from proxy.web.problems import answer, dress, problem_of
from proxy.web.terms import InForce

_OK = 200
_NO_CONTENT = 204


class Guard:
    """What holds for every call of the public listener."""

    def __init__(self, terms: InForce, deadlines: Deadlines, refusals: Refusals) -> None:
        self._terms = terms
        self._deadlines = deadlines
        self._refusals = refusals

    def protect(self, app: Flask) -> None:
        """Stand before and behind every handler of *app*."""
        app.before_request(self._judge)
        app.after_request(self._dress)
        app.register_error_handler(Exception, self._refuse)

    def _judge(self) -> None:
        """Refuse another host, and a target that two readers could understand differently."""
        environ = request.environ
        path = environ.get("PATH_INFO", "")
        if path != HEALTH and environ.get("HTTP_HOST") != self._terms().host:
            raise Problem("host_not_allowed")
        judge_target(environ.get("RAW_URI") or environ.get("REQUEST_URI") or path, path)

    def _refuse(self, error: Exception) -> Response:
        g.code = problem_of(error).code
        self._refusals.count(g.code)
        return answer(error)

    def _dress(self, response: Response) -> Response:
        headers = dress(response).headers
        if request.method == "OPTIONS" and response.status_code == _OK:
            response.status_code = _NO_CONTENT
            headers.remove("Content-Type")
        if is_left_over(request.environ):
            response.call_on_close(partial(self._deadlines.leave, request.environ))
        if not request.path.startswith("/v1/"):
            return response
        headers["Vary"] = "Origin"
        return share(response, request, self._terms)


def judge_target(target: str, path: str) -> None:
    """Raise Problem unless *target* is *path*, plain, with or without a query.

    Escapes, doubled slashes and fragments are read in different ways on the way to us.
    """
    if not target.startswith("/"):
        raise Problem("host_not_allowed", "the target is not a path")
    if target.startswith("//") or target.partition("?")[0] != path:
        raise Problem("not_found")
