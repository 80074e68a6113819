"""Payment card numbers are refused wherever text may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.cards import has_card_number
from tests.web.deployment import Deployment, code_of


def luhn(digits: str) -> str:
    """Return *digits* with the check digit that makes them pass."""
    sums = (sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(digits)))
    return digits + str(-sum(sums) % 10)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "ORDER-4111111111111111",
        "7-4111111111111111",
        "12 4111 1111 1111 1111 12/29",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "4222222222222",
        "6304000000000000000",
        "\uff14\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11",
        "\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
        "4111\u20131111\u20131111\u20131111",
        "4111\u00a01111\u00a01111\u00a01111",
    ],
)
def test_a_card_number_is_seen(text: str) -> None:
    """However it is grouped, whatever stands beside it, in any script's digits."""
    assert has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",
        "411111111111",
        "41111111111111110000",
        "4111  1111  1111  1111",
        "ORDER-1",
        "2026-11-21",
        "a1b2c3d4-0000-4000-8000-000000000001",
    ],
)
def test_what_is_no_card_number_passes(text: str) -> None:
    """Only 13 to 19 digits that pass Luhn are one."""
    assert not has_card_number(text)


@given(st.text("0123456789", min_size=12, max_size=18))
def test_every_luhn_number_is_seen(digits: str) -> None:
    """No card scheme is left out."""
    assert has_card_number(luhn(digits))


def test_a_card_number_for_an_order_is_refused(deployment: Deployment) -> None:
    """A shop that mixes its variables up does not make us store card data."""
    card = "4111-1111-1111-1111"
    form = deployment.form(purchased="1", order=card)
    document = deployment.document(purchased=True, order=card)

    assert code_of(deployment.page(form)) == "pan_detected"
    assert code_of(deployment.server(document)) == "pan_detected"
    assert deployment.intake.messages == []


@pytest.mark.parametrize("value", ["4111 1111 1111 1111", 4111111111111111, 4111111111111111.0])
def test_a_card_number_in_metadata_is_refused(deployment: Deployment, value: object) -> None:
    """As text or as a number."""
    answer = deployment.server(deployment.document(metadata={"product": value}))

    assert code_of(answer) == "pan_detected"
