"""The demo as a visitor sees it, in a real browser: both moments of the report."""

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.demo.visitor import buy, fact, order, press, wait_for

pytestmark = pytest.mark.browser


def test_a_decline_is_reported_at_once(browser: webdriver.Chrome, shop: str) -> None:
    """Where the insurer wants it at the decline, the panel shows it verified on the same page."""
    order(browser, shop, "night-music")

    press(browser, "[value=declined]")

    wait_for(browser, "report", "delivered")
    wait_for(browser, "verified", "yes")
    assert "HMAC" in fact(browser, "scheme")


def test_a_decline_waits_for_the_purchase(browser: webdriver.Chrome, shop: str) -> None:
    """Where the insurer wants it at the purchase, nothing leaves before the tickets are paid."""
    order(browser, shop, "paper-lighthouse")
    press(browser, "[value=declined]")
    wait_for(browser, "report", "held")
    assert not browser.find_elements(By.CSS_SELECTOR, ".received li")

    buy(browser)

    wait_for(browser, "report", "delivered")
    wait_for(browser, "verified", "yes")
    assert "OAuth" in fact(browser, "scheme")


def test_an_acceptance_stays_in_the_proxy(browser: webdriver.Chrome, shop: str) -> None:
    """An accepted offer is recorded, and nothing reaches the insurer."""
    order(browser, shop, "night-music")

    press(browser, "[value=accepted]")

    wait_for(browser, "choice", "accepted")
    assert fact(browser, "report") == "none"
    assert not browser.find_elements(By.CSS_SELECTOR, ".received li")


def test_the_pages_keep_their_own_policy(browser: webdriver.Chrome, shop: str) -> None:
    """No page of the shop does anything that its content security policy forbids."""
    order(browser, shop, "night-music")
    press(browser, "[value=declined]")
    wait_for(browser, "report", "delivered")

    logs: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]

    assert [entry["message"] for entry in logs] == []
