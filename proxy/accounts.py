"""Who may use the dashboard: the rows, and what the command line changes in them."""

import hashlib
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Connection, Row, delete, insert, select, update

from proxy.actions import COMMAND_LINE, Action, note
from proxy.database import Database
from proxy.schema import admin_sessions, users

NAME_SAYS = "A name has 1 to 128 letters, digits and . _ @ + -, and begins with one of the first."
_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}\Z")


class Role(StrEnum):
    """What a user may do."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # look, and decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user."""

    name: str
    role: Role
    password: str | None  # argon2id; none for who comes through single sign-on only
    totp: bytes | None  # sealed
    totp_step: int  # the newest whose code was used
    failures: int  # in a row
    failed_at: int | None
    created_at: int
    disabled_at: int | None

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Return the account in a row."""
        return cls(**{**row._asdict(), "role": Role(row.role)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to become of an account."""

    do: str  # `add`, `disable`, `enable`, `reset`
    name: str
    role: str = Role.VIEWER
    password: str | None = None  # hashed
    totp: bytes | None = None  # sealed
    by: str = COMMAND_LINE

    def words(self) -> dict[str, str | None]:
        """Return it as it is handed to the running `serve`."""
        sealed = self.totp.hex() if self.totp else None
        return {**asdict(self), "totp": sealed}

    @classmethod
    def from_words(cls, words: dict[str, Any]) -> Self:
        """Return the change that *words* are."""
        sealed = bytes.fromhex(words["totp"]) if words["totp"] else None
        return cls(**{**words, "totp": sealed})


_BECAME = {
    "add": "user_added",
    "disable": "user_disabled",
    "enable": "user_enabled",
    "reset": "user_reset",
}


class Accounts:
    """The users; safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str) -> Account | None:
        """Return the account *name*."""
        with self._database.read() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
        return Account.of(row) if row else None

    def change(self, change: Change) -> str | None:
        """Do what *change* says; return why not if that can not be.

        A user who is disabled or reset is signed out everywhere by the same commit.
        """
        refused: str | None = self._database.write(self._change_each, change)
        return refused

    def welcome(self, name: str, role: Role, address: str | None) -> Account | None:
        """Return the account of who comes through single sign-on, made at the first time.

        The role is that of today. None if the user is disabled, or has a password: such an
        account is not the provider's to open.
        """
        asked = (name, role, address)
        account: Account | None = self._database.write(self._welcome_each, asked)
        return account

    def change_password(self, name: str, password: str, keep: str) -> bool:
        """Keep *password*, hashed, and no session of *name* but the one whose id is *keep*."""
        asked = (name, password, session_digest(keep))
        is_done: bool = self._database.write(_change_passwords, asked)
        return is_done

    def sign_out(self, name: str) -> None:
        """End every session of *name*."""
        self._database.write(_sign_out_each, name)

    def _welcome_each(
        self, connection: Connection, asked: list[tuple[str, Role, str | None]]
    ) -> list[Account | None]:
        now = self._database.now(connection)
        return [_welcomed(connection, *one, now) for one in asked]

    def _change_each(self, connection: Connection, asked: list[Change]) -> list[str | None]:
        now = self._database.now(connection)
        return [_changed(connection, change, now) for change in asked]


def is_name(text: str) -> bool:
    """True for what can be a user's name."""
    return _NAME.match(text) is not None


def listed(connection: Connection) -> list[Account]:
    """Return every account, by name."""
    return [Account.of(row) for row in connection.execute(select(users).order_by(users.c.name))]


def locked(connection: Connection, name: str) -> Account | None:
    """Return the account *name*, which nobody else changes until this transaction ends."""
    row = connection.execute(select(users).where(users.c.name == name).with_for_update())
    found = row.one_or_none()
    return Account.of(found) if found else None


def session_digest(key: str) -> bytes:
    """Return what is kept of a session's id: a stolen database opens no session."""
    return hashlib.sha256(key.encode()).digest()


def _sign_out_each(connection: Connection, names: list[str]) -> list[None]:
    connection.execute(delete(admin_sessions).where(admin_sessions.c.user.in_(names)))
    return [None] * len(names)


def _change_passwords(connection: Connection, asked: list[tuple[str, str, bytes]]) -> list[bool]:
    done = []
    for name, password, kept in asked:
        has_one = (users.c.name == name) & users.c.password.is_not(None)
        changed = connection.execute(update(users).where(has_one).values(password=password))
        others = (admin_sessions.c.user == name) & (admin_sessions.c.digest != kept)
        connection.execute(delete(admin_sessions).where(others))
        done.append(changed.rowcount == 1)
    return done


def _welcomed(
    connection: Connection, name: str, role: Role, address: str | None, now: int
) -> Account | None:
    found = locked(connection, name)
    if found is None:
        _added(connection, Change(do="add", name=name, role=role), None, now)
    elif found.password is not None or found.disabled_at is not None:
        return None
    connection.execute(update(users).where(users.c.name == name).values(role=role))
    note(connection, Action(user=name, action="signed_in", address=address), now)
    return locked(connection, name)


def _changed(connection: Connection, change: Change, now: int) -> str | None:
    if change.do not in _BECAME or not is_name(change.name):
        return NAME_SAYS
    found = locked(connection, change.name)
    does = _added if change.do == "add" else _altered
    refused = does(connection, change, found, now)
    if refused is None:
        done = Action(user=change.by, action=_BECAME[change.do], subject=change.name)
        note(connection, done, now)
    return refused


def _added(connection: Connection, change: Change, found: Account | None, now: int) -> str | None:
    if found is not None:
        return "There is a user of this name already."
    values = {
        "name": change.name,
        "role": Role(change.role),
        "password": change.password,
        "totp": change.totp,
        "totp_step": 0,
        "failures": 0,
        "created_at": now,
    }
    connection.execute(insert(users).values(values))
    return None


def _altered(connection: Connection, change: Change, found: Account | None, now: int) -> str | None:
    if found is None:
        return "There is no such user."
    if change.do == "reset" and found.password is None:
        return "This user comes through single sign-on and has no password."
    changes: dict[str, dict[str, Any]] = {
        "disable": {"disabled_at": now},
        "enable": {"disabled_at": None, "failures": 0, "failed_at": None},
        "reset": {
            "password": change.password,
            "totp": change.totp,
            "totp_step": 0,
            "failures": 0,
            "failed_at": None,
        },
    }
    altered = update(users).where(users.c.name == change.name).values(changes[change.do])
    connection.execute(altered)
    if change.do != "enable":
        _sign_out_each(connection, [change.name])
    return None
