"""Signing in through the company's own identity provider: OpenID Connect, code flow with PKCE.

The provider sends the browser back from another site, which keeps the session's cookie back.
So one of its own, good for ten minutes, holds the question, and everything else follows from it.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Blueprint, Response, current_app, make_response, redirect, request
from flask.typing import ResponseReturnValue

from proxy.accounts import Accounts, Role, is_name
from proxy.actions import UNKNOWN, Action
from proxy.admin import access, refusals
from proxy.admin.callers import address_here, is_secure, network_here, now, settings
from proxy.admin.parts import Parts
from proxy.admin.provider import Provider, ProviderAway
from proxy.admin.sign_in import enter
from proxy.admin.throttle import Waits
from proxy.errors import Problem
from proxy.settings import OidcSetting

LIFE_S = 600
_RETURN = "/admin/sso/return"
_FREE = 20  # failures of a network, whose every one is kept, before it waits
_LONGEST = 4_096  # of a code
log = structlog.get_logger("proxy.admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One question to the provider."""

    key: str
    at: int  # Unix seconds
    is_anew: bool
    goal: str  # where the user goes on to

    def text(self) -> str:
        """Return it as the cookie holds it."""
        goal = base64.urlsafe_b64encode(self.goal.encode()).decode().rstrip("=")
        return f"{self.key}.{self.at}.{int(self.is_anew)}.{goal}"

    def is_answered(self, state: str) -> bool:
        """Tell whether *state* is ours; it may be any text, and is compared as bytes."""
        return hmac.compare_digest(state.encode(), self.derived("state").encode())

    def derived(self, purpose: str) -> str:
        """Return what only we can make of this question: state, nonce, verifier."""
        secret: bytes = current_app.config["SECRET_KEY"]
        made = hmac.digest(secret, f"{purpose}\n{self.text()}".encode(), "sha256")
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def blueprint(parts: Parts) -> Blueprint:
    """Return the two addresses: where it begins, and where the provider sends back to."""
    pages = Blueprint("single_sign_on", __name__)
    door = _Door(Accounts(parts.database))
    pages.record_once(lambda setup: setup.app.extensions.update(sso_waits=Waits(free=_FREE)))

    pages.before_request(lambda: _waits().require(network_here()))
    pages.add_url_rule("/sso/begin", "begin", lambda: _begin(door))
    pages.add_url_rule("/sso/return", "finish", lambda: _finish(door))
    return pages


def _begin(door: "_Door") -> ResponseReturnValue:
    """Send the browser away with a question."""
    provider = door.provider()
    is_anew = request.args.get("again") == "yes"
    flow = Flow(
        key=secrets.token_urlsafe(16),
        at=now() // 1000,
        is_anew=is_anew,
        goal=access.safe_next(request.args.get("next")),
    )
    try:
        place = door.question(provider, flow)
    except ProviderAway as error:
        raise _failed(str(error)) from None
    response = make_response(redirect(place, 302))
    _tell(response, flow.text())
    return response


def _finish(door: "_Door") -> ResponseReturnValue:
    """Take the browser back with the answer."""
    provider, flow = door.provider(), _flow()
    if flow is None:
        raise _failed("it was begun in another browser, or too long ago")
    if not flow.is_answered(request.args.get("state", "")):
        raise _failed("the answer is to another question")
    code = request.args.get("code", "")
    if not 0 < len(code) <= _LONGEST:
        raise _failed("the provider let nobody in")
    door.enter(provider, flow, code)
    response = refusals.onward(access.safe_next(flow.goal))
    _tell(response, "")
    return response


