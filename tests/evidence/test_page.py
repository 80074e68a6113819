"""The report's page as a browser shows and prints it."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from proxy.cli import main
from tests.evidence.conftest import Deployment
from tests.settings.shell import run

pytestmark = pytest.mark.browser
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium at 1280 px."""
    if not CHROMIUM.exists() or not DRIVER.exists():
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(filled: Deployment, browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    """The page of the full register, with every name, opened from its file."""
    out = tmp_path / "report.html"
    by = [f"--by={word}" for word in ("day", "partner", "upstream", "product")]
    result = run(
        main, "report", "--config", filled.home.config, "--format", "html", "--out", out, *by
    )
    assert result.exit_code == 0
    browser.get(out.as_uri())
    return browser


def test_the_page_fits_and_the_browser_has_nothing_to_say(page: webdriver.Chrome) -> None:
    """No sideways scrolling at 1280 px, nothing refused by its own policy."""
    assert page.execute_script("return document.documentElement.scrollWidth") <= 1280
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]  # selenium's


def test_every_line_is_printed_with_its_heading(page: webdriver.Chrome) -> None:
    """A4 across, the table's head again on each page, pages numbered."""
    printed = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])

    width, height = (
        float(side) for side in re.findall(rb"MediaBox \[0 0 ([0-9.]+) ([0-9.]+)", pdf)[0]
    )

    assert (round(width), round(height)) == (842, 595)
    assert pdf.count(b"/Type /Page\n") in range(3, 8)


def test_a_narrow_screen_shows_it_too(page: webdriver.Chrome) -> None:
    """Only the table of all columns scrolls by itself."""
    page.set_window_size(500, 900)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 500
    finally:
        page.set_window_size(1280, 900)
