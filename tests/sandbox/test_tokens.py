"""OAuth: the token endpoint takes its JSON body only, and a token opens the OAuth calls."""

from datetime import timedelta

import pytest

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import OAUTH_APIS, PATHS, Caller, calling

ENDPOINT = "/api/oauth/token"


def test_token_is_issued(caller: Caller) -> None:
    """The right client gets a bearer token with its lifetime in seconds, not to be stored."""
    answer = caller.token()

    assert answer.status_code == 200
    assert set(answer.json()) == {"token_type", "expires_in", "access_token"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"client_id": "\ud800"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": 1}, 400, "invalid_request"),
        ({"client_secret": None}, 400, "invalid_request"),
    ],
)
def test_wrong_clients_get_none(
    caller: Caller, changes: dict[str, object], status: int, error: str
) -> None:
    """Every field is needed, as text, and right."""
    answer = caller.token(**changes)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("body", ["{", "[]", ""])
def test_only_an_object_is_a_body(caller: Caller, body: str) -> None:
    """What is not a JSON object is a bad request."""
    assert caller.post(ENDPOINT, headers={}, body=body).status_code == 400


def test_form_body_is_refused(caller: Caller) -> None:
    """The documented body is JSON; a form, as other OAuth servers want it, is not."""
    options = caller.sandbox.options
    form = f"grant_type=client_credentials&client_id={options.client_id}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    answer = caller.post(
        ENDPOINT, headers=headers, body=f"{form}&client_secret={options.client_secret}"
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("api", OAUTH_APIS)
@pytest.mark.parametrize("header", ["Bearer unknown", "Bearer ", "Basic eDp5", ""])
def test_unknown_token_is_401(caller: Caller, api: str, header: str) -> None:
    """Without a token of ours a call is unauthenticated."""
    answer = caller.post(PATHS[api].format("A"), headers={"Authorization": header})

    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthenticated."})
    assert caller.sandbox.effects() == {}


def test_expired_token_is_401() -> None:
    """A token is worth nothing from the end of its lifetime on."""
    now = [1_800_000_000_000]
    options = SandboxOptions(token_lifetime=timedelta(minutes=10))
    with calling(Sandbox(options, clock=lambda: now[0])) as caller:
        assert caller.opt_out("xone-offers").status_code == 200
        now[0] += 599_999
        assert caller.opt_out("xone-offers").status_code == 200
        now[0] += 1
        assert caller.opt_out("xone-offers").status_code == 401
        assert caller.sandbox.requests()[-1]["why_not"] == "the access token has expired"


def test_several_tokens_live_at_once(caller: Caller) -> None:
    """A new token does not end the old one."""
    caller.opt_out("xone-offers", "A")
    caller.token()

    assert caller.opt_out("xone-offers", "B").status_code == 200
