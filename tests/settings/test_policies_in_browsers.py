"""What `check --page` says of a policy is what browsers do with it."""

import time
from collections.abc import Iterator

import pytest

from proxy import __version__
from proxy.assets import folder
from proxy.policies import Tag, connects, runs, split
from tests.browser import browsers
from tests.browser.engines import CHROMIUM, FIREFOX, WEBKIT, Engine
from tests.browser.window import Window
from tests.settings.home import Home
from tests.settings.page_shop import INTEGRITY, Shop, opened, serving_scripts

pytestmark = pytest.mark.browser

PATIENCE = 20.0  # seconds until an attempt to connect has ended
CONNECT = """window.ended = "";
fetch(arguments[0], {mode: "no-cors"}).then(() => window.ended = "got", () => window.ended = "not");
"""
# PROXY and PORT stand for the proxy's origin and its port, HASH for the released hash.
POLICIES = [
    "default-src 'none'",
    "default-src *",
    "img-src 'none'",
    "script-src 'self'; connect-src 'self'",
    "script-src PROXY; connect-src PROXY",
    "script-src PROXY/; connect-src PROXY/v1/",
    "script-src PROXY/s/; connect-src PROXY/.well-known/",
    "script-src PROXY/s; connect-src PROXY/.well-known",
    "script-src 127.0.0.1:PORT; connect-src 127.0.0.1:PORT",
    "script-src 127.0.0.1; connect-src 127.0.0.1",
    "script-src 127.0.0.1:*; connect-src 127.0.0.1:*",
    "script-src http:; connect-src http:",
    "script-src https:; connect-src https:",
    "script-src https://127.0.0.1:PORT; connect-src https://127.0.0.1:PORT",
    "script-src 'HASH'; connect-src 'HASH'",
    "script-src 'HASH' 'strict-dynamic'; connect-src PROXY",
    "script-src PROXY 'strict-dynamic'; connect-src PROXY",
    "script-src 'nonce-abc'; connect-src PROXY",
    "script-src 'nonce-ABC'; connect-src PROXY",
    "script-src 'nonce-abc' 'strict-dynamic'; connect-src PROXY",
    "script-src 'unsafe-inline'; connect-src PROXY",
    "script-src-elem PROXY; script-src 'none'; connect-src PROXY",
    "script-src-elem 'none'; script-src PROXY; connect-src PROXY",
    "script-src PROXY; script-src 'none'; connect-src 'none'; connect-src PROXY",
    "script-src PROXY, script-src 'none'; connect-src PROXY",
    "default-src 'none'; script-src PROXY",
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(CHROMIUM, id="chromium"),
        pytest.param(FIREFOX, id="firefox", marks=pytest.mark.thorough),
        pytest.param(WEBKIT, id="webkit", marks=pytest.mark.thorough),
    ],
)
def window(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Window]:
    """A browser of the engine."""
    engine: Engine = request.param
    with browsers.display(), browsers.opened(engine, tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture
def shop(home: Home) -> Iterator[Shop]:
    """A shop whose tag has a nonce."""
    with serving_scripts(folder("static")) as proxy, opened(home, proxy) as shop:
        shop.page = shop.page.replace(b"<script", b'<script nonce="abc"')
        yield shop


def observed(window: Window, shop: Shop, policy: str) -> tuple[bool, bool]:
    """Return whether the script ran and whether the page could connect, under *policy*."""
    shop.headers["Content-Security-Policy"] = policy
    window.go(f"{shop.url}/pay")
    ran = window.run("return typeof window.offerChoice") == "function"
    window.run(CONNECT, f"{shop.proxy}/.well-known/choice-scripts.json")
    until = time.monotonic() + PATIENCE
    while not (ended := window.run("return window.ended")):
        assert time.monotonic() < until, policy
        time.sleep(0.01)
    return ran, ended == "got"


def judged(shop: Shop, policy: str) -> tuple[bool, bool]:
    """Return what the check says of the same page."""
    page = f"{shop.url}/pay"
    tag = Tag(f"{shop.proxy}/s/{__version__}/choice.js", INTEGRITY, "abc")
    found = list(split([policy]))
    listed = f"{shop.proxy}/.well-known/choice-scripts.json"
    return (
        all(runs(each, page, tag) for each in found),
        all(connects(each, page, listed) for each in found),
    )


def test_browsers_do_what_the_check_says(window: Window, shop: Shop) -> None:
    """Policy by policy, for the script and for the connection."""
    port = shop.proxy.rpartition(":")[2]
    different, outcomes = {}, set()
    for text in POLICIES:
        policy = text.replace("PROXY", shop.proxy).replace("PORT", port).replace("HASH", INTEGRITY)
        seen, said = observed(window, shop, policy), judged(shop, policy)
        outcomes.add(seen)
        if seen != said:
            different[text] = {"browser": seen, "check": said}

    assert different == {}
    assert len(outcomes) == 4, "each of the two must have been let through, and refused, alone"
