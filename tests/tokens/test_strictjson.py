"""JSON that can be read in one way only."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.strictjson import MAX_DEPTH, loads

ACCEPTED: dict[str, Any] = {
    "null": None,
    "true": True,
    "1": 1,
    "-0.5e3": -500.0,
    '"x"': "x",
    " [1, 2]\r\n\t": [1, 2],
    '{"a":{"b":[]}}': {"a": {"b": []}},
    '{"a":1,"A":2}': {"a": 1, "A": 2},
    r'"\ud83d\ude00"': "\U0001f600",
    '"\U0001f600"': "\U0001f600",
    r'"a\u0000b"': "a\x00b",
    r'"\\ud800"': r"\ud800",
    r'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[["': "[" * 40 + '"[[',
    "1e308": 1e308,
    "9223372036854775808": 2**63,
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_is_json(text: str) -> None:
    """As text and as bytes."""
    assert loads(text) == ACCEPTED[text]
    assert loads(text.encode()) == ACCEPTED[text]


REFUSED = {
    "nothing": b"",
    "spaces": b"  ",
    "two documents": b"{}{}",
    "rest": b"{}x",
    "a comment": b"{}//",
    "single quotes": b"{'a':1}",
    "a last comma": b"[1,]",
    "a leading zero": b"01",
    "a plus": b"+1",
    "no digit": b"1.",
    "hexadecimal": b"0x1",
    "NaN": b'{"x":NaN}',
    "Infinity": b'{"x":Infinity}',
    "-Infinity": b"[-Infinity]",
    "1e400": b'{"x":1e400}',
    "-1e400": b"-1e400",
    "an endless integer": b"9" * 5000,
    "a repeated key": b'{"a":1,"a":1}',
    "a repeated key inside": b'[{"b":{"a":1,"a":2}}]',
    "a repeated key, escaped": rb'{"a":1,"\u0061":1}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-32": '{"a":1}'.encode("utf-32-le"),
    "Latin-1": b'{"a":"\xe9"}',
    "overlong": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a high surrogate": rb'"\ud800"',
    "a low surrogate": rb'["\uDC00"]',
    "a surrogate as a key": rb'{"\ud800":1}',
    "surrogates in the wrong order": rb'"\ude00\ud83d"',
    "a control character": b'"a\nb"',
    "a NUL": b'"a\x00b"',
    "an unknown escape": rb'"\x41"',
    "an unfinished escape": rb'"\u12"',
    "an open string": b'"abc',
    "a string that hides its end": rb'"abc\"',
    "1,000 arrays": b"[" * 1000 + b"]" * 1000,
    "100,000 arrays": b"[" * 100_000,
    "5,000 objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "arrays behind a quote": b'"\\\n"' + b"[" * 100_000,
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_not(raw: bytes) -> None:
    """The answer is ValueError, never another fault."""
    with pytest.raises(ValueError, match=r"."):
        loads(raw)


def test_a_text_with_half_a_character() -> None:
    """What no encoding can hold is not stored."""
    with pytest.raises(ValueError, match="surrogate"):
        loads('"\ud800"')


@pytest.mark.parametrize(("depth", "limit"), [(MAX_DEPTH, MAX_DEPTH), (0, 0), (3, 3)])
def test_as_deep_as_allowed(depth: int, limit: int) -> None:
    """The limit itself is within."""
    text = "[" * depth + "1" + "]" * depth

    assert loads(text, limit) == json.loads(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        loads(f"[{text}]", limit)


def test_many_are_not_deep() -> None:
    """A thousand arrays beside each other have a depth of two."""
    assert loads("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000


def test_brackets_in_strings_do_not_count() -> None:
    """Only the structure nests."""
    assert loads('{"[[[":"{{{"}', 1) == {"[[[": "{{{"}


def test_from_deep_within_a_call() -> None:
    """The depth of the caller does not decide."""

    def down(levels: int) -> object:
        return down(levels - 1) if levels else loads("[" * 30 + "]" * 30)

    assert json.dumps(down(sys.getrecursionlimit() - 300)).count("[") == 30


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_it_reads_what_others_write(value: object) -> None:
    """Escaped or not, the value comes back."""
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary())
def test_it_agrees_with_the_library_or_refuses(raw: bytes) -> None:
    """It accepts nothing that the library reads otherwise."""
    try:
        value = loads(raw)
    except ValueError:
        return
    assert json.loads(raw.decode()) == value
