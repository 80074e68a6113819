"""A browser that is killed, and started again by the customer: nobody drives it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.engines import Engine, wait
from tests.browser.stage import BUTTONS
from tests.browser.stand_in import Proxy, Shop

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OFFER = "KILLED-WITH-THE-BROWSER"
CLICKS_ITSELF = """<script>addEventListener('load', () => setTimeout(() => {
    no.click(); navigator.sendBeacon('/clicked');
  }, 200))</script>"""


@contextmanager
def opened(engine: Engine, profile: Path, address: str) -> Iterator[None]:
    """Open a page in a browser of its own; kill that with all its processes at the end."""
    browser = engine.alone(profile, address)
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def holds(folder: Path, text: str) -> bool:
    """Whether any file below *folder* holds *text*, in one of the encodings that engines use."""
    spellings = (text.encode(), text.encode("utf-16-le"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    return any(spelling in _content(path) for path in files for spelling in spellings)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone again
        return b""


def test_a_browser_that_is_killed_says_it_when_it_comes_back(engine: Engine, profile: Path) -> None:
    """The proxy is down, the browser dies by SIGKILL; once it is back, the answer arrives.

    An engine writes its storage to disk some seconds late: the row waits until it has.
    """
    shop, proxy = Shop(), Proxy()
    tag = f'<script src="{proxy.script}" data-token="a.token" data-offer="{OFFER}"></script>'
    offer = shop.page(tag + BUTTONS + CLICKS_ITSELF, "/offer")
    after = shop.page(tag, "/after")
    with opened(engine, profile, offer):
        wait(lambda: proxy.received)  # that it was shown: the script is there
        proxy.stop()
        wait(lambda: "/clicked" in shop.asked)
        wait(lambda: holds(profile, f"choice{OFFER}"))
        wait(lambda: holds(profile, "declined"))
    assert proxy.said == []
    proxy.start()

    with opened(engine, profile, after):
        said = proxy.wait_for()

    assert [form["choice"] for form in said] == ["declined"]
    assert int(said[0]["tries"]) > 1
    shop.close()
    proxy.close()


def test_a_browser_that_is_killed_at_the_click_has_said_it(engine: Engine, profile: Path) -> None:
    """What the proxy has received it has, whatever becomes of the browser."""
    shop, proxy = Shop(), Proxy()
    tag = f'<script src="{proxy.script}" data-token="a.token" data-offer="{OFFER}"></script>'
    address = shop.page(tag + BUTTONS + CLICKS_ITSELF)

    with opened(engine, profile, address):
        wait(lambda: proxy.said)

    assert [form["choice"] for form in proxy.wait_for()] == ["declined"]
    shop.close()
    proxy.close()
