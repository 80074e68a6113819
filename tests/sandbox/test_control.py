"""The sandbox's own calls under /_sandbox."""

from typing import Any

import pytest
import requests

from tests.sandbox.caller import Caller


def control(caller: Caller, method: str, name: str, **more: Any) -> requests.Response:
    """Call the sandbox itself."""
    return caller.session.request(
        method, f"{caller.sandbox.url}/_sandbox{name}", timeout=10, **more
    )


def test_requests_are_listed_and_reset(caller: Caller) -> None:
    """The list is that of the process itself, and can be emptied with its effects."""
    caller.opt_out(offer="A")
    caller.opt_out(offer="B")

    assert control(caller, "GET", "/requests").json() == caller.sandbox.requests()
    assert [e["offer"] for e in control(caller, "GET", "/requests?offer=A").json()] == ["A"]
    assert [e["number"] for e in control(caller, "GET", "/requests?after=1").json()] == [2]
    assert control(caller, "GET", "/effects").json() == {"A": 1, "B": 1}
    assert control(caller, "DELETE", "/requests").status_code == 204
    assert control(caller, "GET", "/requests").json() == []
    assert control(caller, "GET", "/effects").json() == {}


def test_faults_are_scripted_and_reset(caller: Caller) -> None:
    """Rules come in as a list, are shown with their use, and go."""
    rule = {"match": {"offer": "A"}, "times": 1, "fault": "status", "status": 500}

    shown = control(caller, "POST", "/faults", json=[rule]).json()
    statuses = [caller.opt_out(offer="A").status_code for _ in "12"]

    assert shown[0].items() >= rule.items()
    assert statuses == [500, 204]
    assert control(caller, "GET", "/faults").json()[0]["used"] == 1
    assert control(caller, "DELETE", "/faults").status_code == 204
    assert control(caller, "GET", "/faults").json() == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{}", "the body is a list of rules"),
        ("[", "line 1"),
        ('[{"fault": "nope"}]', "`fault` is one of"),
        ('[{"fault": "hang", "second": 1}]', "it takes: seconds, locked"),
        ('[{"fault": "status"}, {"fault": "status", "times": -1}]', "`times` is not acceptable"),
    ],
)
def test_wrong_rules_are_400(caller: Caller, body: str, why: str) -> None:
    """A wrong list is refused with the reason, and none of its rules is in force."""
    headers = {"Content-Type": "application/json"}

    answer = control(caller, "POST", "/faults", data=body, headers=headers)

    assert answer.status_code == 400
    assert why in answer.json()["error"]
    assert control(caller, "GET", "/faults").json() == []


@pytest.mark.parametrize(
    ("method", "name", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("PUT", "/faults", {}, 405),
        ("POST", "/faults", {}, 400),
        ("GET", "/requests?offers=A", {}, 400),
        ("GET", "/requests?after=x", {}, 400),
        ("GET", "/requests", {"Origin": "https://evil.example"}, 403),
    ],
)
def test_wrong_calls_are_refused(
    caller: Caller, method: str, name: str, headers: dict[str, str], status: int
) -> None:
    """Typing errors, and pages of other sites, get nowhere."""
    assert control(caller, method, name, headers=headers).status_code == status


def test_bookings_are_listed(caller: Caller) -> None:
    """What was bought is in plain sight: a decline must never get there."""
    caller.post("/x/partners/LLODT/bookings/A/")

    assert control(caller, "GET", "/bookings").json() == ["A"]


def test_everything_is_reset_at_once(caller: Caller) -> None:
    """The root tells who is played and forgets all."""
    caller.opt_out(key="k1")

    assert control(caller, "GET", "").json()["partner"] == "LLODT"
    assert control(caller, "DELETE", "").status_code == 204
    assert caller.opt_out(key="k1").status_code == 204


def test_own_calls_are_not_listed(caller: Caller) -> None:
    """The list holds what the insurer got."""
    control(caller, "GET", "/requests")

    assert caller.sandbox.requests() == []
