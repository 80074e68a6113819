"""Chromium and WebKitGTK, through their own WebDrivers."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.service import Service as WebKitService

from tests.browser import engines
from tests.browser.window import CanNotError


class Driven:
    """A browser that Selenium drives."""

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver
        self.version = str(driver.capabilities["browserVersion"])
        self._tabs = [driver.current_window_handle]

    @property
    def address(self) -> str:
        """The URL of the page."""
        return str(self.driver.current_url)

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.driver.title)

    def open_tab(self) -> None:
        """Open another tab and bring it to the front."""
        self.driver.switch_to.new_window("tab")
        self._tabs.append(self.driver.current_window_handle)

    def front(self, tab: int) -> None:
        """Bring a tab to the front."""
        self.driver.switch_to.window(self._tabs[tab])

    def close_tabs(self) -> None:
        """Close every tab but the first, those that pages opened too."""
        first = self._tabs[0]
        for handle in self.driver.window_handles:
            if handle != first:
                self.driver.switch_to.window(handle)
                self.driver.close()
        self.driver.switch_to.window(first)
        self._tabs = [first]

    def go(self, address: str) -> None:
        """Open a page."""
        self.driver.get(address)

    def reload(self) -> None:
        """Load the page again."""
        self.driver.refresh()

    def back(self) -> None:
        """Go one page back."""
        self.driver.back()

    def click(self, selector: str) -> None:
        """Click."""
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, selector: str, keys: str) -> None:
        """Type."""
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(keys)

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script."""
        return self.driver.execute_script(script, *arguments)

    def set_offline(self, *, offline: bool) -> None:
        """Chromium's driver can; WebKitGTK asks the system."""
        if not isinstance(self.driver, webdriver.Chrome):
            raise CanNotError("WebKitGTK takes `onLine` from the system; its driver can not say it")
        self.driver.set_network_conditions(
            offline=offline, latency=0, download_throughput=-1, upload_throughput=-1
        )

    def quit(self) -> None:
        """End it; one that has ended already is fine."""
        with contextlib.suppress(WebDriverException):
            self.driver.quit()


def chromium(profile: Path) -> Driven:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = engines.CHROMIUM.program
    for flag in (*engines.CHROMIUM.flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = ChromeService(engines.chromedriver())
    return Driven(webdriver.Chrome(options=options, service=service))


def webkit(_profile: Path) -> Driven:
    """WebKitGTK's own small browser; it needs a display, and keeps nothing when it is driven."""
    options = webdriver.WebKitGTKOptions()
    options.binary_location = engines.WEBKIT.program
    options.add_argument("--automation")
    service = WebKitService(engines.webkitdriver())
    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
        # Selenium's own class starts its connection in a way that Selenium deprecates.
        return Driven(webdriver.WebKitGTK(options=options, service=service))
