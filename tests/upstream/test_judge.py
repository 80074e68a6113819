"""What is read from an answer's headers and words, without a network."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.choices import Kind
from proxy.exchange import Answer
from proxy.judge import RETRY_LEAST, RETRY_MOST, explain, judge, retry_after

NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT
WAITS = {
    "seconds": ("120", 120.0),
    "blanks": (" 5 ", 5.0),
    "none at all": ("", None),
    "zero": ("0", 1.0),
    "negative": ("-5", 1.0),
    "hours": ("36000", 900.0),
    "absurd": ("9" * 5000, 900.0),
    "a date": ("Sun, 09 Sep 2001 01:47:40 GMT", 60.0),
    "a date of RFC 850": ("Sunday, 09-Sep-01 01:47:40 GMT", 60.0),
    "a date of C": ("Sun Sep  9 01:47:40 2001", 60.0),
    "a past date": ("Sun, 09 Sep 2001 01:00:00 GMT", 1.0),
    "a far date": ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0),
    "no date": ("Sun, 99 Sep 2001 01:47:40 GMT", None),
    "words": ("soon", None),
    "fraction": ("1.5", None),
    "two": ("1, 2", None),
    "other digits": ("\u0661\u0662", None),
    "hexadecimal": ("0x10", None),
}


@pytest.mark.parametrize(("text", "seconds"), WAITS.values(), ids=WAITS)
def test_retry_after_is_read_as_the_rfc_says(text: str, seconds: float | None) -> None:
    """Seconds or a date (RFC 9110, 10.2.3), between 1 s and 15 min; junk is as good as nothing."""
    assert retry_after({"Retry-After": text}, now=NOW) == seconds


@given(st.one_of(st.text(), st.text(st.sampled_from("0123456789:,+- GMTSunep"))))
def test_retry_after_never_surprises(text: str) -> None:
    """Whatever upstream writes, the wait is none or within its bounds."""
    seconds = retry_after({"Retry-After": text}, now=NOW)

    assert seconds is None or RETRY_LEAST <= seconds <= RETRY_MOST


WORDS = {
    "message": ({"type": "api_error", "message": "No such offer"}, "No such offer"),
    "gateway": ({"error": "Authorization field missing"}, "Authorization field missing"),
    "oauth": ({"error": "invalid_client", "error_description": "No"}, "invalid_client No"),
    "fields": ({"message": "No", "errors": {"a": ["b"]}}, 'No {"a":["b"]}'),
    "long": ({"message": "wörter " * 100}, ("wörter " * 100)[:200]),
    "control": ({"message": "a\x1b[31m\tb\u2028c\ud800"}, "a\\x1b[31m\\tb\\u2028c\\ud800"),
    "an id": (
        {"message": "no 1d29230f-92f5-4bb6-887d-3a6b0d1969d1."},
        "no 1d29230f-92f5-4bb6-887d-3a6b0d1969d1.",
    ),
    "a key of another": ({"message": "key 9f86d081884c7d659a2feaa0c55ad015 bad"}, "key *** bad"),
    "list": (["message"], ""),
    "number": ({"message": 5}, "5"),
    "nothing": ({}, ""),
}


@pytest.mark.parametrize(("document", "words"), WORDS.values(), ids=WORDS)
def test_words_are_made_harmless(document: object, words: str) -> None:
    """What upstream says fits one printable line of 200 characters."""
    assert explain(json.dumps(document).encode(), hide=()) == words


BROKEN = [b"", b"<html>", b"\xff\xfe", b'{"message":"', b"[" * 60_000, b'{"errors":' + b"[" * 900]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_json_says_nothing(body: bytes) -> None:
    """Pages, halves and traps are passed over."""
    assert explain(body, hide=()) == ""


LETTERS = st.text(string.ascii_letters + string.digits, min_size=3, max_size=12)
AROUND = st.text(string.printable, max_size=30)


@given(word=LETTERS, before=AROUND, after=AROUND)
def test_a_hidden_word_is_not_shown(word: str, before: str, after: str) -> None:
    """Whatever stands around it, a secret does not come through."""
    body = json.dumps({"message": f"{before}{word}{after}"}).encode()

    assert word not in explain(body, hide=[word])


FLAWS = {
    "a success in another dress": (200, "answer_compressed", Kind.TRANSIENT, True),
    "a success too large": (200, "answer_too_large", Kind.TRANSIENT, True),
    "a success cut": (200, "answer_cut", Kind.TRANSIENT, True),
    "a success without end": (200, "timed_out", Kind.TRANSIENT, True),
    "a repeat cut": (409, "answer_cut", Kind.TRANSIENT, True),
    "a repeat too large": (409, "answer_too_large", Kind.REPEATED, False),
    "a refusal cut": (404, "answer_cut", Kind.TRANSIENT, True),
    "a refusal too large": (404, "answer_too_large", Kind.PERMANENT, False),
    "a throttling cut": (429, "answer_cut", Kind.THROTTLED, False),
    "an outage cut": (503, "answer_cut", Kind.TRANSIENT, False),
    "a bad key cut": (401, "answer_cut", Kind.SETUP, False),
    "an interim answer": (103, "", Kind.TRANSIENT, True),
}


@pytest.mark.parametrize(("status", "flaw", "kind", "unknown"), FLAWS.values(), ids=FLAWS)
def test_a_flawed_answer_is_believed_where_that_is_safe(
    status: int, flaw: str, kind: Kind, *, unknown: bool
) -> None:
    """No final verdict rests on half an answer; a refusal to be retried needs no more."""
    answer = Answer(status=status, headers={}, body=b"", flaw=flaw)

    outcome = judge(answer, success=frozenset({200}), now=NOW)

    assert (outcome.kind, outcome.unknown) == (kind, unknown)


PAGES = {
    "a page": (b"\n <!doctype html>", Kind.TRANSIENT),
    "nothing": (b"", Kind.DELIVERED),
    "half a document": (b'{"data":', Kind.DELIVERED),
    "words": (b"OK", Kind.DELIVERED),
}


@pytest.mark.parametrize(("body", "kind"), PAGES.values(), ids=PAGES)
def test_a_page_is_no_confirmation(body: bytes, kind: Kind) -> None:
    """With a success the status decides, unless the answer can not be upstream's API at all."""
    answer = Answer(status=200, headers={}, body=body)

    outcome = judge(answer, success=frozenset({200}), now=NOW)

    assert (outcome.kind, outcome.unknown) == (kind, kind is Kind.TRANSIENT)
