"""Attempts to sign in: each is counted before it is judged, so that none is for free.

Several processes may judge at once: the row says what all of them have counted.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from proxy.accounts import Account, locked
from proxy.actions import UNKNOWN, Action, note
from proxy.database import Database
from proxy.schema import actions, users

FREE = 4  # failures in a row before there is a delay
LONGEST_WAIT_S = 60  # of whoever owns the name and is guessed at by others
FORGOTTEN_MS = 3_600_000  # after which failures count no more
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An attempt that may be judged, or for how long nobody may make one."""

    account: Account | None = None  # as it was before; None for an unknown name
    row: int = 0  # in the list of actions: it says failed until it is known better
    wait_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    name: str
    action: str
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passed:
    name: str
    row: int
    action: str
    step: int = 0
    password: str | None = None  # hashed anew
    failed_at: int | None = None  # before


class Logins:
    """Counts attempts in the account's row; safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, action: str, address: str | None) -> Begun:
        """Count an attempt as failed and note it as *action*, or say how long to wait.

        An unknown name is noted as well: it must not take less time.
        """
        tried = _Try(name=name, action=action, address=address)
        begun: Begun = self._database.write(self._begin_each, tried)
        return begun

    def accept(self, account: Account, row: int, *, rehashed: str | None = None) -> None:
        """The password was right: take this failure back; those before stay until the code.

        So does their time, or the code would have to wait for the password.
        """
        passed = _Passed(
            name=account.name,
            row=row,
            action="password_accepted",
            password=rehashed,
            failed_at=account.failed_at,
        )
        self._database.write(_accept_each, passed)

    def finish(self, name: str, row: int, step: int, action: str) -> bool:
        """The code of *step* was right: forget all failures. False if that was used before."""
        passed = _Passed(name=name, row=row, action=action, step=step)
        is_new: bool = self._database.write(_finish_each, passed)
        return is_new

    def _begin_each(self, connection: Connection, asked: list[_Try]) -> list[Begun]:
        now = self._database.now(connection)
        return [_begin(connection, tried, now) for tried in asked]


def wait_ms(failures: int, failed_at: int | None, now: int, longest_s: int) -> int:
    """Return for how long from *now* on no attempt is taken, after *failures* in a row."""
    if failed_at is None or failures < FREE or now - failed_at > FORGOTTEN_MS:
        return 0
    delay_s = min(1 << min(failures - FREE, _MOST_DOUBLINGS), longest_s)
    return max(0, failed_at + delay_s * 1000 - now)


def _begin(connection: Connection, tried: _Try, now: int) -> Begun:
    account = locked(connection, tried.name)
    if account is None:
        nobody = Action(user=UNKNOWN, action=tried.action, address=tried.address)
        return Begun(row=note(connection, nobody, now))
    wait = wait_ms(account.failures, account.failed_at, now, LONGEST_WAIT_S)
    if wait:
        return Begun(wait_s=-(-wait // 1000))
    is_old = account.failed_at is None or now - account.failed_at > FORGOTTEN_MS
    failures = 1 if is_old else account.failures + 1
    counted = update(users).where(users.c.name == tried.name)
    connection.execute(counted.values(failures=failures, failed_at=now))
    done = Action(user=tried.name, action=tried.action, address=tried.address)
    return Begun(account=account, row=note(connection, done, now))


def _accept_each(connection: Connection, asked: list[_Passed]) -> list[None]:
    for passed in asked:
        values: dict[str, Any] = {
            "failures": users.c.failures - 1,
            "failed_at": passed.failed_at,
        }
        if passed.password:
            values["password"] = passed.password
        counted = (users.c.name == passed.name) & (users.c.failures > 0)
        connection.execute(update(users).where(counted).values(values))
        _became(connection, passed)
    return [None] * len(asked)


def _finish_each(connection: Connection, asked: list[_Passed]) -> list[bool]:
    return [_finish(connection, passed) for passed in asked]


def _finish(connection: Connection, passed: _Passed) -> bool:
    """Compare and write the step at once: of two who use a code only one comes in."""
    fresh = (
        (users.c.name == passed.name)
        & (users.c.totp_step < passed.step)
        & users.c.disabled_at.is_(None)
    )
    values = {"totp_step": passed.step, "failures": 0, "failed_at": None}
    if connection.execute(update(users).where(fresh).values(values)).rowcount != 1:
        return False
    _became(connection, passed)
    return True


def _became(connection: Connection, passed: _Passed) -> None:
    connection.execute(
        update(actions).where(actions.c.id == passed.row).values(action=passed.action)
    )
