"""One running demo and one browser for each file of tests that asks for them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@pytest.fixture(scope="module")
def demo() -> Iterator[Mapping[str, str]]:
    """The addresses that a running demo has printed, by the word before them."""
    command = [sys.executable, "-m", "proxy", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found: dict[str, str] = {}
        try:
            for line in process.stdout:
                if "  The " in line:
                    _, word, address = line.split()
                    found[word] = address
                if "insurer" in found:
                    break
            yield found
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def shop(demo: Mapping[str, str]) -> str:
    """The address of a running demo's shop."""
    return demo["shop"]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,1400"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service()) as chrome:
        yield chrome
