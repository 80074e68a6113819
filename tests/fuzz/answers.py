"""An insurer that answers with fuzzed bytes, over a real socket."""

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from proxy.choices import Kind, Outcome
from proxy.credentials import credentials_for
from proxy.sender import Sender
from tests.fuzz.stand_in import Heard, Said, StandIn
from tests.upstream.builders import a_delivery, an_upstream

OFFER = "a1b2c3d4-0000-4000-8000-000000000001"
LINES = {
    "xcover-offers": f"POST /x/partners/LLODT/offers/{OFFER}/opt_out/ HTTP/1.1",
    "xone-offers": f"POST /x/api/partners/LLODT/offers/{OFFER}/opt-out HTTP/1.1",
}
TOKEN_LINE = "POST /x/api/oauth/token HTTP/1.1"
_SUCCESS = re.compile(rb"^HTTP/.*2\D*0\D*[04]", re.MULTILINE)  # http.client splits generously
_MARK = "the second answer"


def reply(status: int, body: object = None) -> bytes:
    """Return a well-formed answer."""
    content = b"" if body is None else json.dumps(body).encode()
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(content)
    return b"HTTP/1.1 %d Word\r\n%s\r\n%s" % (status, length, content)


GOOD_TOKEN = reply(200, {"access_token": "a-token", "expires_in": 600})


@lru_cache(maxsize=1)
def _insurer() -> StandIn:
    return StandIn(lambda _: Said(b"")).__enter__()  # for as long as the process lives


def read_answer(data: bytes) -> list[Outcome]:
    """Return the outcomes of the attempts that *data* answers; its first byte says how."""
    how, rest = data[:1], data[1:]
    ways: dict[bytes, Callable[[bytes], list[Outcome]]] = {
        b"t": _token_answered_with,
        b"o": _bearer_answered_with,
        b"l": _followed_by,
    }
    return ways.get(how, _answered_with)(rest)


def _send(api: str, answers: Iterator[Said], attempts: int = 1) -> list[Outcome]:
    insurer = _insurer()
    insurer.speak = lambda heard: next(answers) if heard.line != TOKEN_LINE else Said(GOOD_TOKEN)
    return _attempt(insurer, api, attempts)


def _attempt(insurer: StandIn, api: str, attempts: int) -> list[Outcome]:
    insurer.take()
    sender = Sender(audience="optout-proxy:test", deadline=10)
    upstream = an_upstream(f"{insurer.url}/x", api)
    credentials = credentials_for(upstream)
    outcomes = [
        sender.send(a_delivery(offer=OFFER), upstream, credentials) for _ in range(attempts)
    ]
    for heard in insurer.heard:
        assert heard.line in (LINES[api], TOKEN_LINE)
        assert heard.only("host") == insurer.host
    assert all(outcome.reason != "timed_out" for outcome in outcomes)
    return outcomes


def _reports(api: str) -> int:
    return sum(heard.line == LINES[api] for heard in _insurer().take())


def _answered_with(data: bytes) -> list[Outcome]:
    """The insurer says *data* to a signed report, which is made once."""
    outcomes = _send("xcover-offers", iter([Said(data)]))
    assert _reports("xcover-offers") == 1
    _check_delivered(outcomes[0], data)
    return outcomes


def _bearer_answered_with(data: bytes) -> list[Outcome]:
    """The same where the insurer takes access tokens: a refused one is renewed once."""
    outcomes = _send("xone-offers", iter([Said(data), Said(data)]))
    assert _reports("xone-offers") == (2 if outcomes[0].reason == "unauthorized" else 1)
    _check_delivered(outcomes[0], data)
    return outcomes


def _check_delivered(outcome: Outcome, data: bytes) -> None:
    if outcome.kind is Kind.DELIVERED:
        assert _SUCCESS.search(data)


def _followed_by(data: bytes) -> list[Outcome]:
    """What follows a whole answer is never taken for the answer to the next report."""
    second = reply(404, {"message": _MARK})
    answers = iter([Said(reply(204) + data, stays=True), Said(second)])
    first, other = _send("xcover-offers", answers, attempts=2)
    assert _reports("xcover-offers") == 2
    assert (first.kind, other.reason, other.detail) == (Kind.DELIVERED, "offer_not_found", _MARK)
    return [first, other]


def _token_answered_with(data: bytes) -> list[Outcome]:
    """The token endpoint says *data*: a report leaves only with a token out of it."""
    insurer = _insurer()

    def speak(heard: Heard) -> Said:
        return Said(data if heard.line == TOKEN_LINE else reply(204))

    insurer.speak = speak
    outcomes = _attempt(insurer, "xone-offers", 1)
    (outcome,) = outcomes
    assert outcome.kind is (Kind.DELIVERED if _reports("xone-offers") else Kind.SETUP)
    return outcomes
