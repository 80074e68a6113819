"""What is fuzzed: each target takes bytes and raises unless the product keeps its word on them.

A target allows the refusals that its part of the product lists, and no other exception.
"""

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from proxy.choices import Kind, Outcome
from proxy.errors import Problem
from proxy.exchange import Answer
from proxy.judge import RETRY_LEAST, RETRY_MOST, judge, retry_after
from proxy.strictjson import loads
from proxy.tokens import take_apart
from proxy.web import fields
from proxy.web.forms import parse
from proxy.web.messages import FORM_FIELDS
from tests.fuzz.answers import read_answer
from tests.fuzz.lines import read_lines
from tests.tokens.tools import IAT, KID, keyring, sign

NOW = 1_000_000_000.0
SECRET = "kh7Q2-fuzzed-secret"
PERSON = "Ada Lovelace"
SUCCESS = frozenset({200, 204})
STATUSES = (
    200,
    204,
    202,
    100,
    103,
    301,
    400,
    401,
    403,
    404,
    409,
    422,
    423,
    425,
    429,
    500,
    503,
    999,
)
FLAWS = ("", "answer_cut", "answer_too_large", "answer_compressed", "timed_out")
RING = keyring(open_offers=True)

Target = Callable[[bytes], None]


def token(data: bytes) -> None:
    """A text is refused as `token_…`, or it is the one spelling of what its key signed."""
    how, rest = data[:1], data[1:]
    if how == b"s":  # a genuine signature over any payload
        text = sign(rest)
    elif how == b"t":  # and of any time
        text = sign(rest[4:], iat=int.from_bytes(rest[:4].ljust(4, b"\0"), "big"))
    else:
        text = data.decode("utf-8", "surrogateescape")
    try:
        session = RING.verify(text, IAT)
    except Problem as problem:
        assert problem.code.startswith("token_")  # noqa: PT017  # its code is the verdict
        return
    assert re.fullmatch("[A-Za-z0-9-]{1,64}", session.offer or "open")
    parts = take_apart(text)
    assert parts.kid == KID
    assert sign(parts.payload, iat=parts.issued_at) == text
    again = RING.mint(
        session.partner,
        offer=session.offer,
        origin=session.origin,
        now=session.issued_at,
        upstream=session.upstream,
        ttl=session.ttl,
        jti=session.jti,
        kid=session.kid,
    )
    assert RING.verify(again, IAT) == session


def wait(data: bytes) -> None:
    """`Retry-After` is nothing, or 1 s to 15 min."""
    text = data.decode("latin-1")
    seconds = retry_after({"Retry-After": text}, now=NOW)
    assert seconds is None or RETRY_LEAST <= seconds <= RETRY_MOST
    assert seconds is not None or not re.fullmatch("[0-9]+", text)


def words(data: bytes) -> None:
    """An insurer's error is one harmless line; only a whole success is a delivery."""
    status = STATUSES[data[0] % len(STATUSES)] if data else 200
    flaw = FLAWS[data[1] % len(FLAWS)] if data[1:] else ""
    body = data[2:].replace(b"$S", SECRET.encode()).replace(b"$P", PERSON.encode())
    answer = Answer(status=status, headers={}, body=b"" if flaw else body, flaw=flaw)
    outcome = judge(answer, success=SUCCESS, now=NOW, hide=[SECRET, PERSON])
    check_outcome(outcome)
    assert SECRET.lower() not in outcome.detail.lower()
    assert PERSON.lower() not in outcome.detail.lower()
    is_page = body.lstrip().startswith(b"<")
    whole = status in SUCCESS and not flaw and not is_page
    assert (outcome.kind is Kind.DELIVERED) == whole


def check_outcome(outcome: Outcome) -> None:
    """Whatever came back, the outbox knows what to do with it."""
    assert type(outcome.kind) is Kind
    assert re.fullmatch("[a-z_]{1,40}", outcome.reason)
    assert outcome.detail.isprintable()
    assert len(outcome.detail) <= 200
    seconds = outcome.retry_after
    assert seconds is None or RETRY_LEAST <= seconds <= RETRY_MOST
    assert not (outcome.kind is Kind.DELIVERED and outcome.unknown)


def form(data: bytes) -> None:
    """A form is refused, or read as every other reader reads it."""
    try:
        found = parse(data, FORM_FIELDS)
    except Problem as problem:
        assert problem.code == "invalid_request"  # noqa: PT017
        return
    others = parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data))
    assert list(found.items()) == others
    assert parse(urlencode(found).encode(), FORM_FIELDS) == found
    try:
        said = fields.from_form(found)
    except Problem as problem:
        assert problem.code in {"invalid_request", "pan_detected"}  # noqa: PT017
        return
    assert 1 <= said.seq < 2**53 > said.at >= 0
    assert said.choice is not None or said.purchased


def document(data: bytes) -> None:
    """A document is refused, or it has one meaning, which survives being written again."""
    try:
        value = loads(data)
    except ValueError:
        return
    assert value == json.loads(data.decode())
    written = json.dumps(value, ensure_ascii=False).encode()  # half a surrogate would not encode
    assert loads(written) == value
    assert loads(json.dumps(value)) == value


def answer(data: bytes) -> None:
    """Whatever bytes an insurer sends, an attempt ends in an outcome, and where it was meant."""
    for outcome in read_answer(data):
        check_outcome(outcome)


def lines(data: bytes) -> None:
    """Each line of a batch has one answer, whatever stands beside it."""
    read_lines(data)


TARGETS: dict[str, Target] = {
    "token": token,
    "wait": wait,
    "words": words,
    "answer": answer,
    "form": form,
    "document": document,
    "lines": lines,
}
