"""The recipes of docs/recipes.md that need no build. The judge is what the proxy received."""

import re

import pytest
from selenium.webdriver.common.keys import Keys

from proxy import __version__
from tests.browser.recipes.book import ACCEPT, BLOCK, DECLINE, DOCUMENT, HERE, Book, recipes
from tests.browser.stand_in import SCRIPT, Answer
from tests.browser.window import CanNotError

pytest_plugins = ["tests.browser.recipes.fixtures"]
pytestmark = pytest.mark.browser


# ---- The document --------------------------------------------------------------------------------


def test_every_block_is_run() -> None:
    """Each block has a name, and each name stands in a row; all for React and Vue are built."""
    text = DOCUMENT.read_text("utf-8")
    rows = "".join(path.read_text("utf-8") for path in HERE.parent.glob("test_recipes*.py"))
    built = ("react/", "vue/")

    assert len(recipes()) == len(BLOCK.findall(text)) == text.count("\n```") / 2
    assert [n for n in recipes() if f'"{n}"' not in rows and not n.startswith(built)] == []


def test_no_sample_says_what_it_should_not() -> None:
    """Nothing is selected beforehand, nobody opts out, no key is in a page, the version is ours."""
    shown = "\n".join(recipes().values())

    assert not re.search(r"\b(default)?checked(?!=\{answer === choice\})|\bselected\b", shown)
    assert not re.search(r"\bopt(ed|ing|s)?[ -]?out\b(?!-proxy)", shown, re.IGNORECASE)
    assert not re.search(r"osk_|ots_", shown)
    assert set(re.findall(r"/s/([^/]+)/choice.js", shown)) == {__version__}


# ---- Plain HTML ----------------------------------------------------------------------------------


def test_documented_buttons(book: Book) -> None:
    """Shown once; the last of two answers stands."""
    book.show("tag", "buttons")
    assert book.shown() == ["OFFER-1"]

    book.stage.click(DECLINE)
    book.stage.press(ACCEPT, Keys.ENTER)

    said = book.stage.proxy.wait_for(2)
    assert [form["choice"] for form in said] == ["declined", "accepted"]
    assert {form["token"] for form in said} == {book.stage.token}


def test_documented_radios(book: Book) -> None:
    """Nobody gets past them without an answer; setting one and paying is one answer."""
    book.show("tag", "radios")
    book.stage.click("form > button")
    assert not book.stage.proxy.said
    assert not book.stage.window.address.endswith("/pay")

    book.stage.click(f"label:has({DECLINE})")
    book.stage.click("form > button")

    assert book.stage.arrives("/pay")
    assert {form["id"] for form in book.stage.proxy.wait_for()} == {book.stage.proxy.said[0]["id"]}
    assert book.stage.proxy.choices[-1] == "declined"


def test_a_documented_select(book: Book) -> None:
    """Nothing is said before an option is chosen; the one that is kept counts."""
    book.show("tag", "select")
    book.stage.click("form > button")
    assert not book.stage.proxy.said

    book.stage.press("select", "No")

    assert book.stage.proxy.wait_for()[-1]["choice"] == "declined"


FOREIGN = """<div class=cover-box><a href="#" class=buy>Yes</a>
    <button class=skip><b>No</b></button>
    <label><input type=radio name=cover value=no> No</label></div>"""


@pytest.mark.parametrize("what", [".skip b", "label"])
def test_documented_selectors(book: Book, what: str) -> None:
    """Markup without an attribute of ours."""
    page = book.page("selectors") + FOREIGN
    book.stage.window.go(book.stage.shop.page(page))

    book.stage.click(".buy")
    book.stage.click(what)

    assert [form["choice"] for form in book.stage.proxy.wait_for(2)] == ["accepted", "declined"]


def test_several_documented_offers(book: Book) -> None:
    """Each with its own token; both were shown."""
    book.show("offers")
    assert sorted(book.shown()) == ["OFFER-1", "OFFER-2"]

    book.stage.click(f"[data-offer=OFFER-1] {DECLINE}")
    book.stage.click(f"[data-offer=OFFER-2] {ACCEPT}")

    said = {form["offer"]: (form["choice"], form["token"]) for form in book.stage.proxy.wait_for(2)}
    assert said == {
        "OFFER-1": ("declined", f"{book.stage.token}-1"),
        "OFFER-2": ("accepted", f"{book.stage.token}-2"),
    }


def test_the_documented_confirmation_page(book: Book) -> None:
    """It brings the answer that was left behind, and tells the purchase once."""
    book.stage.proxy.answers = [Answer(401)]
    book.show("tag", "buttons")
    book.stage.click(DECLINE)
    book.stage.proxy.wait_for()

    book.show("confirmation", path="/thanks")
    book.stage.proxy.wait_for(3)
    book.stage.window.reload()

    said = book.stage.proxy.wait_for(3)
    assert [form.get("choice", form.get("order")) for form in said[-2:]] == ["declined", "ORDER-1"]
    assert len(said) == 3