class _Door:
    """Whom the provider vouches for, and what they may do here."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._provider: Provider | None = None

    def provider(self) -> Provider:
        """Return the provider in force; raise Problem if there is none."""
        setting = settings().admin.oidc
        if setting is None:
            raise Problem("not_found")
        if self._provider is None or self._provider.setting != setting:
            self._provider = Provider(setting)
        return self._provider

    def question(self, provider: Provider, flow: Flow) -> str:
        """Return the address of the provider that asks the user."""
        from proxy.admin import identity  # noqa: PLC0415  # Authlib loads where it is needed

        return identity.question(
            provider.endpoint("authorization_endpoint"),
            _expected(provider, flow),
            verifier=flow.derived("verifier"),
            state=flow.derived("state"),
            scope=" ".join(provider.setting.scopes),
            redirect_uri=_redirect_uri(),
        )

    def enter(self, provider: Provider, flow: Flow, code: str) -> None:
        """Sign in whom the provider names; raise Problem if it is nobody who may."""
        from proxy.admin import identity  # noqa: PLC0415  # Authlib loads where it is needed

        try:
            token = provider.token(code, flow.derived("verifier"), _redirect_uri())
            expected, at = _expected(provider, flow), now() // 1000
            try:
                claims = identity.claims_of(token, provider.keys(), expected, at)
            except identity.UnknownKey:
                claims = identity.claims_of(token, provider.keys(anew=True), expected, at)
        except (ProviderAway, identity.NotIdentified) as error:
            raise _failed(str(error)) from None
        name, role = _person(claims, provider.setting)
        account = self._accounts.welcome(name, role, address_here())
        if account is None:
            raise _failed("this user is disabled, or has an account with a password")
        enter(account, at=_proved_at(claims))


def _expected(provider: Provider, flow: Flow) -> Any:
    from proxy.admin import identity  # noqa: PLC0415  # Authlib loads where it is needed

    return identity.Expected(
        issuer=provider.issuer,
        client_id=provider.setting.client_id.read(),
        nonce=flow.derived("nonce"),
        asked_at=flow.at,
        is_anew=flow.is_anew,
    )


def _person(claims: dict[str, Any], setting: OidcSetting) -> tuple[str, Role]:
    """Return name and role; raise Problem if the user is on neither list."""
    name = claims.get(setting.name_claim)
    is_proved = claims.get("email_verified", True) is True
    if not isinstance(name, str) or not is_name(name):
        raise _failed(f"the claim {setting.name_claim} is no name")
    if setting.name_claim == "email" and not is_proved:
        raise _failed("the provider has not verified the address")
    given = claims.get(setting.groups_claim)
    words = {word for word in given if isinstance(word, str)} if isinstance(given, list) else set()
    words.add(str(claims["sub"]))
    words = {word for word in words if "@" not in word}  # what looks like an address must be one
    if isinstance(claims.get("email"), str) and is_proved:
        words.add(claims["email"])
    if words & set(setting.operators):
        return name, Role.OPERATOR
    if words & set(setting.viewers):
        return name, Role.VIEWER
    raise _failed("this user is in none of the groups that may")


def _proved_at(claims: dict[str, Any]) -> int:
    """Return when the user proved it to the provider, in ms; 0 if that is not said."""
    given = claims.get("auth_time")
    return int(given * 1000) if isinstance(given, int | float) else 0


def _failed(reason: str) -> Problem:
    """Note that nobody came in, and return what is said of it."""
    _waits().fail(network_here())
    log.warning("single_sign_on.failed", reason=reason)
    access.write_down(Action(user=UNKNOWN, action="sign_in_failed", address=address_here()))
    return Problem("login_failed", reason)


def _waits() -> Waits:
    waits: Waits = current_app.extensions["sso_waits"]
    return waits


def _redirect_uri() -> str:
    return f"{settings().admin.url}{_RETURN}"


def _flow() -> Flow | None:
    """Return the question that this browser was sent away with, unless that is too old."""
    text = request.cookies.get(_cookie_name(), "")
    try:
        key, at, is_anew, goal = text.split(".")
        plain = base64.urlsafe_b64decode(goal + "=" * (-len(goal) % 4)).decode()
        flow = Flow(key=key, at=int(at), is_anew=is_anew == "1", goal=plain)
    except ValueError:
        return None
    return flow if 0 <= now() // 1000 - flow.at <= LIFE_S and flow.text() == text else None


def _cookie_name() -> str:
    return "__Host-optout-sso" if is_secure(request) else "optout-sso"


def _tell(response: Response, text: str) -> None:
    """Hand the browser the question, or take it back."""
    secure = is_secure(request)
    response.set_cookie(
        _cookie_name(),
        text,
        max_age=LIFE_S if text else 0,
        path="/" if secure else "/admin",
        secure=secure,
        httponly=True,
        samesite="Lax",  # it must come along from the provider's site
    )
