"""The evening that is sold with XCover Elements: the widget makes the offer, in the browser."""

from collections.abc import Iterator, Mapping

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from proxy.demo.witnesses import Received, ask, read
from tests.demo.visitor import begin, buy, fact, order, patiently, wait_for

pytestmark = pytest.mark.browser
WIDGET = "xce-protection-offer"
SHOW = "field-of-swallows"
ACCEPT = "input:not([value=reject])"
DECLINE = "input[value=reject]"
CHECKOUT = "main .wide"
INVALID = """new MutationObserver(() => {
  const form = document.querySelector("form[data-request]");
  if (form) form.dataset.request = '{"context": {}}';
}).observe(document, {childList: true, subtree: true});"""
ADD_AGAIN = """const [gone] = document.querySelectorAll("script[data-elements]");
const late = document.createElement("script");
for (const { name, value } of gone.attributes) late.setAttribute(name, value);
document.head.append(late);"""
CHEAPER = """window.signalLayer.push({ signal: "update", element: "xce-protection-offer", data: {
  offer_request: { customer: { currency: "EUR", country: "NL", language: "en" },
    context: { total_tickets_price: 50 } },
} });"""


@pytest.fixture
def blocked(browser: webdriver.Chrome) -> Iterator[list[str]]:
    """Addresses that the browser does not load; *block* puts them into force."""
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})  # it keeps late tags out
    addresses: list[str] = []
    yield addresses
    addresses.clear()
    block(browser, addresses)
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})


@pytest.fixture
def invalid(browser: webdriver.Chrome) -> Iterator[None]:
    """The shop asks the widget for an offer that can not be."""
    command = "Page.addScriptToEvaluateOnNewDocument"
    script = browser.execute_cdp_cmd(command, {"source": INVALID})
    yield
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.fixture
def insurer(demo: Mapping[str, str]) -> str:
    """The address of the list of what reached the insurer."""
    return demo["insurer"]


def block(browser: webdriver.Chrome, addresses: list[str]) -> None:
    """Load what *addresses* match no longer, and everything else again."""
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": addresses})


def choose(browser: webdriver.Chrome, selector: str) -> None:
    """Answer in the widget."""
    within(browser, selector).click()


def within(browser: webdriver.Chrome, selector: str) -> WebElement:
    """Return what *selector* finds in the widget, which draws into a shadow root."""
    root = browser.find_element(By.CSS_SELECTOR, WIDGET).shadow_root
    return root.find_element(By.CSS_SELECTOR, selector)


def is_open(browser: webdriver.Chrome) -> bool:
    """Tell whether the visitor can go on."""
    return browser.find_element(By.CSS_SELECTOR, CHECKOUT).is_enabled()


def made(browser: webdriver.Chrome) -> str:
    """Return the offer that the widget made, when the shop's server has it too."""
    field = browser.find_element(By.CSS_SELECTOR, "input[name=offer]")
    offer = field.get_attribute("value") or ""
    wait_for(browser, "offer", offer)
    return offer


def reported(insurer: str, offer: str) -> list[Received]:
    """Return what has reached the insurer about *offer*."""
    return [read(entry) for entry in ask("GET", f"{insurer}?offer={offer}").body]


def test_a_decline_is_reported_once_after_the_purchase(
    browser: webdriver.Chrome, shop: str, insurer: str
) -> None:
    """For the offer that the widget made, and not before the tickets are paid."""
    order(browser, shop, SHOW)
    offer = made(browser)
    choose(browser, DECLINE)
    wait_for(browser, "report", "held")
    assert reported(insurer, offer) == []

    buy(browser)

    wait_for(browser, "report", "delivered")
    [report] = reported(insurer, offer)
    assert (report.api, report.verified, report.status) == ("xone-offers", True, 200)
    assert fact(browser, "offer") == offer


def test_an_acceptance_is_not_reported(browser: webdriver.Chrome, shop: str, insurer: str) -> None:
    """It is paid for, and nothing reaches the insurer from the proxy."""
    order(browser, shop, SHOW)
    offer = made(browser)

    choose(browser, ACCEPT)
    wait_for(browser, "choice", "accepted")
    assert "122.30" in browser.find_element(By.CSS_SELECTOR, "[data-total]").text
    buy(browser)

    wait_for(browser, "purchased", "ORDER-")
    assert (fact(browser, "choice"), fact(browser, "report")) == ("accepted", "none")
    assert "122.30" in browser.find_element(By.CSS_SELECTOR, ".total").text
    assert reported(insurer, offer) == []


