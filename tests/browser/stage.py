"""What a row of the matrix plays on."""

from dataclasses import dataclass
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.stand_in import Proxy, Shop

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
