"""Every page of the dashboard in real browsers: nothing to complain of, and it does what it says.

axe-core looks at each page in Chromium, in light and dark, as wide as a desk and a phone. What an
operator does all day is done in each engine.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.admin import on_record
from tests.admin.in_browser import (
    ENTER,
    NO_PAGES,
    ON_THE_WAY,
    REFUSED,
    VISITS,
    Site,
    a_site,
    count,
    has,
    shows,
)
from tests.browser import browsers, driven, engines
from tests.browser.conftest import browser, display, engine  # noqa: F401  # fixtures of these too
from tests.browser.window import Window
from tests.snippet.node import NPM, node

HERE = Path(__file__).parent
DESK, PHONE = 1280, 360
DEAD = "report = 'dead', outcome = 'refused', status = 422, due_at = NULL, unknown_at = NULL"
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(
  (found) => done(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])),
  (error) => done([["axe", [String(error)]]]),
);
"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core as its lock file pins it."""
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, folder / name)
    node(NPM, "ci", "--silent", "--ignore-scripts", folder=folder)
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard with data."""
    with a_site(tmp_path_factory.mktemp("site"), 2_000) as site:
        yield site


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard on the first day."""
    with a_site(tmp_path_factory.mktemp("empty"), 0) as site:
        yield site


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[driven.Driven]:
    """A browser with a new profile, so that nobody is signed in."""
    with browsers.opened(engines.CHROMIUM, tmp_path) as window:
        assert isinstance(window, driven.Driven)
        yield window


class Eye:
    """Looks at pages for what is wrong with them."""

    def __init__(self, driver: WebDriver, axe: str) -> None:
        self._driver: Any = driver
        self._axe = axe
        self.wrong: list[str] = []

    def adapt(self, scheme: str, width: int) -> None:
        """Make the window so wide, on a desk or a phone that prefers light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def look(self) -> None:
        """Write down what is wrong with the page in front."""
        page = self._driver.current_url
        self._driver.execute_script(self._axe)
        for rule, places in self._driver.execute_async_script(RUN):
            self.wrong.append(f"{page}: axe {rule}: {places}")
        wide = "const { scrollWidth, clientWidth } = document.documentElement;"
        if self._driver.execute_script(f"{wide} return scrollWidth > clientWidth"):
            self.wrong.append(f"{page}: wider than the window")
        for entry in self._driver.get_log("browser"):
            if not (entry["source"] == "network" and _is_refused(entry["message"])):
                self.wrong.append(f"{page}: console: {entry['message']}")


def _is_refused(message: str) -> bool:
    """Tell whether Chromium says of a page that is to be refused that it was."""
    return any(f"/admin/{path} - Failed to load resource" in message for path in REFUSED)


def test_every_page_is_visited(site: Site) -> None:
    """Whoever adds a page adds its visit."""
    rules = site.dashboard.admin.url_map.iter_rules()
    pages = {rule.endpoint for rule in rules if "GET" in (rule.methods or ())}

    assert pages == VISITS.keys() | ON_THE_WAY | NO_PAGES


def _wrong(site: Site, window: driven.Driven, axe: str, scheme: str, width: int) -> list[str]:
    """Return what is wrong with any page, in one look."""
    eye = Eye(window.driver, axe)
    eye.adapt(scheme, width)
    site.sign_in(window, site.dashboard.person("operator"), look=eye.look)
    for path in [path for visit in VISITS.values() for path in visit(site)] + [*REFUSED]:
        window.go(site.path(path))
        eye.look()
    return eye.wrong


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", DESK),
        ("dark", PHONE),
        pytest.param("light", PHONE, marks=pytest.mark.thorough),
        pytest.param("dark", DESK, marks=pytest.mark.thorough),
    ],
)
def test_nothing_is_wrong_with_any_page(
    site: Site, chromium: driven.Driven, axe: str, scheme: str, width: int
) -> None:
    """No violation of axe's rules, no error in the console, nothing beside the window."""
    assert _wrong(site, chromium, axe, scheme, width) == []


@pytest.mark.browser
def test_nothing_is_wrong_on_the_first_day(empty: Site, chromium: driven.Driven, axe: str) -> None:
    """Where every page says that there is nothing yet."""
    assert _wrong(empty, chromium, axe, "light", PHONE) == []


@pytest.mark.browser
def test_what_is_wrong_is_seen(site: Site, chromium: driven.Driven, axe: str) -> None:
    """Planted: an inline script, an image without words, something wide."""
    eye = Eye(chromium.driver, axe)
    chromium.go(site.path("login"))
    eye.look()
    assert eye.wrong == []

    chromium.run(
        "const bad = document.createElement('script'); bad.textContent = '1';"
        "const image = document.createElement('img'); image.width = 5000;"
        "document.querySelector('main').append(bad, image);"
    )
    eye.look()

    kinds = [fault.partition(": ")[2] for fault in eye.wrong]
    assert [kind.split(":")[0] for kind in kinds] == [
        "axe image-alt",
        "wider than the window",
        "console",
    ]
    assert "Content Security Policy" in kinds[-1]


