"""The whole way, in each engine: the demo's page, the snippet, the proxy, the pretended insurer."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.browser.engines import wait
from tests.browser.window import Window

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """The address of a running demo's shop."""
    command = [sys.executable, "-m", "proxy", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield next(line.split()[-1] for line in process.stdout if "The shop" in line)
        process.terminate()


@pytest.fixture
def window(browser: Window) -> Iterator[Window]:
    """A tab of its own."""
    browser.open_tab()
    yield browser
    browser.close_tabs()


def press(window: Window, selector: str) -> None:
    """Click, once what is to be clicked is there."""
    wait(lambda: window.run("return !!document.querySelector(arguments[0])", selector))
    window.click(selector)


def received(window: Window, shop: str) -> list[dict[str, Any]]:
    """Return what the insurer has received for the offer of this page."""
    address = window.run("return document.querySelector('[data-travels]').dataset.travels")
    found: list[dict[str, Any]] = requests.get(shop.rstrip("/") + address, timeout=10).json()[
        "received"
    ]
    return found


@pytest.mark.parametrize("choice", ["declined", "accepted"])
def test_the_insurer_hears_of_declines_only(demo: str, window: Window, choice: str) -> None:
    """Declined on the page: one verified opt-out at the insurer. Accepted: none."""
    window.go(demo)
    press(window, "main button[value=night-music]")
    wait(lambda: window.run("return !!window.offerChoice?.('status')"))  # it loads by and by
    press(window, f"[data-choice={choice}]")

    wait(lambda: window.run("return offerChoice('status')?.status") == 202)
    if choice == "declined":
        wait(lambda: [one for one in received(window, demo) if one["status"] == 204])

    statuses = [(one["verified"], one["status"]) for one in received(window, demo)]
    assert statuses == ([(True, 204)] if choice == "declined" else [])