# ---- A tag manager, consent ----------------------------------------------------------------------


def test_a_tag_manager_that_comes_late(book: Book) -> None:
    """The stub keeps the click; afterwards a click is one answer, not two."""
    book.show("tag-manager/stub", "buttons")
    book.stage.click(DECLINE)
    assert not book.stage.proxy.fetched

    book.stage.run(book.script("tag-manager/custom-html"))
    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]
    book.stage.click(ACCEPT)

    said = book.stage.proxy.wait_for(2)
    assert [form["choice"] for form in said] == ["declined", "accepted"]
    assert {(form["offer"], form["token"]) for form in said} == {("OFFER-1", book.stage.token)}


def test_a_tag_manager_without_the_stub(book: Book) -> None:
    """What was clicked before is lost; what is clicked then is not."""
    book.show("buttons")
    book.stage.click(DECLINE)

    book.stage.run(book.script("tag-manager/custom-html"))
    book.shown()
    assert not book.stage.proxy.said
    book.stage.click(ACCEPT)

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["accepted"]


def test_a_tag_manager_and_a_form(book: Book) -> None:
    """A radio that was set before the script came answers when its form is sent."""
    book.show("radios")
    book.stage.click(DECLINE)

    book.stage.run(book.script("tag-manager/custom-html"))
    book.shown()
    book.stage.click("form > button")

    assert book.stage.proxy.wait_for()[-1]["choice"] == "declined"


def test_consent_that_comes(book: Book) -> None:
    """On the next page, which paused too: everything goes out, and the answer only once."""
    book.show("consent/page", "tag", "buttons")
    book.stage.click(DECLINE)
    book.show("consent/page", "tag", path="/pay")
    book.stage.proxy.wait_until(lambda: True)
    assert not book.stage.proxy.received

    book.stage.run(book["consent/granted"])

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]
    assert not book.undecided  # the answer has taken the place of what it answers


def test_consent_that_never_comes(book: Book) -> None:
    """Not even when the page goes."""
    book.show("consent/page", "tag", "buttons")
    book.stage.click(DECLINE)
    book.stage.go("/next")

    book.stage.proxy.wait_until(lambda: True)
    assert not book.stage.proxy.received


# ---- Content security policies -------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("csp/trusted-types",)], ids=["", "trusted-types"])
@pytest.mark.parametrize(
    ("policy", "tag"),
    [("csp/host", "tag"), ("csp/hash", "tag"), ("csp/nonce", "csp/nonce-tag")],
)
def test_a_documented_policy(book: Book, policy: str, tag: str, more: tuple[str, ...]) -> None:
    """What the document names is enough."""
    headers = {"Content_Security_Policy": book.policy(policy, *more)}
    book.show(tag, "buttons", **headers)
    book.shown()

    book.stage.click(DECLINE)

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]


@pytest.mark.parametrize("policy", ["csp/nonce"])
def test_a_nonce_that_the_tag_lacks(book: Book, policy: str) -> None:
    """`'strict-dynamic'` lets no tag in by its host: the customer's checkout goes on without."""
    book.show("tag", "buttons", Content_Security_Policy=book.policy(policy))

    book.stage.click(DECLINE)

    assert not book.stage.proxy.wait_until(lambda: True)
    assert not book.stage.proxy.received


def test_trusted_types_and_a_tag_manager(book: Book) -> None:
    """A script that makes a script is refused where Trusted Types are known."""
    book.show("buttons", Content_Security_Policy=book.policy("csp/trusted-types"))
    if not book.stage.run("return !!window.trustedTypes"):
        raise CanNotError("does not know Trusted Types")

    put = f"try {{ {book.script('tag-manager/custom-html')} }} catch (e) {{ return e.name }}"

    assert book.stage.run(put) == "TypeError"


@pytest.mark.parametrize("policy", ["csp/module-self", "csp/module-nonce"])
@pytest.mark.parametrize("more", [(), ("csp/trusted-types",)], ids=["", "trusted-types"])
def test_the_module_under_a_policy(book: Book, policy: str, more: tuple[str, ...]) -> None:
    """The two files, from the shop's own host."""
    for name in ("choice.mjs", "choice.js"):
        script = SCRIPT.with_name(name).read_text("utf-8")
        book.stage.shop.pages[f"/{name}"] = (script, {"Content-Type": "text/javascript"})
    headers = {"Content_Security_Policy": book.policy(policy, *more)}
    book.show("csp/module-page", "buttons", **headers)
    assert book.shown() == ["OFFER-1"]

    book.stage.click(DECLINE)

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]


# ---- Iframes -------------------------------------------------------------------------------------

