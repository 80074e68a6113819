"""Sessions of the dashboard, kept in the database: the cookie holds an id and nothing else.

A visitor who is not signed in has no row: the token of the form is derived from the cookie's id.
"""

import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SessionInterface
from sqlalchemy import Connection, delete, insert, select, update

from proxy.accounts import Role, session_digest
from proxy.admin.callers import is_secure
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.schema import admin_sessions, users

IDLE_MS = 30 * 60_000
LIFE_MS = 12 * 3_600_000
FORM_TOKEN = "csrf_token"  # noqa: S105  # a name
_MINUTE_MS = 60_000
_ID = re.compile(r"\A[A-Za-z0-9_-]{22}\Z")
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who is signed in with a session."""

    name: str
    role: Role
    has_password: bool


class Session(SecureCookieSession):
    """What one visitor's requests share."""

    def __init__(self, key: str, secret: bytes) -> None:
        super().__init__()
        self.owner: Owner | None = None
        self.stored: str | None = None  # the id that has a row
        self.is_told = False  # the visitor has the cookie
        self.is_stale = False  # its row should say that it was seen
        self.is_away = False  # the database could not be read
        self._secret = secret
        self._begin(key)
        self.modified = False

    def renew(self, owner: Owner | None = None) -> None:
        """Begin anew under another id, empty: who knew the old one knows nothing now."""
        self.owner, self.is_told = owner, False
        self.clear()
        self._begin(new_key())

    def resume(self, content: dict[str, Any]) -> None:
        """Take up what was stored."""
        self.update(content)
        self.modified = False

    def content(self) -> dict[str, Any]:
        """Return what is to be stored."""
        return {name: value for name, value in self.items() if name != FORM_TOKEN}

    def _begin(self, key: str) -> None:
        self.key = key
        self[FORM_TOKEN] = hmac.new(self._secret, key.encode(), "sha256").hexdigest()


class Sessions(SessionInterface):
    """Opens and keeps them; safe to use from many threads and processes."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    def open_session(self, app: Flask, request: Request) -> Session:  # noqa: ARG002  # Flask's own
        """Return the session that the cookie names, or a new one."""
        key = request.cookies.get(cookie_name(request), "")
        if not _ID.match(key):
            return Session(new_key(), self._secret)
        session = Session(key, self._secret)
        session.is_told = True
        try:
            with self._database.read() as connection:
                _look_up(connection, session, self._database.now(connection))
        except StorageUnavailable:
            session.is_away = True
        return session

    def save_session(  # type: ignore[override]  # ours is the only kind
        self,
        app: Flask,  # noqa: ARG002  # Flask's own
        session: Session,
        response: Response,
    ) -> None:
        """Write what has changed, and tell the visitor the id unless it is known."""
        is_needed = session.owner is not None or bool(session.content())
        has_changed = session.modified and (is_needed or session.stored)
        if not session.is_away and (has_changed or session.is_stale):
            try:
                self._database.write(_save_each, (session, is_needed, self._database))
            except StorageUnavailable as error:
                response.status_code = error.status
                response.set_data(b"Nothing was stored; try again.")
                response.content_type = "text/plain; charset=utf-8"
                return
        is_page = response.mimetype == "text/html" and response.location is None
        if not session.is_told and (is_needed or is_page):  # with a form that names the session
            secure = is_secure(request)
            response.set_cookie(
                cookie_name(request),
                session.key,
                path="/" if secure else "/admin",
                secure=secure,
                httponly=True,
                samesite="Strict",
            )


def cookie_name(request: Request) -> str:
    """Return the cookie's name: a browser refuses the prefix over plain http, even to itself."""
    return "__Host-optout-admin" if is_secure(request) else "optout-admin"


def new_key() -> str:
    """Return an id of 128 bits."""
    return secrets.token_urlsafe(_ID_BYTES)


def _look_up(connection: Connection, session: Session, now: int) -> None:
    """Fill *session* from its row, unless that is too old or its user is disabled."""
    query = (
        select(
            admin_sessions.c.data,
            admin_sessions.c.seen_at,
            users.c.name,
            users.c.role,
            users.c.password.is_not(None).label("has_password"),
        )
        .outerjoin_from(admin_sessions, users, users.c.name == admin_sessions.c.user)
        .where(
            admin_sessions.c.digest == session_digest(session.key),
            admin_sessions.c.created_at > now - LIFE_MS,
            admin_sessions.c.seen_at > now - IDLE_MS,
            users.c.disabled_at.is_(None),
        )
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    if row.name is not None:
        session.owner = Owner(name=row.name, role=Role(row.role), has_password=row.has_password)
    session.stored = session.key
    session.resume(json.loads(row.data))
    session.is_stale = now - row.seen_at > _MINUTE_MS


def _save_each(connection: Connection, asked: list[tuple[Session, bool, Database]]) -> list[None]:
    for session, is_needed, database in asked:
        _save(connection, session, database.now(connection), is_needed=is_needed)
    return [None] * len(asked)


def _save(connection: Connection, session: Session, now: int, *, is_needed: bool) -> None:
    row = admin_sessions.c.digest
    if session.stored and (session.stored != session.key or not is_needed):
        connection.execute(delete(admin_sessions).where(row == session_digest(session.stored)))
    if not is_needed:
        return
    values = {"data": json.dumps(session.content()), "seen_at": now}
    if session.stored == session.key:  # if it was ended meanwhile, it stays so
        connection.execute(
            update(admin_sessions).where(row == session_digest(session.key)).values(values)
        )
        return
    is_old = (admin_sessions.c.created_at <= now - LIFE_MS) | (
        admin_sessions.c.seen_at <= now - IDLE_MS
    )
    connection.execute(delete(admin_sessions).where(is_old))
    owner = session.owner.name if session.owner else None
    values |= {"digest": session_digest(session.key), "user": owner, "created_at": now}
    connection.execute(insert(admin_sessions).values(values))
