"""What a page is asked for: the query's fields, each known, once, and of its kind."""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime

from flask import request

from proxy.conflicts import LONGEST_NOTE, is_note
from proxy.errors import Problem

HIGHEST_ID = 2**63 - 1
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST = 200


def fields(*names: str) -> dict[str, str]:
    """Return what the query gives of *names*; what was left empty is not there."""
    if set(request.args) - set(names):
        raise Problem("invalid_request", "the query has an unknown field")
    given = {name: request.args.getlist(name) for name in names}
    return {
        name: plain(name, values[0] if len(values) == 1 else None)
        for name, values in given.items()
        if any(value.strip() for value in values)
    }


def plain(name: str, value: str | None) -> str:
    """Return *value*, which is printable, on one line, and not too long."""
    text = (value or "").strip()
    if not 0 < len(text) <= _LONGEST or not text.isprintable():
        raise Problem("invalid_request", name)
    return text


def one_of(name: str, value: str | None, words: Collection[str]) -> str | None:
    """Return *value*, which is one of *words* if it is there."""
    if value is not None and value not in words:
        raise Problem("invalid_request", name)
    return value


def flag(name: str, value: str | None) -> bool | None:
    """Return whether *value* says yes or no; None where it says nothing."""
    return {None: None, "yes": True, "no": False}[one_of(name, value, ("yes", "no"))]


def number(name: str, value: str | None) -> int | None:
    """Return *value* as an id, or a count."""
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,19}", value, re.ASCII) or int(value) > HIGHEST_ID:
        raise Problem("invalid_request", name)
    return int(value)


def day(name: str, value: str | None) -> int | None:
    """Return when the day *value* begins in UTC, in Unix ms."""
    if value is None:
        return None
    try:
        found = date.fromisoformat(value) if _DAY.fullmatch(value) else None
    except ValueError:
        found = None
    if found is None:
        raise Problem("invalid_request", name)
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp() * 1000)


def known(row: int) -> int:
    """Return *row*, which the address names, if a database can hold it."""
    if not 0 < row <= HIGHEST_ID:
        raise Problem("not_found")
    return row


def note(*, required: bool) -> str:
    """Return the form's note: why something is done."""
    given = request.form.getlist("note")
    text = given[0].strip() if len(given) == 1 else ""
    if not (is_note(text) or (not text and not required)):
        raise Problem(
            "invalid_request", f"note: 1 to {LONGEST_NOTE} printable characters on one line"
        )
    return text
