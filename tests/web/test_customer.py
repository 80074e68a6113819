"""Personal data: off by default, from servers only, ten strings."""

from typing import Any

import pytest

from tests.web.deployment import Deployment, code_of

JANE = {
    "first_name": "Jane",
    "last_name": "O\u2019Brien-Ødegård",
    "country": "AU",
    "email": "jane+tickets@mail.example.com",
    "phone": "+49 1512 3456789",
    "address1": "1 High Street",
    "address2": "Flat 2",
    "city": "Sydney",
    "region": "NSW",
    "postcode": "2000",
}


def told(deployment: Deployment, customer: Any, upstream: str = "elements") -> str | None:
    """Return the code that telling *customer* is answered with; None if it is taken."""
    document = deployment.document(upstream=upstream) | {"customer": customer}
    answer = deployment.server(document, partner="OPEN")
    assert answer.status_code in (202, 422, 400)
    return code_of(answer)


def test_a_partner_that_may_passes_customer_data(deployment: Deployment) -> None:
    """Ten strings reach the register as they were sent."""
    assert told(deployment, JANE) is None
    assert deployment.intake.messages[0].customer == JANE


def test_customer_data_is_off_by_default(deployment: Deployment) -> None:
    """It is refused, not silently dropped, even where the upstream call would take it."""
    document = deployment.document() | {"customer": {}}

    assert code_of(deployment.server(document, partner="PLAIN")) == "customer_not_allowed"


def test_an_upstream_that_takes_none_gets_none(deployment: Deployment) -> None:
    """What could never be sent is never stored."""
    assert told(deployment, JANE, "tickets") == "customer_not_allowed"


def test_a_page_can_not_pass_customer_data(deployment: Deployment) -> None:
    """Personal data does not come from a browser."""
    assert code_of(deployment.page(deployment.form(customer="jane"))) == "invalid_request"


def test_only_quotes_take_a_date_of_birth(deployment: Deployment) -> None:
    """The older call has one field more."""
    born = {"date_of_birth": "1990-02-28"}

    assert told(deployment, born, "quotes") is None
    assert told(deployment, born, "elements") == "customer_invalid"


@pytest.mark.parametrize(
    "customer",
    [
        pytest.param([], id="list"),
        pytest.param("Jane", id="text"),
        pytest.param(None, id="null"),
        pytest.param({"passport": "x"}, id="unknown"),
        pytest.param({"first_name": 1}, id="number"),
        pytest.param({"first_name": None}, id="no-value"),
        pytest.param({"first_name": ""}, id="empty"),
        pytest.param({"first_name": "x" * 201}, id="long"),
        pytest.param({"first_name": "x" * 10_000}, id="very-long"),
        pytest.param({"first_name": "Jane\r\nBcc: x"}, id="two-lines"),
        pytest.param({"first_name": "\u202eenaJ"}, id="direction-override"),
        pytest.param({"first_name": "Ja\u200bne"}, id="invisible"),
        pytest.param({"address1": "1 High\tStreet"}, id="tab"),
        pytest.param({"email": "a@b.example\r\nBcc: x"}, id="email-two-lines"),
        pytest.param({"email": "a@b@c.example"}, id="email-two-signs"),
        pytest.param({"email": "a\u200b@b.example"}, id="email-invisible"),
        pytest.param({"email": "a@b"}, id="email-no-domain"),
        pytest.param({"email": "a@ex\u0430mple.com"}, id="email-homograph"),
        pytest.param({"email": "a b@c.example"}, id="email-space"),
        pytest.param({"phone": "call me"}, id="phone-words"),
        pytest.param({"country": "Australia"}, id="country-name"),
    ],
)
def test_a_bad_member_is_refused(deployment: Deployment, customer: Any) -> None:
    """What a form handler upstream could stumble over does not get there."""
    assert told(deployment, customer) == "customer_invalid"
    assert deployment.intake.messages == []


@pytest.mark.parametrize("born", ["1990-02-30", "90-02-28", "28.02.1990", "1850-01-01", "x"])
def test_a_date_of_birth_is_a_date(deployment: Deployment, born: str) -> None:
    """It is written as the insurer wants it."""
    assert told(deployment, {"date_of_birth": born}, "quotes") == "customer_invalid"


@pytest.mark.parametrize("name", ["first_name", "address1", "postcode", "phone"])
def test_a_card_number_is_no_customer_data(deployment: Deployment, name: str) -> None:
    """Nor does it hide in a name or an address."""
    assert told(deployment, {name: "4111111111111111"}) == "pan_detected"


def test_a_phone_number_is_no_card_number(deployment: Deployment) -> None:
    """With its prefix it has as many digits, and passes Luhn one time in ten."""
    assert told(deployment, {"phone": "+4222222222222"}) is None


def test_text_that_can_not_be_stored_is_refused(deployment: Deployment) -> None:
    """PostgreSQL takes no NUL."""
    assert told(deployment, {"first_name": "Ja\0ne"}) == "invalid_request"
