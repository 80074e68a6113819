"""Signing in: name and password, then a one-time code. Signing out, and proving oneself anew."""

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask_login import current_user, login_user

from proxy import passwords
from proxy.accounts import Account, Accounts, session_digest
from proxy.admin import access, refusals
from proxy.admin.callers import is_local, is_secure, now, settings
from proxy.admin.door import Door
from proxy.admin.parts import Parts
from proxy.admin.sessions import Owner
from proxy.errors import CODES, Problem

PENDING_MS = 5 * 60_000  # between password and code
_LONGEST_NAME = 128
_LONGEST_CODE = 16


def blueprint(parts: Parts) -> Blueprint:
    """Return the pages of signing in and out."""
    pages = Blueprint("access", __name__)
    door = Door(parts)
    _add_password(pages, door)
    _add_code(pages, door, Accounts(parts.database))
    _add_confirmation(pages, door)

    @pages.post("/logout")
    def logout() -> Response:
        access.record("signed_out")
        access.session().renew()
        return _to(url_for("access.login"))

    return pages


def _add_password(pages: Blueprint, door: Door) -> None:
    @pages.get("/login")
    def login() -> Response:
        return _to(_next()) if current_user.is_authenticated else _form("login")

    @pages.post("/login", endpoint="login_sent")
    def send() -> Response:
        try:
            _require_cover()
            name = _field("name", _LONGEST_NAME)
            account = door.password(name, _field("password", passwords.LONGEST), "sign_in_failed")
        except Problem as problem:
            return _refused("login", problem, name=request.form.get("name", "")[:_LONGEST_NAME])
        session = access.session()
        session.renew()
        session["pending"] = {"name": account.name, "at": now(), "by": _proof(account)}
        return _to(url_for("access.totp", next=_next()))


def _add_code(pages: Blueprint, door: Door, accounts: Accounts) -> None:
    @pages.get("/totp")
    def totp() -> Response:
        if _pending(accounts) is None:
            return _to(url_for("access.login", next=_next()))
        return _form("totp")

    @pages.post("/totp", endpoint="totp_sent")
    def send() -> Response:
        account = _pending(accounts)
        if account is None:
            return _refused("totp", Problem("totp_failed", "begin again with the password"))
        try:
            door.code(account, _field("code", _LONGEST_CODE), "code_failed", "signed_in")
        except Problem as problem:
            return _refused("totp", problem)
        enter(account, now())
        return _to(_next())


def _add_confirmation(pages: Blueprint, door: Door) -> None:
    @pages.get("/confirm")
    def confirm() -> Response:
        return _form("confirm")

    @pages.post("/confirm", endpoint="confirm_sent")
    def send() -> Response:
        name, password = access.user_name(), _field("password", passwords.LONGEST)
        try:
            account = door.password(name, password, "confirm_failed")
            door.code(account, _field("code", _LONGEST_CODE), "confirm_failed", "confirmed")
        except Problem as problem:
            return _refused("confirm", problem)
        access.session()["confirmed_at"] = now()
        return _to(_next())


def enter(account: Account, at: int) -> None:
    """Sign *account* in, under an id that nobody has seen yet; it was proved *at* some time."""
    session = access.session()
    session.renew(
        Owner(name=account.name, role=account.role, has_password=account.password is not None)
    )
    session["confirmed_at"] = at
    user = access.user_of(session)
    if user is None or not login_user(user):
        raise Problem("login_failed")


def _pending(accounts: Accounts) -> Account | None:
    """Return whose password was right a moment ago, in this session."""
    pending = access.session().get("pending")
    if not pending or now() - pending["at"] > PENDING_MS:
        return None
    account = accounts.find(pending["name"])
    if account is None or account.disabled_at is not None:
        return None
    return account if pending.get("by") == _proof(account) else None  # changed meanwhile


def _proof(account: Account) -> str:
    """Return what stands for the password that was right."""
    return session_digest(account.password or "").hex()


def _require_cover() -> None:
    """Take no password that others could read on its way."""
    if not is_secure(request) and not is_local(request):
        raise Problem("login_failed", "this address has no TLS, so that a password would be seen")


def _field(name: str, longest: int) -> str:
    given = request.form.get(name, "")
    if len(given) > longest or "\x00" in given:
        raise Problem("login_failed")
    return given


def _next() -> str:
    return access.safe_next(request.values.get("next"))


def _to(place: str) -> Response:
    return make_response(redirect(place, 303 if request.method == "POST" else 302))


def _form(form: str, status: int = 200, **more: object) -> Response:
    page = render_template(
        f"admin/{form}.html",
        next=_next(),
        has_sso=settings().admin.oidc is not None,
        is_covered=is_secure(request) or is_local(request),
        **more,
    )
    return make_response(page, status)


def _refused(form: str, problem: Problem, **more: object) -> Response:
    """Show the form again with what was wrong, or say it to a program."""
    if not refusals.wants_page():
        raise problem
    response = _form(form, problem.status, fault=_sentence(problem), **more)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _sentence(problem: Problem) -> str:
    title = CODES[problem.code].title
    if problem.retry_after is not None:
        return f"{title} Wait {problem.retry_after} s."
    return title
