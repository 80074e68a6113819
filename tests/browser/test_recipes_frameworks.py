"""The recipes of docs/recipes.md for React and Vue, built as a shop builds them.

A bundle holds the module, so that nothing in its stack says whose code it is: on trapped pages only
the rows with the tag are judged.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.browser.recipes.book import ACCEPT, DECLINE, DOCUMENT, HERE, Book, recipes
from tests.snippet.node import NPM, STATIC, node

pytest_plugins = ["tests.browser.recipes.fixtures"]
pytestmark = pytest.mark.browser
KINDS = ["Offer", "Vanishing", "Radios", "Calling"]
HEARD = """<script>
  window.calls = [];
  let said;
  Object.defineProperty(window, 'offerChoice', {
    get: () => said,
    set(told) { said = (...words) => { calls.push(words[0]); return told(...words) } },
  });
  window.failures = [];
  addEventListener('error', ({ message }) => failures.push(message));
  for (const level of ['error', 'warn']) {
    const said = console[level];
    console[level] = (...words) => { failures.push(words.join(' ')); said(...words) };
  }
</script>"""
PLACE = "<div id=app>{}</div>"


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the recipes build."""
    folder = tmp_path_factory.mktemp("recipes")
    for name in ("package.json", "package-lock.json", "build.mjs"):
        shutil.copyfile(HERE / name, folder / name)
    for name, text in recipes().items():
        framework, _, file = name.partition("/")
        if framework in ("react", "vue"):
            _write(folder, framework, file, text)
    node(NPM, "ci", "--silent", "--ignore-scripts", folder=folder)
    node("build.mjs", STATIC / "choice.mjs", folder=folder)
    return folder


def _write(folder: Path, framework: str, file: str, text: str) -> None:
    """Write a recipe; the one that starts an application, once for each kind of component."""
    home = folder / "src" / framework
    home.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(text)
    if file.startswith("main."):
        for kind in KINDS:
            (home / f"main{kind}{Path(file).suffix}").write_text(
                text.replace("./Offer.", f"./{kind}.")
            )


@dataclass(frozen=True)
class Application:
    """One framework's recipes on one stage."""

    name: str
    book: Book
    factory: Path
    mode: str = "production"

    def bundle(self, entry: str) -> str:
        """Let the shop serve what was built of a recipe; return its tag."""
        built = self.factory / "out" / self.mode / self.name / f"{entry}.js"
        headers = {"Content-Type": "text/javascript"}
        self.book.stage.shop.pages["/app.js"] = (self.book.fill(built.read_text("utf-8")), headers)
        return '<script src="/app.js"></script>'

    def show(self, kind: str, *before: str) -> None:
        """Open a page with a component."""
        body = HEARD + self.book.page(*before) + PLACE.format("") + self.bundle(f"main{kind}")
        self.book.stage.window.go(self.book.stage.shop.page(body))

    def server_html(self) -> str:
        """Return what the recipe renders on a server."""
        program = f"Promise.resolve(require('./out/server/{self.name}/server.cjs').render())"
        return node("--eval", f"{program}.then(console.log)", folder=self.factory).strip()


@pytest.fixture(params=["react", "vue"])
def app(request: pytest.FixtureRequest, book: Book, factory: Path) -> Iterator[Application]:
    """The recipes of each framework, which complains of nothing."""
    yield Application(request.param, book, factory)
    assert book.stage.run("return window.failures") == []


@pytest.mark.parametrize("mode", ["development", "production"])
@pytest.mark.parametrize("kind", ["Offer", "Calling"])
def test_a_component_rendered_in_the_browser(app: Application, kind: str, mode: str) -> None:
    """One `undecided` and one of each answer, however often effects run."""
    stage = app.book.stage
    replace(app, mode=mode).show(kind)
    assert app.book.shown() == ["OFFER-1"]
    twice = (app.name, mode) == ("react", "development")  # <StrictMode>
    assert stage.run("return calls") == ["session"] * (2 if twice else 1)

    app.book.click(button(kind, "No"))
    app.book.click(button(kind, "Protect"))

    said = stage.proxy.wait_for(2)
    assert [form["choice"] for form in said] == ["declined", "accepted"]
    assert {(form["offer"], form["token"]) for form in said} == {("OFFER-1", stage.token)}
    assert len(stage.proxy.received) == 3


@pytest.mark.parametrize("mode", ["development", "production"])
def test_a_component_hydrated_in_the_browser(app: Application, mode: str) -> None:
    """A click counts before and after hydration, which finds nothing changed."""
    stage = app.book.stage
    html = replace(app, mode=mode).server_html()
    script = replace(app, mode=mode).bundle("hydrate")
    stage.window.go(stage.shop.page(HEARD + app.book["tag"] + PLACE.format(html)))
    stage.click(DECLINE)
    stage.proxy.wait_for()
    marked = "document.querySelector(arguments[0]).marked = 1"
    stage.run(marked, DECLINE)

    [source] = re.findall(r'src="([^"]+)"', script)
    stage.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{ src: arguments[0], onload() { window.hydrated = 1 } }))",
        source,
    )
    stage.proxy.wait_until(lambda: bool(stage.run("return window.hydrated")))
    stage.click(ACCEPT)

    assert [form["choice"] for form in stage.proxy.wait_for(2)] == ["declined", "accepted"]
    assert stage.run("return document.querySelector(arguments[0]).marked", DECLINE)  # the same node


@pytest.mark.parametrize("choice", [DECLINE, ACCEPT], ids=["declined", "accepted"])
def test_buttons_that_a_framework_removes(app: Application, choice: str) -> None:
    """The answer is read before the framework removes it."""
    app.show("Vanishing", "tag")

    app.book.click(choice)

    assert [f"[data-choice={form['choice']}]" for form in app.book.stage.proxy.wait_for()] == [
        choice
    ]
    assert not app.book.stage.run("return document.querySelector('button')")


def test_controlled_radios(app: Application) -> None:
    """Nothing is set beforehand; each radio that is set is one answer, and stays set."""
    stage = app.book.stage
    app.show("Radios", "tag")
    assert not stage.run("return document.querySelector(':checked')")

    app.book.click(DECLINE)
    app.book.click(f"label:has({ACCEPT})")

    assert [form["choice"] for form in stage.proxy.wait_for(2)] == ["declined", "accepted"]
    assert stage.run("return document.querySelector(':checked').dataset.choice") == "accepted"


def button(kind: str, words: str) -> str:
    """Return a selector of the button that begins with *words*."""
    if kind != "Calling":
        return DECLINE if words == "No" else ACCEPT
    return "section > :last-child" if words == "No" else "section > :first-child"


def test_the_packages_are_told_by_their_hashes() -> None:
    """Wherever they come from; and the document names what was tried."""
    lock = (HERE / "package-lock.json").read_text("utf-8")
    packages = json.loads(lock)["packages"]
    react, vue = (packages[f"node_modules/{name}"]["version"] for name in ("react", "vue"))
    text = DOCUMENT.read_text("utf-8")

    assert "resolved" not in lock
    assert lock.count('"integrity"') == len(packages) - 1
    assert f"React {react.partition('.')[0]}." in text
    assert f"Vue {vue.rpartition('.')[0]}." in text
