"""The demo as a visitor sees it, in a real browser: both moments of the report."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser
PATIENCE = 20.0  # seconds


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a running demo's shop."""
    command = [sys.executable, "-m", "proxy", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield next(line.split()[-1] for line in process.stdout if "The shop" in line)
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,1400"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service()) as chrome:
        yield chrome


def patiently(browser: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    """Wait for what is still on its way, pages included."""
    passing = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=passing)


def press(browser: webdriver.Chrome, selector: str) -> None:
    """Click the first element that *selector* finds, once it is there."""

    def clicked(page: webdriver.Chrome) -> bool:
        page.find_element(By.CSS_SELECTOR, selector).click()
        return True

    patiently(browser).until(clicked)


def order(browser: webdriver.Chrome, shop: str, show: str) -> None:
    """Begin an order of *show*; return when the snippet has said that the offer was shown."""
    browser.get(shop)
    press(browser, f"main button[value={show}]")
    wait_for(browser, "choice", "undecided")


def buy(browser: webdriver.Chrome) -> None:
    """Go on to the payment, and pay."""
    press(browser, "main form:not([action$=payment]) .wide")
    press(browser, "main form[action$=payment] .wide")


def fact(browser: webdriver.Chrome, name: str) -> str:
    """Return what the panel shows of *name*."""
    return browser.find_element(By.CSS_SELECTOR, f"[data-fact={name}]").text


def wait_for(browser: webdriver.Chrome, name: str, text: str) -> None:
    """Wait until the panel shows *text* for *name*."""
    patiently(browser).until(lambda page: text in fact(page, name))


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
