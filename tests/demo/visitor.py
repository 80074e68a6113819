"""What a visitor of the demo shop does and sees, in a real browser."""

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 20.0  # seconds
POLL = 0.1  # seconds between two looks


def patiently(browser: webdriver.Chrome) -> WebDriverWait[webdriver.Chrome]:
    """Wait for what is still on its way, pages included."""
    passing = (NoSuchElementException, StaleElementReferenceException)
    return WebDriverWait(browser, PATIENCE, POLL, ignored_exceptions=passing)


def press(browser: webdriver.Chrome, selector: str) -> None:
    """Click the first element that *selector* finds, once it is there."""

    def clicked(page: webdriver.Chrome) -> bool:
        page.find_element(By.CSS_SELECTOR, selector).click()
        return True

    patiently(browser).until(clicked)


def begin(browser: webdriver.Chrome, shop: str, show: str) -> None:
    """Begin an order of *show*."""
    browser.get(shop)
    press(browser, f"main button[value={show}]")


def order(browser: webdriver.Chrome, shop: str, show: str) -> None:
    """Begin an order of *show*; return when the snippet has said that the offer was shown."""
    begin(browser, shop, show)
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
