"""Access tokens of the OAuth client credentials grant: issued, checked, forgotten."""

import hmac
import secrets
from collections.abc import Callable
from http import HTTPStatus
from threading import Lock

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.signatures import Proof
from proxy.sandbox.wire import Answer, NotJson, Request, json_answer, read_json

_FIELDS = ("grant_type", "client_id", "client_secret")


def _error(status: int, code: str, text: str) -> Answer:
    body = {"error": code, "error_description": text, "message": text}
    return json_answer(status, body, (("Cache-Control", "no-store"),))


class AccessTokens:
    """The access tokens that one client holds; safe for many threads."""

    def __init__(self, options: SandboxOptions, clock: Callable[[], int]) -> None:
        self._options = options
        self._clock = clock
        self._lock = Lock()
        self._expires_at: dict[str, int] = {}

    def answer(self, request: Request, *, refuse: bool = False) -> Answer:
        """Answer a call of the token endpoint; *refuse* takes every secret for wrong."""
        try:
            fields = read_json(request.body) if request.media_type == "application/json" else None
        except NotJson as error:
            return _error(HTTPStatus.BAD_REQUEST, "invalid_request", f"JSON parse error - {error}")
        if not isinstance(fields, dict) or not all(type(fields.get(f)) is str for f in _FIELDS):
            text = "The request needs a JSON body with grant_type, client_id and client_secret."
            return _error(HTTPStatus.BAD_REQUEST, "invalid_request", text)
        if fields["grant_type"] != "client_credentials":
            text = "The authorization grant type is not supported by the authorization server."
            return _error(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", text)
        if refuse or not self._is_client(fields):
            text = "Client authentication failed"
            return _error(HTTPStatus.UNAUTHORIZED, "invalid_client", text)
        return self._issue()

    def _is_client(self, fields: dict[str, str]) -> bool:
        options = self._options
        right = f"{options.client_id}\n{options.client_secret}".encode()
        sent = f"{fields['client_id']}\n{fields['client_secret']}".encode("utf-8", "replace")
        return hmac.compare_digest(sent, right)

    def _issue(self) -> Answer:
        token, now = secrets.token_urlsafe(48), self._clock()
        seconds = self._options.token_lifetime.total_seconds()
        with self._lock:
            alive = {old: end for old, end in self._expires_at.items() if end > now}
            self._expires_at = {**alive, token: now + int(seconds * 1000)}
        body = {"token_type": "Bearer", "expires_in": int(seconds), "access_token": token}
        return json_answer(HTTPStatus.OK, body, (("Cache-Control", "no-store"),))

    def check(self, request: Request, *, refuse: bool = False) -> Proof:
        """Return whether *request* carries a token that is known and not expired.

        *refuse* takes every token for unknown.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            expires_at = self._expires_at.get(token)
        why_not = None
        if scheme.lower() != "bearer":
            why_not = "the Authorization header has not the scheme Bearer"
        elif expires_at is None or refuse:
            why_not = "the access token is unknown"
        elif expires_at <= self._clock():
            why_not = "the access token has expired"
        return Proof(scheme="Bearer", verified=why_not is None, why_not=why_not)

    def forget(self) -> None:
        """Make every token issued so far unknown."""
        with self._lock:
            self._expires_at = {}
