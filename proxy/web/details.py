"""What a partner's server may add to an offer: `metadata` and, where permitted, `customer`."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from proxy.errors import Problem
from proxy.settings import PartnerSetting
from proxy.settings_upstreams import UpstreamSetting
from proxy.upstreams import CUSTOMER_FIELDS
from proxy.web.cards import has_card_number
from proxy.web.fields import LARGEST, refused

Scalar = str | int | float | bool | None

MOST_KEYS = 20
LONGEST_VALUE = 200  # characters
MOST_CUSTOMER_BYTES = 8_192

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}", re.ASCII
)
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{2,29}", re.ASCII)
_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_BORN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_EARLIEST = date(1900, 1, 1)
_CUSTOMER: dict[str, frozenset[str]] = {  # by the kind of body that the upstream call takes
    "customer": frozenset(CUSTOMER_FIELDS),
    "customer_dob": frozenset({*CUSTOMER_FIELDS, "date_of_birth"}),
}
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL refuses them, UTF-8 has no surrogates


def upstream(partner: PartnerSetting, given: Mapping[str, object]) -> UpstreamSetting:
    """Return the upstream that *given* names, or the partner's only one; raise Problem if not."""
    name = given.get("upstream")
    if "upstream" in given and not isinstance(name, str):
        raise refused("upstream")
    try:
        return partner.upstream(name if isinstance(name, str) else None)
    except KeyError:
        raise refused("upstream") from None


def metadata(given: Mapping[str, object]) -> dict[str, Scalar]:
    """Return `metadata` if it is a flat object of a few short scalars; raise Problem if not."""
    members = given.get("metadata", {})
    if not isinstance(members, dict) or len(members) > MOST_KEYS:
        raise refused("metadata")
    for key, value in members.items():
        if not _KEY.fullmatch(key) or not _is_scalar(value):
            raise refused("metadata")
        if has_card_number(_text(value)):
            raise Problem("pan_detected", "field `metadata`")
    return members


def customer(
    partner: PartnerSetting, upstream: UpstreamSetting, given: Mapping[str, object]
) -> dict[str, str]:
    """Return `customer` if the partner may pass it and the upstream call takes each member.

    Raise Problem (customer_not_allowed | customer_invalid | pan_detected | invalid_request).
    """
    if "customer" not in given:
        return {}
    if not partner.customer:
        raise Problem("customer_not_allowed")
    names = _CUSTOMER.get(upstream.definition.body)
    if names is None:
        raise Problem("customer_not_allowed", "this upstream takes no customer data")
    members = given["customer"]
    if not isinstance(members, dict):
        raise Problem("customer_invalid", "it is not an object")
    if len(json.dumps(members)) > MOST_CUSTOMER_BYTES:
        raise Problem("customer_invalid", "it is larger than 8 KiB")
    for name, value in members.items():
        _judge_member(name if name in names else None, value)
    return members


def _judge_member(name: str | None, value: object) -> None:
    if name is None:
        raise Problem("customer_invalid", "a member is unknown")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise refused("customer")
    if not isinstance(value, str) or not _is_line(value) or not _KINDS.get(name, _any)(value):
        raise Problem("customer_invalid", f"`{name}`")
    # A phone number with its prefix has as many digits as a card, and passes Luhn one time in ten.
    if has_card_number(value) and not (name == "phone" and value[0] in "+0"):
        raise Problem("pan_detected", f"`customer.{name}`")


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return _is_line(value) or not value
    if isinstance(value, (int, float)):
        return -LARGEST <= value <= LARGEST
    return value is None


def _is_line(text: str) -> bool:
    """Tell whether *text* is one short line: no control, no direction mark, nothing invisible."""
    return 0 < len(text) <= LONGEST_VALUE and text.isprintable()


def _text(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _any(_text: str) -> bool:
    return True


def _is_birth(text: str) -> bool:
    if not _BORN.fullmatch(text):
        return False
    try:
        return date.fromisoformat(text) >= _EARLIEST
    except ValueError:
        return False


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_KINDS: dict[str, Callable[[str], bool]] = {
    "country": _matches(_COUNTRY),
    "email": _matches(_EMAIL),
    "phone": _matches(_PHONE),
    "date_of_birth": _is_birth,
}
