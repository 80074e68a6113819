"""What people did: one row for each action of a user, of the dashboard or the command line."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from proxy.database import Database
from proxy.schema import actions

COMMAND_LINE = "command line"  # a user's name has no space
UNKNOWN = "unknown user"  # what was typed for a name may be a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Who did what, to what, from where."""

    user: str
    action: str
    subject: str | None = None
    address: str | None = None


class Actions:
    """The list; safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, action: Action) -> None:
        """Write *action* down."""
        self._database.write(self._record_each, action)

    def _record_each(self, connection: Connection, given: list[Action]) -> list[None]:
        now = self._database.now(connection)
        for action in given:
            note(connection, action, now)
        return [None] * len(given)


def note(connection: Connection, action: Action, now: int) -> int:
    """Write *action* down in a transaction that is under way; return its id."""
    values = {
        "at": now,
        "user": action.user,
        "action": action.action,
        "subject": action.subject,
        "address": action.address,
    }
    key = connection.execute(insert(actions).values(values)).inserted_primary_key
    return int(key[0]) if key else 0


def listed(connection: Connection, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Return at most *limit* actions, newest first, those before the id *before*."""
    query = select(actions).order_by(actions.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(actions.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]
