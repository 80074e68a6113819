"""One browser for all rows; a shop, a proxy and a window of its own for each."""

import secrets
import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.browser.stage import Stage
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


@pytest.fixture(scope="session")
def chrome() -> Iterator[webdriver.Chrome]:
    """A headless Chromium, with the driver that was installed beside it."""
    options = webdriver.ChromeOptions()
    browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    options.binary_location = next(filter(None, browsers), "chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    with webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"))) as driver:
        yield driver


@pytest.fixture
def stage(chrome: webdriver.Chrome) -> Iterator[Stage]:
    """Everything new: origins, and so storage; the window; the token."""
    base = chrome.current_window_handle
    chrome.switch_to.new_window("tab")
    shop, proxy = Shop(), Proxy()
    yield Stage(chrome, shop, proxy, f"test.{secrets.token_urlsafe(48)}")
    for handle in chrome.window_handles:
        if handle != base:
            chrome.switch_to.window(handle)
            chrome.close()
    chrome.switch_to.window(base)
    shop.close()
    proxy.close()
