"""The fault script: which calls it hits, and that each fault is what it says."""

import gzip
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from proxy.sandbox.faults import BadRule, rule_from
from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import Caller, calling

TOKEN = "/api/oauth/token"


def test_rule_is_used_so_many_times(caller: Caller) -> None:
    """After its last time the insurer is well again, and nothing had an effect before."""
    caller.sandbox.fault("status", status=503, times=2)

    assert [caller.opt_out(key="k").status_code for _ in "123"] == [503, 503, 204]
    assert [entry["fault"] for entry in caller.sandbox.requests()] == ["status", "status", None]
    assert [entry["verified"] for entry in caller.sandbox.requests()] == [True] * 3


def test_rules_match_by_api_offer_and_path(caller: Caller) -> None:
    """Only what a rule names is hit, and the first rule that applies wins."""
    caller.sandbox.fault("status", status=500, api="xcover-offers", offer="A")
    caller.sandbox.fault("status", status=501, path_prefix="/x/partners/LLODT/bookings/")
    caller.sandbox.fault("status", status=502, api="xcover-offers")

    calls = [("xcover-offers", "A"), ("xcover-offers", "B"), ("xcover-bookings", "A")]
    assert [caller.opt_out(*call).status_code for call in calls] == [500, 502, 501]
    assert caller.opt_out("xcover-renewals").status_code == 204


def test_rule_without_path_spares_the_token_endpoint(caller: Caller) -> None:
    """Opt-outs are meant unless a path is named."""
    caller.sandbox.fault("status", status=500)
    assert caller.opt_out("xone-offers").status_code == 500

    caller.sandbox.fault("status", status=501, path_prefix="/")
    assert caller.opt_out("xone-offers").status_code == 500
    assert caller.token().status_code == 501


def test_rule_spares_the_first_ones(caller: Caller) -> None:
    """A rule may come into force later."""
    caller.sandbox.fault("status", skip=1, times=1)

    assert [caller.opt_out(offer=offer).status_code for offer in "ABC"] == [204, 503, 204]


def test_rule_may_be_a_matter_of_chance() -> None:
    """A flapping insurer is scripted with dice of the test's own."""
    dice = iter([0.4, 0.6, 0.5, 0.1])
    with calling(Sandbox(dice=lambda: next(dice))) as caller:
        caller.sandbox.fault("status", chance=0.5)

        assert [caller.opt_out(offer=o).status_code for o in "ABCD"] == [503, 204, 204, 503]


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "unknown"},
        {"fault": "hang", "second": 1},
        {"fault": "reset", "seconds": 1},
        {"fault": "hang", "seconds": "1"},
        {"fault": "hang", "seconds": -1},
        {"fault": "status", "times": -1},
        {"fault": "status", "times": True},
        {"fault": "status", "skip": None},
        {"fault": "status", "chance": 2},
        {"fault": "status", "effect": 1},
        {"fault": "status", "match": {"path": "/"}},
        {"fault": "status", "match": {"offer": 1}},
        {"fault": "status", "match": []},
        ["status"],
    ],
)
def test_wrong_rules_are_refused(rule: object) -> None:
    """A misspelt rule never counts as one that does nothing."""
    with pytest.raises(BadRule):
        rule_from(rule)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"retry_after": 7}, "7"),
        ({"retry_after": -5}, "-5"),
        ({"retry_after": "soon"}, "soon"),
        ({"retry_after": "9" * 30}, "9" * 30),
        ({"headers": {"Retry-After": "1"}}, "1"),
    ],
)
def test_retry_after_is_sent_as_it_is(
    caller: Caller, params: dict[str, object], expected: str
) -> None:
    """Seconds, junk, huge and negative ones go out unchecked."""
    caller.sandbox.fault("status", status=429, **params)

    answer = caller.opt_out()

    assert answer.headers["Retry-After"] == expected
    assert answer.json()["message"] == "Request was throttled. Expected available in 1 second."


def test_retry_after_may_be_a_date() -> None:
    """The other form of the header, so many seconds ahead."""
    with calling(Sandbox(clock=lambda: 1_800_000_000_000)) as caller:
        caller.sandbox.fault("status", status=429, date_in=90)

        sent = parsedate_to_datetime(caller.opt_out().headers["Retry-After"])

    assert sent.timestamp() == 1_800_000_090


@pytest.mark.parametrize(("body", "sent"), [("", b""), ("x", b"x"), ({"a": 1}, b'{"a": 1}')])
def test_status_with_a_body_of_ones_own(caller: Caller, body: object, sent: bytes) -> None:
    """A text is sent as it is, anything else as JSON."""
    caller.sandbox.fault("status", status=200, body=body)

    assert caller.opt_out().content == sent


@pytest.mark.parametrize("rule", [{"status": 204}, {"fault": "json_fields", "set": {"a": 1}}])
def test_204_stays_empty(caller: Caller, rule: dict[str, Any]) -> None:
    """A made-up 204, or one to be changed, has no body either: the next answer is right."""
    caller.sandbox.fault(**{"fault": "status", "times": 1, **rule})

    assert [caller.opt_out(offer=offer).status_code for offer in "AB"] == [204, 204]


