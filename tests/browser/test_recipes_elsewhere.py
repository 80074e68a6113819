"""Where docs/recipes.md says that the tag does not work, and what it names instead."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.recipes.book import ACCEPT, DECLINE, Book, recipes
from tests.snippet.node import NODE, ROOT
from tests.web import served
from tests.web.deployment import Files

pytest_plugins = ["tests.browser.recipes.fixtures"]
pytestmark = pytest.mark.browser

# A closed root is closed to a row as well, unless it is there when it is made.
KEEP = """<script>const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function (how) { return window.root = attach.call(this, how) }
    </script>"""
PRESS = "root.querySelector(arguments[0]).click()"


def test_a_closed_shadow_root_says_it_itself(book: Book) -> None:
    """The function is the way out."""
    book.stage.window.go(book.stage.shop.page(KEEP + book.page("tag", "closed-shadow-root")))

    book.stage.run(PRESS, DECLINE)
    book.stage.run(PRESS, ACCEPT)

    assert [form["choice"] for form in book.stage.proxy.wait_for(2)] == ["declined", "accepted"]


def test_a_closed_shadow_root_that_says_nothing(book: Book) -> None:
    """Its markup is not seen."""
    mute = book["closed-shadow-root"].replace("if (button) offerChoice", "if (button) String")
    book.stage.window.go(book.stage.shop.page(KEEP + book["tag"] + mute))

    book.stage.run(PRESS, DECLINE)

    assert not book.stage.proxy.wait_until(lambda: True)


def test_a_div_as_a_button(book: Book) -> None:
    """With the recipe its keys answer."""
    book.show("tag", "div-as-button")

    book.stage.press(DECLINE, Keys.ENTER)
    book.stage.press(ACCEPT, Keys.SPACE)

    assert [form["choice"] for form in book.stage.proxy.wait_for(2)] == ["declined", "accepted"]


def test_a_div_without_keys(book: Book) -> None:
    """Without it Enter makes no click."""
    markup = book["div-as-button"].partition("<script>")[0]
    book.stage.window.go(book.stage.shop.page(book["tag"] + markup))

    book.stage.press(DECLINE, Keys.ENTER)

    assert not book.stage.proxy.wait_until(lambda: True)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Files]:
    """The proxy's own public listener."""
    files = Files(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        path = files.write(public_url=address)
        handle = listening.fileno()
        command = [sys.executable, "-m", served.__name__, str(path), str(handle), "2"]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[handle])
        yield files
        process.terminate()
        process.wait()


def test_the_server_tells(service: Files, tmp_path: Path) -> None:
    """With Node.js, against the proxy itself; twice the same message is one choice."""
    recipe = recipes()["server/report.mjs"]
    module = tmp_path / "report.mjs"
    module.write_text(recipe.replace("https://proxy.shop.example", service.values["public_url"]))
    program = (
        f"import {{ message, report }} from '{module.as_uri()}';"
        "const told = message('OFFER-1', 'declined');"
        "console.log(JSON.stringify([await report(told), await report(told)]))"
    )

    printed = subprocess.run(
        [NODE, "--input-type=module", "--eval", program],
        env=os.environ | {"SERVER_KEY": service.keys["ACME"]},
        check=True,
        capture_output=True,
    )

    first, second = json.loads(printed.stdout)
    assert (first["offer"], first["choice"], first["replayed"]) == ("OFFER-1", "declined", False)
    assert second["replayed"]
