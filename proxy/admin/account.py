"""Pages about users: one's own account, all of them, and what they did."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import Connection, func, select
from werkzeug.wrappers import Response

from proxy import actions, passwords
from proxy.accounts import Accounts
from proxy.admin import access, asked
from proxy.admin.parts import Parts
from proxy.admin.sessions import IDLE_MS, LIFE_MS
from proxy.errors import Problem
from proxy.schema import admin_sessions, users

_PAGE = 100  # actions


def blueprints(parts: Parts) -> tuple[Blueprint, ...]:
    """Return the three pages, each under a name of its own."""
    return (_account(parts), _users(parts), _activity(parts))


def _account(parts: Parts) -> Blueprint:
    pages = Blueprint("account", __name__)
    accounts = Accounts(parts.database)

    def page(fault: str | None = None) -> str:
        with parts.database.read() as connection:
            there = _sessions(connection, access.user_name(), parts.database.now(connection))
        return render_template(
            "admin/account.html", sessions=there, shortest=passwords.SHORTEST, fault=fault
        )

    @pages.get("/account")
    def show() -> str:
        return page()

    @pages.post("/account/password")
    @access.recently_confirmed
    def change_password() -> Response | tuple[str, int]:
        name, password = access.user_name(), request.form.get("password", "")
        fault = passwords.fault(password, name)
        if password != request.form.get("again", ""):
            fault = "The two passwords differ."
        if fault:
            return page(fault), 422
        if not accounts.change_password(
            name, passwords.hashed(password), keep=access.session().key
        ):
            raise Problem("invalid_request", "you come through single sign-on")
        access.record("password_changed")
        flash("The password is changed, and you are signed out in all other browsers.", "good")
        return redirect(url_for("account.show"), 303)

    @pages.post("/account/sign-out")
    def sign_out_everywhere() -> Response:
        access.record("signed_out_everywhere")
        accounts.sign_out(access.user_name())
        access.session().renew()
        return redirect(url_for("access.login"), 303)

    return pages


def _users(parts: Parts) -> Blueprint:
    pages = Blueprint("users", __name__)

    @pages.get("/users")
    def listed() -> str:
        with parts.database.read() as connection:
            rows = _everybody(connection, parts.database.now(connection))
        return render_template("admin/users.html", users=rows)

    return pages


def _activity(parts: Parts) -> Blueprint:
    pages = Blueprint("activity", __name__)

    @pages.get("/activity")
    def listed() -> str:
        before = _before()
        with parts.database.read() as connection:
            found = actions.listed(connection, before, _PAGE + 1)
        more = found[_PAGE - 1]["id"] if len(found) > _PAGE else None
        return render_template("admin/activity.html", actions=found[:_PAGE], before=more)

    return pages


def _before() -> int | None:
    """Return the id that the page ends before; raise Problem if it is none."""
    given = request.args.to_dict(flat=False)
    text = given.pop("before", ["x"] if given else [""])
    if given or len(text) > 1:
        raise Problem("invalid_request", "only `before` is known here")
    if not text[0]:
        return None
    before = asked.number("before", text[0])
    if not before:
        raise Problem("invalid_request", "`before` is the number of an action")
    return before


def _is_alive(now: int) -> Any:
    young = admin_sessions.c.created_at > now - LIFE_MS
    return young & (admin_sessions.c.seen_at > now - IDLE_MS)


def _sessions(connection: Connection, name: str, now: int) -> int:
    mine = (admin_sessions.c.user == name) & _is_alive(now)
    query = select(func.count()).select_from(admin_sessions).where(mine)
    return int(connection.execute(query).scalar_one())


def _everybody(connection: Connection, now: int) -> list[dict[str, Any]]:
    """Return every user, with the time of the latest page where a session is alive."""
    seen = (
        select(admin_sessions.c.user, func.max(admin_sessions.c.seen_at).label("seen_at"))
        .where(_is_alive(now))
        .group_by(admin_sessions.c.user)
        .subquery()
    )
    query = (
        select(
            users.c.name,
            users.c.role,
            users.c.created_at,
            users.c.disabled_at,
            users.c.password.is_not(None).label("has_password"),
            seen.c.seen_at,
        )
        .outerjoin_from(users, seen, seen.c.user == users.c.name)
        .order_by(users.c.name)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
