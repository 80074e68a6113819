"""JSON as RFC 8259 means it, and nothing that two readers could understand differently.

Knows no HTTP. Characters that a caller can not store (NUL) are the caller's to refuse.
"""

import json
import re
from itertools import accumulate
from math import isfinite
from typing import Any, NoReturn

MAX_DEPTH = 32  # arrays and objects inside each other

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]|\\\\u[dD][89a-fA-F]")
_STEPS = {"{": 1, "[": 1, "}": -1, "]": -1}


def loads(text: bytes | str, max_depth: int = MAX_DEPTH) -> object:
    """Return the value of one JSON document; raise ValueError unless it can be read in one way."""
    if isinstance(text, bytes):
        text = text.decode()
    if _depth(text) > max_depth:
        raise ValueError("nested too deeply")
    value: object = _decode(text)
    if _SURROGATE.search(text):
        _encode(value)
    return value


def _depth(text: str) -> int:
    """Count how deep *text* nests, from its brackets alone: the parser's own stack is no measure.

    A RecursionError is not a ValueError, and it comes at a depth that depends on the caller.
    """
    most = text.count("{") + text.count("[")
    if most <= 1:
        return most
    steps = (_STEPS[mark] for mark in _STRING.sub("", text) if mark in _STEPS)
    return max(accumulate(steps), default=0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is repeated")
    return members


def _constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number is too large")
    return number


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
).decode  # `loads` would make one each time


def _encode(value: object) -> None:
    """Raise ValueError if a string in *value* has half a surrogate pair: no UTF-8 can hold it."""
    json.dumps(value, ensure_ascii=False).encode()
