"""What an answer, or its absence, means for a report. Knows HTTP statuses, sends nothing.

An answer counts only when it is whole. One that promises success (2xx) but is compressed, larger
than 64 KiB or cut is not believed, nor is a page of HTML in the place of a success: the outcome is
transient and `unknown`, and the next attempt, with the same key, brings the truth. Any other text
is not looked at, and a refusal is believed by its status line, unless it was cut.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from proxy.choices import Kind, Outcome
from proxy.exchange import Answer, NoAnswer

RETRY_LEAST = 1.0  # seconds
RETRY_MOST = 15 * 60.0
_DETAIL = 200  # characters
_SERVER_ERROR = range(500, 600)
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)

# status -> kind, reason, and whether the request may have had its effect all the same
_VERDICTS: dict[int, tuple[Kind, str, bool]] = {
    400: (Kind.PERMANENT, "refused", False),
    401: (Kind.SETUP, "unauthorized", False),
    403: (Kind.FORBIDDEN, "forbidden", False),
    404: (Kind.PERMANENT, "offer_not_found", False),
    408: (Kind.TRANSIENT, "request_timeout", False),
    409: (Kind.REPEATED, "repeated", False),
    410: (Kind.PERMANENT, "offer_gone", False),
    422: (Kind.PERMANENT, "refused", False),
    423: (Kind.TRANSIENT, "locked", True),  # an earlier attempt is being worked on
    425: (Kind.TRANSIENT, "too_early", False),
    429: (Kind.THROTTLED, "throttled", False),
    503: (Kind.TRANSIENT, "upstream_unavailable", False),
}
_FINAL = frozenset({Kind.DELIVERED, Kind.REPEATED, Kind.PERMANENT})
_WORD = re.compile(r"[\w+/=.%~-]{20,}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.?", re.IGNORECASE)
_BROKEN_OFF = frozenset({"answer_cut", "timed_out"})


def judge(
    answer: Answer, *, success: frozenset[int], now: float, hide: Iterable[str] = ()
) -> Outcome:
    """Return what *answer* means; *now* in Unix seconds, *hide* is what `detail` must not show."""
    kind, reason, unknown = _verdict(answer.status, success)
    if kind in _FINAL and _is_doubtful(answer):
        kind, reason, unknown = Kind.TRANSIENT, answer.flaw or "answer_unreadable", True
    elif kind is Kind.DELIVERED and answer.body.lstrip().startswith(b"<"):
        kind, reason, unknown = Kind.TRANSIENT, "answer_is_html", True
    waits = kind in (Kind.TRANSIENT, Kind.THROTTLED)
    return Outcome(
        kind=kind,
        reason=reason,
        status=answer.status,
        unknown=unknown,
        retry_after=retry_after(answer.headers, now=now) if waits else None,
        detail="" if kind is Kind.DELIVERED else explain(answer.body, hide=hide),
    )


def judge_silence(silence: NoAnswer) -> Outcome:
    """Return what it means that no answer came."""
    kind = Kind.SETUP if silence.untrusted else Kind.TRANSIENT
    return Outcome(kind=kind, reason=silence.reason, unknown=silence.sent)


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return how many seconds upstream wants us to wait, 1 s to 15 min; None if it did not say."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[+-]?[0-9]+", text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
            # RFC 9110: a date without a zone ("-0000", asctime) is UTC
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, RETRY_LEAST), RETRY_MOST)


def explain(body: bytes, *, hide: Iterable[str]) -> str:
    """Return upstream's own error message: one printable line, nothing of *hide*, 200 characters.

    Only JSON is read; a page of HTML says nothing that its status does not say.
    """
    try:
        text = redact(_message(json.loads(body)), hide)
    except (ValueError, RecursionError):
        return ""
    return "".join(map(_printable, text[:_DETAIL]))[:_DETAIL]


def redact(text: str, hide: Iterable[str]) -> str:
    """Return *text* with `***` for each of *hide* (three characters or more) and what looks it.

    A long word with digits may be a key, a token or a signature, whosever it is; a UUID is an id.
    """
    # Three characters or more, the longest first.
    words = sorted({way for word in hide if word[2:] for way in _ways(word)}, key=len, reverse=True)
    if words:
        text = re.sub("|".join(map(re.escape, words)), "***", text, flags=re.IGNORECASE)
    return _WORD.sub(lambda found: _masked(found.group()), text)


def _ways(word: str) -> tuple[str, ...]:
    once, plain = json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]
    twice = (json.dumps(once)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])  # our body quoted
    return (word, quote(word, ""), once, plain, *twice)


def _masked(word: str) -> str:
    return "***" if any(map(str.isdigit, word)) and not _UUID.fullmatch(word) else word


def _verdict(status: int, success: frozenset[int]) -> tuple[Kind, str, bool]:
    if status in success:
        return Kind.DELIVERED, "delivered", False
    if status in _VERDICTS:
        return _VERDICTS[status]
    if status in _SERVER_ERROR:
        return Kind.TRANSIENT, "upstream_error", True
    if status in _REDIRECT:
        return Kind.PERMANENT, "redirected", False
    return Kind.PERMANENT, "unexpected_status", False


def _is_doubtful(answer: Answer) -> bool:
    if answer.status < _SUCCESS.start:  # 1xx: the final answer was still to come
        return True
    return bool(answer.flaw) and (answer.status in _SUCCESS or answer.flaw in _BROKEN_OFF)


def _message(document: object) -> str:
    if not isinstance(document, dict):
        return ""
    found = [document.get(name) for name in ("message", "error", "error_description", "errors")]
    return " ".join(_text(value) for value in found if value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _printable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
