"""One browser for all rows; a shop, a proxy and a window of its own for each."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.stand_in import Proxy, Shop

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,700",
)
BUTTONS = """
    <button id=yes data-choice=accepted>Protect my tickets</button>
    <button id=no data-choice=declined>No, thank you</button>
"""


@dataclass(frozen=True)
class Stage:
    """A window on a shop, and the proxy that its pages speak to."""

    driver: webdriver.Chrome
    shop: Shop
    proxy: Proxy
    token: str

    def tag(self, **data: str) -> str:
        """The script tag, with *data* beside or instead of the usual attributes."""
        names = {"token": self.token, "offer": "OFFER-1"} | data
        attributes = " ".join(f'data-{name}="{value}"' for name, value in names.items())
        return f'<script src="{self.proxy.script}" {attributes}></script>'

    def show(self, body: str = BUTTONS, tag: str | None = None, **headers: str) -> None:
        """Open a page with the tag and *body*."""
        address = self.shop.page((tag or self.tag()) + body, **headers)
        self.driver.get(address)

    def go(self, path: str) -> None:
        """Open another page of the shop."""
        self.driver.get(self.shop.origin + path)

    def find(self, selector: str) -> WebElement:
        """Return the first element that *selector* finds."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str, times: int = 1) -> None:
        """Click as a customer does."""
        for _ in range(times):
            self.find(selector).click()

    def run(self, script: str, *arguments: object) -> Any:
        """Run *script* in the page."""
        return self.driver.execute_script(script, *arguments)

    def record(self, kind: str = "choice", offer: str = "OFFER-1") -> dict[str, Any]:
        """Return what the browser has stored about an offer."""
        script = "return JSON.parse(localStorage[`offerChoice:${arguments[0]}${arguments[1]}`])"
        return dict(self.run(script, kind, offer))


@pytest.fixture(scope="session")
def chrome() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.page_load_strategy = "normal"
    with webdriver.Chrome(options=options, service=Service()) as driver:
        yield driver


@pytest.fixture
def stage(chrome: webdriver.Chrome) -> Iterator[Stage]:
    """Everything new: origins, and so storage; the window; the token."""
    base = chrome.current_window_handle
    chrome.switch_to.new_window("window")
    shop, proxy = Shop(), Proxy()
    yield Stage(chrome, shop, proxy, f"test.{secrets.token_urlsafe(48)}")
    for handle in chrome.window_handles:
        if handle != base:
            chrome.switch_to.window(handle)
            chrome.close()
    chrome.switch_to.window(base)
    shop.close()
    proxy.close()
