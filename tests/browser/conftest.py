"""One browser of each engine for all rows; a shop, a proxy and a tab of its own for each."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import bidi, driven
from tests.browser.engines import CHROMIUM, ENGINES, FIREFOX, WEBKIT, Engine
from tests.browser.stage import Stage
from tests.browser.stand_in import Proxy, Shop
from tests.browser.window import CanNotError, Window

OPEN: dict[Engine, Callable[[Path], Window]] = {
    CHROMIUM: driven.chromium,
    FIREFOX: bidi.Firefox,
    WEBKIT: driven.webkit,
}


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """A display for WebKitGTK, which hangs without one."""
    if os.environ.get("DISPLAY"):
        yield
        return
    reading, writing = os.pipe()
    program = shutil.which("Xvfb") or "Xvfb"
    command = [program, "-displayfd", str(writing), "-screen", "0", "1000x700x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writing], stderr=subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        os.environ["DISPLAY"] = f":{number.readline().strip()}"
    yield
    del os.environ["DISPLAY"]
    server.terminate()
    server.wait()


@pytest.fixture(scope="session", params=ENGINES, ids=lambda engine: engine.name.lower())
def engine(request: pytest.FixtureRequest, display: None) -> Engine:  # noqa: ARG001  WebKit's
    """Each engine in its turn."""
    found: Engine = request.param
    return found


@pytest.fixture(scope="session")
def browser(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The engine's browser, headless, with a new profile."""
    window = OPEN[engine](tmp_path_factory.mktemp("profile"))
    yield window
    window.quit()


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A folder for a browser that a row starts itself."""
    (tmp_path / "profile").mkdir()
    return tmp_path / "profile"


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.thorough)], ids=["", "trapped"])
def trapped(request: pytest.FixtureRequest) -> bool:
    """Whether everything that the snippet does not need throws when it is read."""
    return bool(request.param)


@pytest.fixture
def stage(engine: Engine, browser: Window, trapped: bool) -> Iterator[Stage]:  # noqa: FBT001  a fixture
    """Everything new: origins, and so storage; the tab; the token."""
    shop, proxy = Shop(trapped=trapped), Proxy()
    browser.open_tab()
    yield Stage(engine, browser, shop, proxy, f"test.{secrets.token_urlsafe(48)}")
    browser.close_tabs()
    shop.close()
    proxy.close()
    assert not shop.caught, "the snippet read what it does not need"


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    """Skip, with the reason, a row for which an engine has no means."""
    try:
        return (yield)
    except CanNotError as reason:
        pytest.skip(str(reason))
