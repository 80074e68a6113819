"""The three engines: where each one is, and how it is started."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 30.0  # seconds until a browser that should be there is missing
MINI_BROWSER = "webkit2gtk-4.1/MiniBrowser"  # no command: it lies among the library's own files

PREFERENCES = {
    # Firefox switches the back/forward cache off for whoever drives it, unless told otherwise.
    "remote.prefs.recommended": False,
    "fission.bfcacheInParent": True,
    # Nothing that a page did not ask for: no updates, first-run pages, reports.
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.aboutwelcome.enabled": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    # What is measured is measured to the microsecond.
    "privacy.reduceTimerPrecision": False,
}


@dataclass(frozen=True)
class Engine:
    """A browser of the matrix."""

    name: str
    package: str  # as Debian calls it
    programs: tuple[str, ...]
    flags: tuple[str, ...]
    profile: str  # how a profile's folder is named on the command line; empty: by environment

    @property
    def program(self) -> str:
        """The first of its programs that is here; otherwise the name of the first."""
        return next(filter(None, map(shutil.which, self.programs)), self.programs[0])

    def command(self, profile: Path) -> list[str]:
        """Start it as a customer's: with a folder to keep things in, and nobody driving."""
        where = [part.format(profile) for part in self.profile.split()]
        return [self.program, *self.flags, *where]

    def alone(self, profile: Path, address: str) -> subprocess.Popen[bytes]:
        """Open a page with nobody driving; the caller ends it, by its group."""
        if self is FIREFOX:
            prepare_firefox(profile)
        # What WebKitGTK keeps lies where the desktop's programs keep theirs.
        names = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        folders = {name: str(profile / name) for name in names}
        return subprocess.Popen(
            [*self.command(profile), address],
            env=os.environ | folders,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


CHROMIUM = Engine(
    "Chromium",
    "chromium",
    ("chromium", "chromium-browser", "google-chrome"),
    (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1000,700",
    ),
    "--user-data-dir={}",
)
FIREFOX = Engine(
    "Firefox",
    "firefox-esr",
    ("firefox-esr", "firefox"),
    ("--headless", "--no-remote"),
    "--profile {}",
)
WEBKIT = Engine(
    "WebKitGTK",
    "webkit2gtk-driver",
    tuple(
        f"{folder}/{MINI_BROWSER}"
        for folder in (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/libexec", "/usr/lib64")
    ),
    (),
    "",
)
ENGINES = (CHROMIUM, FIREFOX, WEBKIT)


def chromedriver() -> str:
    """Chromium's driver."""
    return shutil.which("chromedriver") or "chromedriver"


def webkitdriver() -> str:
    """WebKitGTK's driver."""
    return shutil.which("WebKitWebDriver") or "WebKitWebDriver"


def prepare_firefox(profile: Path) -> None:
    """Write a profile's preferences."""
    lines = (f'user_pref("{name}", {json.dumps(to)});\n' for name, to in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))


def wait(reached: Callable[[], object]) -> None:
    """Wait until *reached*; whoever waits sees for themselves whether it was."""
    end = time.monotonic() + PATIENCE
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)


def wait_for_text(path: Path, pattern: re.Pattern[str]) -> str:
    """Wait until a file holds what *pattern* finds, and return that."""
    wait(lambda: pattern.search(path.read_text(errors="replace")))
    found = pattern.search(path.read_text(errors="replace"))
    assert found, f"{path.name}: nothing like {pattern.pattern}"
    return found[0]