def test_status_with_effect(caller: Caller) -> None:
    """An error can be told of a call that was done; the retry then is a replay."""
    caller.sandbox.fault("status", status=500, effect=True, times=1)

    assert [caller.opt_out(key="k").status_code for _ in "12"] == [500, 409]
    assert caller.sandbox.effects() == {"OFFER-1": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(caller: Caller, status: int) -> None:
    """The answer points to wherever the test likes."""
    caller.sandbox.fault("redirect", status=status, location="http://127.0.0.1:1/steal")

    answer = caller.opt_out()

    assert (answer.status_code, answer.headers["Location"]) == (status, "http://127.0.0.1:1/steal")


def test_html_instead_of_an_answer(caller: Caller) -> None:
    """A page of the edge, status 200, and nothing was done."""
    caller.sandbox.fault("html")

    answer = caller.opt_out()

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert caller.sandbox.effects() == {}


def test_bad_json(caller: Caller) -> None:
    """The body ends in the middle of the JSON, with a right length."""
    caller.sandbox.fault("bad_json")

    with pytest.raises(requests.exceptions.JSONDecodeError):
        caller.opt_out("xone-quotes").json()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"set": {"expires_in": 0}}, 0),
        ({"set": {"expires_in": -1}}, -1),
        ({"set": {"expires_in": "soon"}}, "soon"),
        ({"drop": ["expires_in"]}, "missing"),
    ],
)
def test_token_answers_can_lie(caller: Caller, params: dict[str, object], expected: object) -> None:
    """Fields of any JSON answer can be set and dropped."""
    caller.sandbox.fault("json_fields", path_prefix=TOKEN, **params)

    answer = caller.token()

    assert answer.status_code == 200
    assert answer.json().get("expires_in", "missing") == expected


@pytest.mark.parametrize("api", ["xcover-offers", "xone-offers"])
def test_secrets_echoed(caller: Caller, api: str) -> None:
    """A careless insurer tells all it knows in an error text."""
    caller.sandbox.fault("echo_secrets")
    options = caller.sandbox.options

    text = caller.opt_out(api).json()["message"]

    assert options.api_key in text
    assert options.api_secret in text
    assert options.client_secret in text


@pytest.mark.parametrize(
    ("params", "name"), [({}, "Set-Cookie"), ({"headers": {"X-A": "b"}}, "X-A")]
)
def test_headers_injected(caller: Caller, params: dict[str, object], name: str) -> None:
    """A usual answer with headers that must not be passed on."""
    caller.sandbox.fault("inject_headers", **params)

    answer = caller.opt_out()

    assert answer.status_code == 204
    assert name in answer.headers


def test_gzip_bomb(caller: Caller) -> None:
    """A few kilobytes become many megabytes."""
    caller.sandbox.fault("gzip_bomb", megabytes=2)

    raw = caller.opt_out(stream=True).raw.read(decode_content=False)

    assert len(raw) < 64 * 1024
    assert len(gzip.decompress(raw)) == 2 * 1024 * 1024


@pytest.mark.parametrize("params", [{}, {"bytes": 10, "count": 200}])
def test_big_header(caller: Caller, params: dict[str, int]) -> None:
    """One header that is too long, or too many of them."""
    caller.sandbox.fault("big_header", **params)

    with pytest.raises(requests.ConnectionError):
        caller.opt_out()


@pytest.mark.parametrize(("api", "status"), [("xcover-offers", 403), ("xone-offers", 401)])
def test_wrong_secret(caller: Caller, api: str, status: int) -> None:
    """The insurer has another secret than ours: right requests are refused."""
    caller.sandbox.fault("wrong_secret", times=1)

    assert [caller.opt_out(api).status_code for _ in "12"] == [
        status,
        200 if status == 401 else 204,
    ]


def test_wrong_client_secret(caller: Caller) -> None:
    """The same at the token endpoint."""
    caller.sandbox.fault("wrong_secret", path_prefix=TOKEN)

    assert caller.token().json()["error"] == "invalid_client"


def test_tokens_expire_early(caller: Caller) -> None:
    """Every token is forgotten once; a fresh one is good."""
    caller.sandbox.fault("expire_tokens", times=1)

    assert caller.opt_out("xone-offers").status_code == 401
    caller.bearer = ""
    assert caller.opt_out("xone-offers").status_code == 200


def test_hang_answers_late(caller: Caller) -> None:
    """The call is done at once and answered after a while."""
    caller.sandbox.fault("hang", seconds=0.3, times=1)
    started = time.monotonic()

    assert caller.opt_out().status_code == 204
    assert time.monotonic() - started >= 0.3


def test_hang_without_effect_never_answers(caller: Caller) -> None:
    """The call is not done, and the connection is closed after a while."""
    caller.sandbox.fault("hang", seconds=0.1, effect=False)

    with pytest.raises(requests.ConnectionError):
        caller.opt_out()
    assert caller.sandbox.effects() == {}
    assert caller.sandbox.requests()[0]["status"] is None


@pytest.mark.parametrize(
    ("fault", "effects"),
    [
        ("reset", {}),
        ("close", {}),
        ("garbage", {}),
        ("lost_answer", {"OFFER-1": 1}),
        ("reset_mid", {"OFFER-1": 1}),
        ("truncated", {"OFFER-1": 1}),
    ],
)
def test_broken_connections(caller: Caller, fault: str, effects: dict[str, int]) -> None:
    """No whole answer arrives; whether the call was done is the fault's own affair."""
    caller.sandbox.fault(fault, times=1)

    with pytest.raises(requests.RequestException):
        caller.opt_out(key="k")
    assert caller.sandbox.effects() == effects
    assert caller.opt_out(key="k").status_code == (409 if effects else 204)


def test_reset_is_a_reset(caller: Caller) -> None:
    """The caller sees a TCP reset, not an orderly end."""
    caller.sandbox.fault("reset")

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        caller.opt_out()


def test_reset_mid_keeps_the_answers_own_body(caller: Caller) -> None:
    """The first half of a real body arrives."""
    caller.sandbox.fault("reset_mid")

    with pytest.raises(requests.RequestException):
        caller.opt_out("xone-quotes")
    assert caller.sandbox.requests(offer="OFFER-1")[0]["status"] == 200
