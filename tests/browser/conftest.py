"""One browser of each engine for all rows; a shop, a proxy and a tab of its own for each."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browsers
from tests.browser.engines import ENGINES, Engine
from tests.browser.stage import Stage
from tests.browser.stand_in import Proxy, Shop
from tests.browser.window import CanNotError, Window


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """A display for WebKitGTK, which hangs without one."""
    with browsers.display():
        yield


@pytest.fixture(scope="session", params=ENGINES, ids=lambda engine: engine.name.lower())
def engine(request: pytest.FixtureRequest, display: None) -> Engine:  # noqa: ARG001  WebKit's
    """Each engine in its turn."""
    found: Engine = request.param
    return found


@pytest.fixture(scope="session")
def browser(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """The engine's browser, headless, with a new profile."""
    with browsers.opened(engine, tmp_path_factory.mktemp("profile")) as window:
        yield window


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
    assert {received.method for received in proxy.received} <= {"POST"}, "a preflight"


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    """Skip, with the reason, a row for which an engine has no means."""
    try:
        return (yield)
    except CanNotError as reason:
        pytest.skip(str(reason))
