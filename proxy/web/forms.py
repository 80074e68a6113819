"""`application/x-www-form-urlencoded`, read in one way only."""

import re

from proxy.errors import Problem

_ENCODED = re.compile(r"(?:[!-$&-~]++|%[0-9A-Fa-f]{2})*+", re.ASCII)  # printable; % only in escapes
_ESCAPE = re.compile(rb"%(..)")


def parse(body: bytes, known: frozenset[str]) -> dict[str, str]:
    """Return the fields of *body*; raise Problem if one is unknown, repeated or malformed."""
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError:
        raise Problem("invalid_request", "the form is not percent-encoded") from None
    if not _ENCODED.fullmatch(text):
        raise Problem("invalid_request", "the form is not percent-encoded")
    fields: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, equals, value = pair.partition("=")
        name = _decode(name)
        if not equals or "=" in value or name not in known:
            raise Problem("invalid_request", "the form has a field that is unknown or malformed")
        if name in fields:
            raise Problem("invalid_request", f"field `{name}` is repeated")
        fields[name] = _decode(value)
    return fields


def _decode(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    spaced = text.replace("+", " ").encode()
    raw = _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), spaced)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Problem("invalid_request", "the form is not UTF-8") from None
