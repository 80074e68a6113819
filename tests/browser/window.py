"""What a row of the matrix does to a browser, whichever engine it is."""

from typing import Any, Protocol


class CanNotError(Exception):
    """This engine, or its driver, has no such thing; the text is the reason that the page shows."""


class Window(Protocol):
    """One browser with one tab in front; everything is done to that tab."""

    version: str

    @property
    def address(self) -> str:
        """The URL of the page."""

    @property
    def title(self) -> str:
        """Its title."""

    def open_tab(self) -> None:
        """Open another tab and bring it to the front."""

    def front(self, tab: int) -> None:
        """Bring the tab with that number to the front; 0 is not used by rows."""

    def close_tabs(self) -> None:
        """Close every tab but the first."""

    def go(self, address: str) -> None:
        """Open a page and wait until it has loaded."""

    def reload(self) -> None:
        """Load the page again."""

    def back(self) -> None:
        """Go one page back."""

    def click(self, selector: str) -> None:
        """Click the first element that *selector* finds, as a customer does."""

    def press(self, selector: str, keys: str) -> None:
        """Type *keys* into the first element that *selector* finds."""

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function in the page and return what it returns, as JSON would."""

    def set_offline(self, *, offline: bool) -> None:
        """Take away the tab's network, or give it back; CanNotError where there is no way."""

    def quit(self) -> None:
        """End the browser."""
