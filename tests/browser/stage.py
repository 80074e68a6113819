"""What a row of the matrix plays on."""

from dataclasses import dataclass
from typing import Any

from tests.browser import traps
from tests.browser.engines import Engine, wait
from tests.browser.stand_in import Proxy, Shop
from tests.browser.window import Window

BUTTONS = """
    <button id=yes data-choice=accepted>Protect my tickets</button>
    <button id=no data-choice=declined>No, thank you</button>
"""


@dataclass(frozen=True)
class Stage:
    """A window on a shop, and the proxy that its pages speak to."""

    engine: Engine
    window: Window
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
        self.window.go(self.shop.page((tag or self.tag()) + body, **headers))

    def policy(self, policy: str) -> str:
        """Return a content security policy that lets the traps in, where they are set."""
        own = traps.source() if self.shop.trapped else ""
        return policy.replace("script-src ", f"script-src {own} ")

    def go(self, path: str) -> None:
        """Open another page of the shop."""
        self.window.go(self.shop.origin + path)

    def arrives(self, path: str) -> bool:
        """Whether the window comes to a page of the shop."""
        wait(lambda: self.window.address.endswith(path))
        return self.window.address.endswith(path)

    def click(self, selector: str, times: int = 1) -> None:
        """Click as a customer does."""
        for _ in range(times):
            self.window.click(selector)

    def press(self, selector: str, keys: str) -> None:
        """Type as a customer does."""
        self.window.press(selector, keys)

    def run(self, script: str, *arguments: object) -> Any:
        """Run *script* in the page."""
        return self.window.run(script, *arguments)

    def record(self, kind: str = "choice", offer: str = "OFFER-1") -> dict[str, Any]:
        """Return what the browser has stored about an offer."""
        script = "return JSON.parse(localStorage[`offerChoice:${arguments[0]}${arguments[1]}`])"
        return dict(self.run(script, kind, offer))
