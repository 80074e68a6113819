"""How one offer stands."""

import json

import pytest

from tests.web.deployment import OFFER, SHOP, START, Deployment, code_of


def test_an_offer_is_shown_as_it_stands(deployment: Deployment) -> None:
    """The partner sees its register, and nothing of how it is kept."""
    deployment.page(deployment.form(purchased="1", order="ORDER-1"))
    answer = deployment.get(f"/v1/offers/{OFFER}", deployment.bearer())

    assert answer.status_code == 200
    assert json.loads(answer.text) == {
        "offer": OFFER,
        "upstream": "tickets",
        "choice": "declined",
        "seq": START,
        "purchased": True,
        "order": "ORDER-1",
        "report": "due",
        "conflict": False,
        "implicit": False,
        "late": False,
        "attempts": 0,
    }


def test_an_offer_of_another_partner_is_not_there(deployment: Deployment) -> None:
    """Guessing ids tells nothing."""
    deployment.page()
    answer = deployment.get(f"/v1/offers/{OFFER}?upstream=tickets", deployment.bearer("OPEN"))

    assert (answer.status_code, code_of(answer)) == (404, "not_found")


@pytest.mark.parametrize("offer", ["unknown", "a_b", "x" * 65, "a.b", ".."])
def test_what_is_not_there_is_not_found(deployment: Deployment, offer: str) -> None:
    """An id that can not be is as unknown as one that is not."""
    assert code_of(deployment.get(f"/v1/offers/{offer}", deployment.bearer())) == "not_found"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("upstream=tickets", None),
        ("upstream=nowhere", "invalid_request"),
        ("upstream=", "invalid_request"),
        ("upstream=tickets&upstream=tickets", "invalid_request"),
        ("other=1", "invalid_request"),
        ("upstream", "invalid_request"),
    ],
)
def test_the_query_names_an_upstream(deployment: Deployment, query: str, code: str | None) -> None:
    """Nothing else can be asked."""
    deployment.page()

    assert code_of(deployment.get(f"/v1/offers/{OFFER}?{query}", deployment.bearer())) == code


def test_several_upstreams_need_a_name(deployment: Deployment) -> None:
    """An offer is known per upstream."""
    answer = deployment.get(f"/v1/offers/{OFFER}", deployment.bearer("OPEN"))

    assert code_of(answer) == "invalid_request"


def test_only_the_partners_server_looks(deployment: Deployment) -> None:
    """Neither a stranger nor a page."""
    path = f"/v1/offers/{OFFER}"

    assert code_of(deployment.get(path)) == "server_key_invalid"
    assert code_of(deployment.get(path, deployment.bearer() | {"Origin": SHOP})) == (
        "browser_not_allowed"
    )
