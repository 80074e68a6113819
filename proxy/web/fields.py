"""The fields of a message, from a form's texts or from JSON, judged alike. Knows no HTTP."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.choices import Choice
from proxy.errors import Problem
from proxy.upstreams import is_id
from proxy.web.cards import has_card_number

LARGEST = 2**53 - 1  # what every JSON reader holds exactly (RFC 8259, section 6)
MOST_TRIES = 999

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_ORDER = re.compile(r"[!-~]{1,64}", re.ASCII)
_CHOICES = {str(choice): choice for choice in Choice}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a message says, whoever says it."""

    id: str
    choice: Choice | None
    seq: int
    at: int
    purchased: bool
    order: str | None
    tries: int


def refused(name: str) -> Problem:
    """Return the problem that field *name* is missing or malformed."""
    return Problem("invalid_request", f"field `{name}`")


def from_form(fields: Mapping[str, str]) -> Said:
    """Return what a page says; raise Problem if a field is missing or malformed."""
    purchased = fields.get("purchased")
    if purchased not in (None, "1"):
        raise refused("purchased")
    numbers = {
        name: int(text) if _DIGITS.fullmatch(text := fields[name]) else None
        for name in ("seq", "at", "tries")
        if name in fields
    }
    return _said(fields, numbers, purchased=purchased is not None)


def from_json(fields: Mapping[str, object]) -> Said:
    """Return what a partner's server says; raise Problem if a field is missing or malformed."""
    if fields.get("purchased", True) is not True:
        raise refused("purchased")
    return _said(fields, fields, purchased="purchased" in fields)


def _said(fields: Mapping[str, object], numbers: Mapping[str, object], *, purchased: bool) -> Said:
    return Said(
        id=_id(fields.get("id")),
        choice=_choice(fields.get("choice")) if "choice" in fields or not purchased else None,
        seq=whole("seq", numbers.get("seq"), 1, LARGEST),
        at=whole("at", numbers.get("at"), 0, LARGEST),
        purchased=purchased,
        order=_order(fields["order"], purchased=purchased) if "order" in fields else None,
        tries=whole("tries", numbers.get("tries", 1), 1, MOST_TRIES),
    )


def whole(name: str, value: object, least: int, most: int) -> int:
    """Return *value* if it is an integer, not a boolean, within *least* and *most*."""
    if type(value) is not int or not least <= value <= most:
        raise refused(name)
    return value


def offer(value: object) -> str:
    """Return *value* if it can be the id of an offer: it will stand in an upstream path."""
    if not isinstance(value, str) or not is_id(value):
        raise refused("offer")
    return value


def _id(value: object) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise refused("id")
    return value.lower()


def _choice(value: object) -> Choice:
    found = _CHOICES.get(value) if isinstance(value, str) else None
    if found is None:
        raise refused("choice")
    return found


def _order(value: object, *, purchased: bool) -> str:
    if not purchased or not isinstance(value, str) or not _ORDER.fullmatch(value):
        raise refused("order")
    if has_card_number(value):
        raise Problem("pan_detected", "field `order`")
    return value
