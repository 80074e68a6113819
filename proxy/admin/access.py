"""Who may see and do what: nobody anything, until signed in. The pages lean on these names."""

import hmac
import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, cast

from flask import Flask, current_app, redirect, request, url_for
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
)
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from proxy.accounts import Role
from proxy.actions import Action, Actions
from proxy.admin import refusals
from proxy.admin.callers import address_here, is_secure, judge_host, now
from proxy.admin.parts import Parts
from proxy.admin.sessions import LIFE_MS, Owner, Session, Sessions
from proxy.errors import Problem, StorageUnavailable

CONFIRMED_MS = 5 * 60_000
# What a visitor may reach who is not signed in.
OPEN = frozenset(
    {
        "static",
        "access.login",
        "access.login_sent",
        "access.totp",
        "access.totp_sent",
        "single_sign_on.begin",
        "single_sign_on.finish",
    }
)
# Each text fits in one way at most: anybody may send one, and two ways a letter would take years.
_PLAIN = re.compile(r"\A/(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]*(?:\?[A-Za-z0-9=&_.:%+-]*)?\Z")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

P = ParamSpec("P")


class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Who is signed in, as the templates see it."""

    def __init__(self, owner: Owner) -> None:
        self.name = owner.name
        self.has_password = owner.has_password
        self.is_operator = owner.role is Role.OPERATOR

    def get_id(self) -> str:
        """Return the name."""
        return self.name


def install(app: Flask, parts: Parts) -> None:
    """Stand before every view of *app*: whoever is not signed in sees none but the open ones."""
    app.config.update(
        SECRET_KEY=_derived(parts.audit_key, b"optout.csrf.v1"),
        WTF_CSRF_TIME_LIMIT=LIFE_MS // 1000,
        WTF_CSRF_SSL_STRICT=False,  # it wants the Referer that our pages do not let go
    )
    secret = _derived(parts.audit_key, b"optout.admin-session.v1")
    app.session_interface = Sessions(parts.database, secret)
    app.extensions["actions"] = Actions(parts.database)
    refusals.install(app)
    app.before_request(_judge)
    CSRFProtect(app)  # after the judge: a stranger is not told what else is wrong
    manager = LoginManager(app)
    manager.session_protection = None  # the id is the proof; an address may change
    manager.user_loader(_load)


def session() -> Session:
    """Return the session of the request under way."""
    return cast(Session, request_ctx.session)


def user_of(session: Session) -> User | None:
    """Return who is signed in with *session*."""
    return User(session.owner) if session.owner else None


def user_name() -> str:
    """Return who asks."""
    return cast(str, current_user.name)


def record(action: str, subject: str | None = None) -> None:
    """Write down what the user did."""
    done = Action(user=user_name(), action=action, subject=subject, address=address_here())
    write_down(done)


def write_down(action: Action) -> None:
    """Write down what somebody did who is not signed in yet, or not any more."""
    cast(Actions, current_app.extensions["actions"]).record(action)


def operators_only(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Refuse a viewer."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if not current_user.is_operator:
            raise Problem("role_not_allowed")
        return view(*args, **kwargs)

    return guarded


def recently_confirmed(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Ask for password and code anew, unless that was done within five minutes."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
        if now() - int(session().get("confirmed_at", 0)) <= CONFIRMED_MS:
            return view(*args, **kwargs)
        if not refusals.wants_page():
            raise Problem("reauth_required")
        back = here()
        if request.method not in _SAFE_METHODS:  # the form must be sent again, by a person
            back = back.partition("?")[0].rpartition("/")[0]
        return redirect(url_for("access.confirm", next=back), 303)

    return guarded


def safe_next(text: str | None) -> str:
    """Return the address to go on to: a page of ours that *text* names, or the first one."""
    root = request.script_root
    if text and text.startswith(f"{root}/") and _PLAIN.match(text):
        path = text.removeprefix(root)
        if _is_page(path.partition("?")[0]):
            return text
    return f"{root}/"


def here() -> str:
    """Return the address of the request under way, as `safe_next` takes it."""
    return request.script_root + request.full_path.rstrip("?")


def _is_page(path: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    try:
        endpoint, _ = adapter.match(path, method="GET") if adapter else ("", {})
    except HTTPException:
        return False
    return bool(endpoint) and endpoint not in OPEN and endpoint != "access.confirm"


def _judge() -> Response | None:
    """Let through who is signed in, and to the open pages everybody; say to others where to go."""
    judge_host(request)
    if session().is_away:
        raise StorageUnavailable("the database can not be read")
    if request.method not in _SAFE_METHODS and not _is_own_form():
        raise Problem("csrf_failed")
    if request.endpoint in OPEN or current_user.is_authenticated:
        return None
    if request.method != "GET" or not refusals.wants_page():
        raise Problem("login_required")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":  # the cookie stays at home then
        return refusals.onward(here())
    return redirect(url_for("access.login", next=here()))


def _is_own_form() -> bool:
    """Tell whether a page of ours has sent it, as far as the browser says."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "null")  # which is what our policy makes of it
    return origin in ("null", f"{'https' if is_secure(request) else 'http'}://{request.host}")


def _load(name: str) -> User | None:
    user = user_of(session())
    return user if user and user.name == name else None


def _derived(audit_key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(audit_key, purpose, "sha256")
