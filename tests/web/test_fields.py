"""What the fields of a message may be, from a page and from a server alike."""

from typing import Any

import pytest

from tests.web.deployment import Deployment, code_of

BIG = 2**53

BAD_TEXTS = [
    pytest.param("id", "", id="id-empty"),
    pytest.param("id", "x", id="id-no-uuid"),
    pytest.param("id", "{00000000-0000-4000-8000-000000000001}", id="id-in-braces"),
    pytest.param("id", "00000000000040008000000000000001", id="id-without-hyphens"),
    pytest.param("id", "00000000-0000-4000-8000-00000000000\u0661", id="id-arabic-digit"),
    pytest.param("id", "00000000-0000-4000-8000-000000000001\n", id="id-newline"),
    pytest.param("choice", "", id="choice-empty"),
    pytest.param("choice", "decline", id="choice-almost"),
    pytest.param("choice", "Declined", id="choice-case"),
    pytest.param("choice", "opt_out", id="choice-unknown"),
    pytest.param("choice", None, id="choice-missing"),
    pytest.param("order", "ORDER-1", id="order-without-purchase"),
]
BAD_ORDERS = ["", " ", "A B", "A\n", "A\0", "é", "x" * 65, "\u202eA", "A\x1b[2J"]
BAD_NUMBERS = ["", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "01", "\u0661", "1_0", "NaN"]


@pytest.mark.parametrize(("name", "text"), BAD_TEXTS)
def test_a_page_can_not_say_nonsense(deployment: Deployment, name: str, text: str | None) -> None:
    """A malformed field of a form is refused, and nothing is recorded."""
    assert code_of(deployment.page(deployment.form(**{name: text}))) == "invalid_request"
    assert deployment.intake.messages == []


@pytest.mark.parametrize(("name", "text"), BAD_TEXTS)
def test_a_server_can_not_say_nonsense(deployment: Deployment, name: str, text: str | None) -> None:
    """A malformed member of a document is refused, and nothing is recorded."""
    assert code_of(deployment.server(deployment.document(**{name: text}))) == "invalid_request"
    assert deployment.intake.messages == []


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("name", ["seq", "at", "tries"])
def test_a_number_has_one_spelling(deployment: Deployment, name: str, text: str) -> None:
    """Only what another reader reads as the same integer is one."""
    assert code_of(deployment.page(deployment.form(**{name: text}))) == "invalid_request"


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("seq", 0, "invalid_request"),
        ("seq", 1, None),
        ("seq", BIG - 1, None),
        ("seq", BIG, "invalid_request"),
        ("seq", 2**63, "invalid_request"),
        ("at", -1, "invalid_request"),
        ("at", 0, None),
        ("at", BIG - 1, None),
        ("at", BIG, "invalid_request"),
        ("tries", 0, "invalid_request"),
        ("tries", 1, None),
        ("tries", 999, None),
        ("tries", 1000, "invalid_request"),
    ],
)
def test_a_number_has_its_bounds(
    deployment: Deployment, name: str, number: int, code: str | None
) -> None:
    """The bounds are the same for pages and servers."""
    assert code_of(deployment.page(deployment.form(**{name: str(number)}))) == code
    assert code_of(deployment.server(deployment.document(**{name: number}))) == code


@pytest.mark.parametrize("name", ["id", "seq", "at"])
def test_what_is_needed_can_not_be_missing(deployment: Deployment, name: str) -> None:
    """id, seq and at are part of every message."""
    assert code_of(deployment.page(deployment.form(**{name: None}))) == "invalid_request"
    assert code_of(deployment.server(deployment.document(**{name: None}))) == "invalid_request"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("id", 1, id="id-number"),
        pytest.param("seq", "1", id="seq-text"),
        pytest.param("seq", 1.0, id="seq-float"),
        pytest.param("seq", True, id="seq-boolean"),
        pytest.param("at", [1], id="at-list"),
        pytest.param("tries", "1", id="tries-text"),
        pytest.param("choice", ["declined"], id="choice-list"),
        pytest.param("choice", {}, id="choice-object"),
        pytest.param("purchased", "1", id="purchased-text"),
        pytest.param("purchased", 1, id="purchased-number"),
        pytest.param("purchased", False, id="purchased-false"),
        pytest.param("offer", 7, id="offer-number"),
        pytest.param("upstream", 7, id="upstream-number"),
        pytest.param("upstream", "nowhere", id="upstream-unknown"),
        pytest.param("metadata", [], id="metadata-list"),
    ],
)
def test_json_types_are_exact(deployment: Deployment, name: str, value: Any) -> None:
    """A server's document has the types that it is documented with."""
    answer = deployment.server(deployment.document(**{name: value}))

    assert code_of(answer) == "invalid_request"


@pytest.mark.parametrize("name", ["choice", "purchased", "order", "tries", "upstream", "metadata"])
def test_null_is_no_value(deployment: Deployment, name: str) -> None:
    """An optional member is left out, not null."""
    answer = deployment.server(deployment.document() | {name: None})

    assert code_of(answer) == "invalid_request"


@pytest.mark.parametrize("text", ["", "0", "2", "true", "yes", "11", "1 "])
def test_purchased_is_exactly_one(deployment: Deployment, text: str) -> None:
    """A form says `purchased=1` or nothing."""
    assert code_of(deployment.page(deployment.form(purchased=text))) == "invalid_request"


@pytest.mark.parametrize("order", BAD_ORDERS)
def test_an_order_is_one_printable_word(deployment: Deployment, order: str) -> None:
    """An order reference ends in exports and logs."""
    form = deployment.form(purchased="1", order=order)
    document = deployment.document(purchased=True, order=order)

    assert code_of(deployment.page(form)) == "invalid_request"
    assert code_of(deployment.server(document)) == "invalid_request"


@pytest.mark.parametrize(
    "offer",
    [
        "",
        ".",
        "..",
        "a/b",
        "a%2fb",
        "a?b",
        "A#frag",
        "a\r\nX: y",
        "a\0",
        "\uff0e\uff0e",
        "a_b",
        "x" * 65,
    ],
)
def test_an_offer_can_not_move_an_address(deployment: Deployment, offer: str) -> None:
    """A decline must never become a purchase: `A#frag` would."""
    token = deployment.mint("OPEN", offer=None, origin="https://other.example", upstream="tickets")
    form = deployment.form(token=token, offer=offer)

    assert code_of(deployment.page(form, origin="https://other.example")) == "invalid_request"
    assert code_of(deployment.server(deployment.document(offer=offer))) == "invalid_request"
