"""From a click in a real browser to a verified signature upstream."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.acceptance.deployment import Deployment, until
from tests.acceptance.shop import chromium, pages

RELEASED = Path(__file__).parents[2] / "static" / "s" / "released.json"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def browser() -> Iterator[Chrome]:
    """A real Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def shop(deployment: Deployment) -> Iterator[str]:
    """Offer pages and a confirmation page that carry the script tag."""

    def offer_page() -> str:
        return _page(deployment, "offer-1")

    def confirmation() -> str:
        return _page(deployment, "offer-1", 'data-purchased="ORDER-1"')

    with pages(deployment.page_port, {"/": offer_page, "/thanks": confirmation}) as origin:
        yield origin


def _page(deployment: Deployment, offer: str, more: str = "") -> str:
    version, integrity = next(iter(json.loads(RELEASED.read_text()).items()))
    return (
        "<!doctype html><title>Tickets</title>"
        f'<script async src="{deployment.url}/s/{version}/choice.js" integrity="{integrity}" '
        f'crossorigin="anonymous" data-token="{deployment.session(offer)}" '
        f'data-offer="{offer}" {more}></script>'
        '<button data-choice="accepted">Protect my tickets</button>'
        '<button data-choice="declined">No, thank you</button>'
    )


def _ready(browser: Chrome) -> None:
    until(lambda: browser.execute_script("return typeof offerChoice") == "function", "the script")


def _click(browser: Chrome, choice: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f"[data-choice={choice}]").click()


def _reported(deployment: Deployment) -> list[dict[str, object]]:
    until(lambda: deployment.offer("offer-1").get("report") == "delivered", "the delivery")
    return deployment.received("offer-1")


def test_close_the_window_right_after_the_click(
    deployment: Deployment, shop: str, browser: Chrome
) -> None:
    """Nobody is left to read the answer; the insurer has exactly one verified opt-out."""
    browser.get(shop)
    _ready(browser)
    _click(browser, "declined")
    browser.close()

    (received,) = _reported(deployment)
    assert (received["verified"], received["status"]) == (True, 204)
    assert received["path"] == "/x/partners/LLODT/offers/offer-1/opt_out/"


@pytest.mark.parametrize("deployment", [{"settle": '"2s"'}], indirect=True)
def test_decline_then_accept(deployment: Deployment, shop: str, browser: Chrome) -> None:
    """The customer changed their mind before it settled: nothing is ever sent."""
    browser.get(shop)
    _ready(browser)
    _click(browser, "declined")
    until(lambda: deployment.offer("offer-1").get("report") == "due", "the decline")
    _click(browser, "accepted")
    until(lambda: deployment.offer("offer-1").get("report") == "cancelled", "the acceptance")
    deployment.say("offer-2")
    until(lambda: deployment.offer("offer-2")["report"] == "delivered", "a later decline")

    assert deployment.received("offer-1") == []


def test_proxy_down_during_the_click(deployment: Deployment, shop: str, browser: Chrome) -> None:
    """Down during the click, up later, next page: delivered once."""
    browser.get(shop)
    _ready(browser)
    until(lambda: deployment.offer("offer-1").get("choice") == "undecided", "the offer shown")
    deployment.proxy.kill()
    _click(browser, "declined")
    deployment.start_proxy()
    browser.get(f"{shop}/thanks")

    (received,) = _reported(deployment)
    assert received["verified"] is True
    until(lambda: deployment.offer("offer-1")["purchased"], "the purchase")
    assert deployment.offer("offer-1")["order"] == "ORDER-1"


def test_an_offer_that_is_only_shown_is_undecided(
    deployment: Deployment, shop: str, browser: Chrome
) -> None:
    """No click is no decline, even when the tickets are bought."""
    browser.get(shop)
    _ready(browser)
    browser.get(f"{shop}/thanks")
    until(lambda: deployment.offer("offer-1").get("purchased"), "the purchase")

    assert deployment.offer("offer-1")["choice"] == "undecided"
    assert deployment.received("offer-1") == []
