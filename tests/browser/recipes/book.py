"""What docs/recipes.md tells its readers to write: the rows run that, letter by letter."""

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.browser.engines import wait
from tests.browser.stage import Stage
from tests.browser.stand_in import SCRIPT, Shop

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[2] / "docs" / "recipes.md"
BLOCK = re.compile(r"^<!-- recipe: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DECLINE = "[data-choice=declined]"
ACCEPT = "[data-choice=accepted]"


def integrity() -> str:
    """Return what the tag says of the snippet as it is now."""
    return f"sha384-{base64.b64encode(hashlib.sha384(SCRIPT.read_bytes()).digest()).decode()}"


def recipes() -> dict[str, str]:
    """Return every block of the document by its name."""
    return dict(BLOCK.findall(DOCUMENT.read_text("utf-8")))


@dataclass(frozen=True)
class Book:
    """The recipes, for one stage; *other* is a shop on another site."""

    stage: Stage
    other: Shop
    text: dict[str, str] = field(default_factory=recipes, repr=False)

    @property
    def other_origin(self) -> str:
        """The other shop's: another host, and so another site."""
        return self.other.origin

    def fill(self, text: str) -> str:
        """Put this stage's addresses and values in the place of the document's."""
        values = {
            "https://proxy.shop.example": self.stage.proxy.origin,
            "https://checkout.shop.example": self.other_origin,
            "https://shop.example": self.stage.shop.origin,
            "TOKEN": self.stage.token,
            "sha384-…": integrity(),
        }
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    def __getitem__(self, name: str) -> str:
        """Return a recipe, filled in."""
        return self.fill(self.text[name])

    def page(self, *names: str) -> str:
        """Return the recipes one after the other."""
        return "\n".join(self[name] for name in names)

    def show(self, *names: str, path: str = "/", **headers: str) -> None:
        """Open a page that is made of recipes."""
        self.stage.window.go(self.stage.shop.page(self.page(*names), path, **headers))

    def script(self, name: str) -> str:
        """Return what a recipe has between its script tags, for whoever puts it into a page."""
        return self[name].partition("<script>")[2].partition("</script>")[0]

    def policy(self, *names: str) -> str:
        """Return the policies that recipes show as headers, together."""
        told = [self[name].strip().removeprefix("Content-Security-Policy: ") for name in names]
        return self.stage.policy("; ".join(told))

    def shown(self) -> list[str]:
        """Wait until an offer is told to be shown, and a little longer; return all of them."""
        proxy = self.stage.proxy
        proxy.wait_until(lambda: bool(self.undecided))
        return self.undecided

    @property
    def undecided(self) -> list[str]:
        """The offers that were told to be shown, and no more so far."""
        forms = [received.form for received in self.stage.proxy.received]
        return [form["offer"] for form in forms if form.get("choice") == "undecided"]

    def click(self, selector: str = DECLINE) -> None:
        """Click what a script may still have to put into the page."""
        wait(lambda: self.stage.run("return !!document.querySelector(arguments[0])", selector))
        self.stage.click(selector)