# A driver does not look into a frame: the row asks its document to click.
CLICKS = """<script>addEventListener('message', ({ data }) => document.querySelector(data).click())
    </script>"""
CLICK = "frames[0].postMessage(arguments[0], '*')"


def test_a_frame_of_the_same_origin(book: Book) -> None:
    """The tag is inside."""
    book.stage.shop.page(book.page("tag", "buttons") + CLICKS, "/insurance")
    frame = book["iframe/page"].replace(book.other_origin, book.stage.shop.origin)
    book.stage.window.go(book.stage.shop.page(frame))

    book.stage.run(CLICK, DECLINE)

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]
    assert {r.headers["Origin"] for r in book.stage.proxy.received} == {book.stage.shop.origin}


@pytest.mark.parametrize("frame", ["iframe/page", "iframe/sandboxed-with-origin"])
def test_a_frame_of_another_origin(book: Book, frame: str) -> None:
    """The origin that the token must name is the frame's."""
    book.other.page(book.page("tag", "buttons") + CLICKS, "/insurance")
    book.show(frame)

    book.stage.run(CLICK, DECLINE)

    assert [form["choice"] for form in book.stage.proxy.wait_for()] == ["declined"]
    assert {r.headers["Origin"] for r in book.stage.proxy.received} == {book.other_origin}


def test_a_tag_around_a_frame_hears_nothing(book: Book) -> None:
    """What happens in a frame is told to its own document."""
    book.other.page(book.page("buttons") + CLICKS, "/insurance")
    book.show("tag", "iframe/page")

    book.stage.run(CLICK, DECLINE)

    assert not book.stage.proxy.wait_until(lambda: True)


@pytest.mark.parametrize("hang", [False, True], ids=["", "slow-proxy"])
def test_a_frame_that_is_removed_at_once(book: Book, hang: bool) -> None:  # noqa: FBT001  a parameter
    """The request outlives it."""
    book.stage.proxy.answers = [Answer(hang=hang)]
    book.other.page(book.page("tag", "buttons", "iframe/done") + CLICKS, "/insurance")
    book.show("iframe/page", "iframe/remove")

    book.stage.run(CLICK, DECLINE)

    assert book.stage.proxy.wait_for()[0]["choice"] == "declined"
    assert book.stage.run("return document.querySelector('iframe')") is None


def test_a_frame_that_is_removed_in_the_same_breath(book: Book) -> None:
    """Of the same origin, by the script that made the click."""
    book.stage.shop.page(book.page("tag", "buttons"), "/insurance")
    frame = book["iframe/page"].replace(book.other_origin, book.stage.shop.origin)
    book.stage.window.go(book.stage.shop.page(frame))

    book.stage.run(
        "frames[0].document.querySelector(arguments[0]).click();"
        "document.querySelector('iframe').remove()",
        DECLINE,
    )

    assert book.stage.proxy.wait_for()[0]["choice"] == "declined"


def test_a_page_that_closes_with_its_frame(book: Book) -> None:
    """The customer is gone, the answer is not."""
    book.other.page(book.page("tag", "buttons", "iframe/done") + CLICKS, "/insurance")
    book.show("iframe/page")

    book.stage.run("addEventListener('message', () => close());" + CLICK, DECLINE)

    assert book.stage.proxy.wait_for()[0]["choice"] == "declined"


def test_a_sandboxed_frame_has_no_origin(book: Book) -> None:
    """It says `null`, which no proxy takes (tests/web/test_origins.py); the page lives on."""
    book.stage.proxy.answers = [Answer(403)] * 9
    book.other.page(book.page("tag", "buttons") + CLICKS, "/insurance")
    book.show("iframe/sandboxed")

    book.stage.run(CLICK, DECLINE)

    assert book.stage.proxy.wait_for()[0]["choice"] == "declined"
    assert {r.headers["Origin"] for r in book.stage.proxy.received} == {"null"}


# ---- A single-page application -------------------------------------------------------------------


def test_routes_of_one_page(book: Book) -> None:
    """Forth, back and forth again: shown once, each new answer once, one purchase."""
    book.show("spa", path="/tickets")
    assert not book.stage.proxy.received
    book.stage.run("go('/insurance')")
    assert book.shown() == ["OFFER-1"]
    book.stage.click(DECLINE)
    book.stage.proxy.wait_for()

    book.stage.run("go('/thanks')")
    book.stage.window.back()
    book.click(ACCEPT)
    book.stage.proxy.wait_for(3)
    book.stage.run("history.forward()")

    said = book.stage.proxy.wait_for(3)
    told = [form.get("choice") or form["order"] for form in said]
    assert sorted(told) == ["ORDER-1", "accepted", "declined"]
    assert told.index("declined") < told.index("accepted")
    assert {form["token"] for form in said} == {book.stage.token}
    assert book.shown() == ["OFFER-1"]
    assert book.stage.arrives("/thanks")