def test_who_accepts_in_the_end_has_accepted(
    browser: webdriver.Chrome, shop: str, insurer: str
) -> None:
    """A decline that was taken back before the purchase is not reported."""
    order(browser, shop, SHOW)
    offer = made(browser)
    choose(browser, DECLINE)
    wait_for(browser, "report", "held")

    choose(browser, ACCEPT)
    wait_for(browser, "choice", "accepted")
    buy(browser)

    wait_for(browser, "purchased", "ORDER-")
    assert (fact(browser, "choice"), fact(browser, "report")) == ("accepted", "cancelled")
    assert reported(insurer, offer) == []


def test_the_checkout_waits_for_an_answer(browser: webdriver.Chrome, shop: str) -> None:
    """Nothing is selected beforehand; either answer opens it."""
    order(browser, shop, SHOW)

    assert not within(browser, ACCEPT).is_selected()
    assert not within(browser, DECLINE).is_selected()
    assert not is_open(browser)
    choose(browser, DECLINE)
    assert is_open(browser)


def test_without_the_widget_the_checkout_is_open(
    browser: webdriver.Chrome, shop: str, blocked: list[str]
) -> None:
    """Its script does not load: nothing is offered, nothing travels, and the tickets are sold."""
    block(browser, [*blocked, "*/elements.js"])
    begin(browser, shop, SHOW)

    buy(browser)

    wait_for(browser, "offer", "none")
    assert "/tickets" in browser.current_url
    assert "not offered" in browser.find_element(By.CSS_SELECTOR, ".prices").text
    assert not browser.find_elements(By.CSS_SELECTOR, "script[data-token]")


@pytest.mark.usefixtures("invalid")
def test_an_offer_that_fails_leaves_the_checkout_open(browser: webdriver.Chrome, shop: str) -> None:
    """The promise given to `onSet` is rejected: no empty frame, and the tickets are sold."""
    begin(browser, shop, SHOW)
    patiently(browser).until(lambda page: page.find_element(By.CSS_SELECTOR, f"{WIDGET}[hidden]"))

    assert is_open(browser)
    buy(browser)

    wait_for(browser, "offer", "none")
    assert "/tickets" in browser.current_url


def test_the_snippet_may_come_last(
    browser: webdriver.Chrome, shop: str, insurer: str, blocked: list[str]
) -> None:
    """Loaded when the offer has been made long since, it still hears which one and the answer."""
    block(browser, [*blocked, "*/choice.js"])
    begin(browser, shop, SHOW)
    patiently(browser).until(lambda page: within(page, DECLINE))
    offer = made(browser)
    block(browser, blocked)

    browser.execute_script(ADD_AGAIN)
    wait_for(browser, "choice", "undecided")
    choose(browser, DECLINE)
    wait_for(browser, "report", "held")
    buy(browser)

    wait_for(browser, "report", "delivered")
    assert len(reported(insurer, offer)) == 1


def test_an_offer_belongs_to_one_page(browser: webdriver.Chrome, shop: str, insurer: str) -> None:
    """Who comes back is offered anew, and only the offer that was there last is reported."""
    order(browser, shop, SHOW)
    first = made(browser)
    choose(browser, DECLINE)
    wait_for(browser, "report", "held")
    browser.refresh()
    wait_for(browser, "choice", "undecided")
    second = made(browser)

    choose(browser, DECLINE)
    wait_for(browser, "report", "held")
    buy(browser)

    wait_for(browser, "report", "delivered")
    assert first != second
    assert [len(reported(insurer, offer)) for offer in (first, second)] == [0, 1]


def test_an_update_keeps_the_answer(browser: webdriver.Chrome, shop: str) -> None:
    """The widget writes another price; what was chosen stays."""
    order(browser, shop, SHOW)
    choose(browser, ACCEPT)

    browser.execute_script(CHEAPER)

    assert "4.00" in within(browser, "[part=price]").text
    assert within(browser, ACCEPT).is_selected()


def test_the_page_keeps_its_own_policy(browser: webdriver.Chrome, shop: str) -> None:
    """Nothing on the way is forbidden by its content security policy, or goes wrong."""
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # what others left
    order(browser, shop, SHOW)
    choose(browser, DECLINE)
    wait_for(browser, "report", "held")
    buy(browser)
    wait_for(browser, "report", "delivered")

    logs: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]

    assert [entry["message"] for entry in logs] == []
