"""Which pages may speak, and which may read the answer."""

import json

import pytest

from tests.web.deployment import HOST, OTHER_SHOP, SHOP, Deployment, code_of

WWW = "https://www.shop.example"
FOREIGN = [
    "null",
    "",
    "https://evilshop.example",
    "https://shopXexample",
    "https://shop.example.evil.com",
    "https://shop.example:8443",
    "https://shop.example.",
    "https://shop.example/",
    "https://SHOP.EXAMPLE",
    "http://shop.example",
    "https://xn--shp-fna.example",
    "https://shop.example,https://evil.com",
    "https://shop.example, https://shop.example",
    "https://shop.example https://evil.com",
    "https://user@shop.example",
    "http://localhost:3001",
    "http://:8000",
]


def cors(answer: object) -> dict[str, str]:
    """Return every CORS header of *answer*."""
    headers = dict(answer.headers)  # type: ignore[attr-defined]
    return {name: value for name, value in headers.items() if name.startswith("Access-Control")}


def test_the_tokens_page_may_speak_and_read(deployment: Deployment) -> None:
    """An origin on the list and in the token; without credentials."""
    answer = deployment.page()

    assert answer.status_code == 202
    assert cors(answer) == {
        "Access-Control-Allow-Origin": SHOP,
        "Access-Control-Expose-Headers": "Retry-After",
    }
    assert answer.headers["Vary"] == "Origin"


def test_errors_can_be_read_too(deployment: Deployment) -> None:
    """The snippet must tell what to try again from what not."""
    answer = deployment.page({"choice": "declined"})

    assert code_of(answer) == "token_missing"
    assert cors(answer)["Access-Control-Allow-Origin"] == SHOP


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_origins_neither_speak_nor_read(deployment: Deployment, origin: str) -> None:
    """An origin is the same to the byte, or another one."""
    answer = deployment.page(origin=None, headers={"Origin": origin})

    assert (answer.status_code, code_of(answer)) == (403, "origin_not_allowed")
    assert cors(answer) == {}
    assert answer.headers["Vary"] == "Origin"


def test_a_page_without_origin_does_not_speak(deployment: Deployment) -> None:
    """Every browser sends it with a POST."""
    answer = deployment.page(origin=None)

    assert code_of(answer) == "origin_missing"
    assert cors(answer) == {}


def test_a_token_is_good_on_its_own_page_only(deployment: Deployment) -> None:
    """A sibling of the same partner is another page; it may read why."""
    answer = deployment.page(origin=WWW)

    assert code_of(answer) == "origin_mismatch"
    assert cors(answer)["Access-Control-Allow-Origin"] == WWW


def test_another_partners_page_is_a_stranger(deployment: Deployment) -> None:
    """It is configured, but not for this token."""
    answer = deployment.page(origin=OTHER_SHOP)

    assert code_of(answer) == "origin_not_allowed"
    assert cors(answer) == {}


def test_an_origin_in_brackets_is_no_pattern(deployment: Deployment) -> None:
    """flask-cors would read an IPv6 address as a set of characters."""
    origin = "http://[::1]:8000"
    token = deployment.mint("OPEN", origin=origin, upstream="tickets")
    answer = deployment.page(deployment.form(token=token), origin=origin)

    assert answer.status_code == 202
    assert cors(answer)["Access-Control-Allow-Origin"] == origin


def test_a_navigation_is_no_call(deployment: Deployment) -> None:
    """A form that a hostile page submits takes the customer away, and is refused."""
    answer = deployment.page(headers={"Sec-Fetch-Mode": "navigate"})

    assert (answer.status_code, code_of(answer)) == (403, "fetch_context_not_allowed")


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
def test_fetch_and_beacon_are_calls(deployment: Deployment, mode: str) -> None:
    """The snippet uses both."""
    assert deployment.page(headers={"Sec-Fetch-Mode": mode}).status_code == 202


def preflight(deployment: Deployment, origin: str, path: str = "/v1/choices") -> object:
    """Ask as a browser does before a call that is not simple."""
    return deployment.client.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
            "Access-Control-Request-Private-Network": "true",
        },
        base_url=f"https://{HOST}",
    )


def test_a_preflight_is_answered(deployment: Deployment) -> None:
    """Nothing about private networks, nothing about credentials."""
    answer = preflight(deployment, SHOP)

    assert answer.status_code == 204  # type: ignore[attr-defined]
    assert cors(answer) == {
        "Access-Control-Allow-Origin": SHOP,
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type",
        "Access-Control-Expose-Headers": "Retry-After",
    }


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_preflight_learns_nothing(deployment: Deployment, origin: str) -> None:
    """It is answered like any other, less what it asks for."""
    answer = preflight(deployment, origin)

    assert answer.status_code == 204  # type: ignore[attr-defined]
    assert cors(answer) == {}
    assert answer.headers["Vary"] == "Origin"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/choices/batch", "/v1/offers/o-1"])
def test_server_calls_are_no_pages_business(deployment: Deployment, path: str) -> None:
    """No page gets leave to call them."""
    answer = preflight(deployment, SHOP, path)

    assert answer.status_code == 204  # type: ignore[attr-defined]
    assert cors(answer) == {}


def test_an_origin_that_is_added_counts_at_once(deployment: Deployment) -> None:
    """The list is looked at for every request."""
    deployment.files.path.write_text(
        deployment.files.path.read_text().replace(WWW, "https://new.example")
    )
    assert deployment.configuration.reload()

    assert cors(preflight(deployment, WWW)) == {}
    assert json.dumps(cors(preflight(deployment, "https://new.example"))).count("new.example") == 1
