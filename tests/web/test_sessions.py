"""Sessions for partners that keep no signing key in their shop."""

import json
from typing import Any

import pytest

from tests.web.deployment import OFFER, OTHER_SHOP, SHOP, Deployment, code_of

PATH = "/v1/sessions"


def ask(deployment: Deployment, key: str | None = None, **only: Any) -> Any:
    """Ask for a session; name only what the test is about; None takes a member away."""
    members = {"offer": OFFER, "origin": SHOP} | only
    document = {name: value for name, value in members.items() if value is not None}
    headers = {"Idempotency-Key": key} if key is not None else {}
    return deployment.server(document, path=PATH, headers=headers)


def test_a_session_gives_a_token_that_works(deployment: Deployment) -> None:
    """The page of the answer can decline with it."""
    answer = ask(deployment)

    assert answer.status_code == 201
    said = json.loads(answer.text)
    assert said["expires_at"] == "2027-01-15T08:30:00Z"
    assert deployment.page(deployment.form(token=said["token"])).status_code == 202


def test_a_session_makes_the_offer_known(deployment: Deployment) -> None:
    """The funnel counts what was shown."""
    ask(deployment, metadata={"product": "tickets"})

    known = deployment.intake.known["ACME", "tickets", OFFER]
    assert known.metadata == {"product": "tickets"}


def test_a_session_takes_customer_data_where_permitted(deployment: Deployment) -> None:
    """It is kept on the server's side, never in the token."""
    document = {
        "offer": OFFER,
        "origin": OTHER_SHOP,
        "upstream": "elements",
        "customer": {"first_name": "Jane"},
    }
    answer = deployment.server(document, path=PATH, partner="OPEN")

    assert answer.status_code == 201
    assert deployment.intake.known["OPEN", "elements", OFFER].customer == {"first_name": "Jane"}


def test_a_session_lasts_as_long_as_asked(deployment: Deployment) -> None:
    """The token is expired after its own ttl."""
    token = json.loads(ask(deployment, ttl=60).text)["token"]
    session = deployment.keyring.verify(token, deployment.clock.seconds)

    assert (session.ttl, session.upstream) == (60, "tickets")


def test_the_same_key_gives_the_same_token(deployment: Deployment) -> None:
    """A retry after a lost answer is harmless, whenever it comes."""
    first = ask(deployment, "key-1").text
    deployment.clock.pass_seconds(90)

    assert ask(deployment, "key-1").text == first
    assert ask(deployment, "key-2").text != first


def test_without_a_key_every_token_is_new(deployment: Deployment) -> None:
    """The key is optional."""
    assert ask(deployment).text != ask(deployment).text


def test_the_same_key_for_another_session_is_refused(deployment: Deployment) -> None:
    """A key names one content."""
    ask(deployment, "key-1")

    assert code_of(ask(deployment, "key-1", ttl=600)) == "idempotency_key_reused"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\xe9"])
def test_a_key_is_one_word(deployment: Deployment, key: str) -> None:
    """A key that is cut or joined on its way would be another one."""
    assert code_of(ask(deployment, key)) == "invalid_request"


@pytest.mark.parametrize(
    "only",
    [
        {"offer": None},
        {"offer": "a/b"},
        {"offer": 1},
        {"origin": None},
        {"origin": 1},
        {"ttl": 59},
        {"ttl": 86_401},
        {"ttl": 10**9},
        {"ttl": "60"},
        {"ttl": 60.0},
        {"ttl": True},
        {"upstream": "nowhere"},
        {"metadata": {"a": {}}},
        {"token": "x"},
        {"jti": "x"},
        {"offer_id": OFFER},
    ],
)
def test_a_bad_field_is_refused(deployment: Deployment, only: dict[str, Any]) -> None:
    """No token is minted that would not verify, and no claim can be chosen by the caller."""
    answer = ask(deployment, **only)

    assert (answer.status_code, code_of(answer)) == (400, "invalid_request")
    assert deployment.intake.known == {}


@pytest.mark.parametrize("origin", ["https://evil.example", f"{SHOP}/", "https://SHOP.example", ""])
def test_only_listed_origins_get_a_token(deployment: Deployment, origin: str) -> None:
    """A stolen server key opens no other page."""
    answer = ask(deployment, origin=origin)

    assert (answer.status_code, code_of(answer)) == (422, "origin_not_allowed")


def test_customer_data_is_off_by_default(deployment: Deployment) -> None:
    """As for choices."""
    assert code_of(ask(deployment, customer={"first_name": "Jane"})) == "customer_not_allowed"


@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_page_can_not_ask_without_a_preflight(deployment: Deployment, media: str) -> None:
    """Only JSON asks for a session, and JSON is no simple request."""
    answer = deployment.server(b"{}", path=PATH, headers={"Content-Type": media})

    assert code_of(answer) == "unsupported_media_type"