@pytest.mark.browser
def test_an_operators_day(site: Site, browser: Window) -> None:  # noqa: F811  # the fixture
    """Sign in, find an offer, send a dead letter again, resolve a conflict: keys and pointer."""
    person = site.dashboard.person("operator")
    site.sign_in(browser, person, look=lambda: None)
    _search(site, browser)
    _requeue(site, browser)
    _resolve(site, browser)
    browser.click(".whoami button")
    assert shows(browser, "Password")

    told = [kind for kind in ("requeued", "resolved") for _ in _done(site, person.name, kind)]
    assert told == ["requeued", "resolved"]


def _done(site: Site, name: str, kind: str) -> list[str]:
    done = on_record.done(site.dashboard, kind)
    return [subject or "" for user, subject in done if user == name]


def _search(site: Site, window: Window) -> None:
    row = site.row("choice = 'accepted' AND purchased")
    offer = on_record.offer(site.dashboard, row)["offer"]
    window.go(site.path("deliveries"))
    window.press("#offer", offer[:9] + ENTER)
    engines.wait(lambda: count(window, "#found tbody tr") == 1)
    assert shows(window, offer)
    assert count(window, "#found tbody tr") == 1
    window.press(f"#offer-{row}", ENTER)
    assert shows(window, "The customer accepted, so there is nothing to report.")


def _made(site: Site, change: str) -> int:
    """Change a row that nothing is wrong with, so that each engine has one of its own."""
    row = site.row("report = 'delivered' AND conflicts = ''")
    site.dashboard.execute(f"UPDATE offers SET {change} WHERE id = :row", row=row)
    return row


def _requeue(site: Site, window: Window) -> None:
    row = _made(site, DEAD)
    window.go(site.path(f"deliveries/{row}"))
    window.press("#requeue-note", "Case 88: mended.")
    window.click("form[action$=requeue] button")
    assert shows(window, f"Delivery {row} is due again")
    assert shows(window, "Case 88: mended.")


def _resolve(site: Site, window: Window) -> None:
    _made(site, "conflicts = 'acceptance'")
    window.go(site.path("conflicts"))
    row = int(window.run("return document.querySelector('article h2').id").partition("-")[2])
    form = f"form[action$='/{row}/resolve']"
    window.click("article summary")
    window.click(f"{form} input[value=withdrawn]")
    window.press(f"#note-{row}", "The insurer: taken back." + ENTER)
    assert shows(window, f"The conflict of delivery {row} is resolved as withdrawn.")


@pytest.mark.browser
def test_a_story_goes_on_while_it_is_looked_at(
    site: Site,
    browser: Window,  # noqa: F811  # the fixture
) -> None:
    """What happens meanwhile appears by itself, is said, and leaves the focus where it is."""
    site.sign_in(browser, site.dashboard.person("operator"), look=lambda: None)
    row = _made(site, DEAD)
    browser.go(site.path(f"deliveries/{row}"))
    browser.press("#requeue-note", "half a sen")

    assert site.dashboard.service.dead_letters.requeue(row, "From elsewhere.")

    assert shows(browser, "From elsewhere.")
    said = browser.run("return document.getElementById('said').textContent")
    assert "sent as soon as" in said
    focused = browser.run("return [document.activeElement.id, document.activeElement.value]")
    assert focused == ["requeue-note", "half a sen"]


@pytest.mark.browser
def test_a_large_pile_is_sent_again_by_one_press(tmp_path: Path, chromium: driven.Driven) -> None:
    """The script goes on from part to part; the page that is reached says how many there were."""
    with a_site(tmp_path, 2_000) as site:
        site.dashboard.execute(
            "UPDATE offers SET report = 'dead', outcome = 'refused', status = 422,"
            " partner = 'LAMPLIGHT', upstream = 'tickets', due_at = NULL, unknown_at = NULL"
            " WHERE choice = 'declined'"
        )
        dead = site.dashboard.rows("SELECT count(*) AS n FROM offers WHERE report = 'dead'")
        site.sign_in(chromium, site.dashboard.person("operator"), look=lambda: None)
        pile = "partner=LAMPLIGHT&upstream=tickets&outcome=refused&status=422"
        chromium.go(site.path(f"dead-letters/requeue?{pile}"))
        chromium.click("main form button")

        assert shows(chromium, f"{dead[0]['n']:,} dead letters made due again")
        assert has(chromium, ".empty")
