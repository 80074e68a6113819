"""The tag and the function: what a page can say, and under which rules. Judged by the proxy."""

import base64
import hashlib
from pathlib import Path

import pytest

from tests.browser.stage import BUTTONS, Stage
from tests.browser.stand_in import SCRIPT, Answer
from tests.browser.window import CanNotError

DOCS = Path(__file__).resolve().parents[2] / "docs"
pytestmark = pytest.mark.browser
_, _, _STUB = (DOCS / "snippet.md").read_text().partition("<!-- stub -->\n```html\n")
PRE_CAPTURE = _STUB.partition("```")[0]
STUB = """<script>window.offerChoice=window.offerChoice||
    function(){(offerChoice.q=offerChoice.q||[]).push(arguments)}</script>"""


def test_an_offer_is_shown_once(stage: Stage) -> None:
    """The funnel has its first number, however often the page is opened."""
    stage.show(f"<div data-offer=OFFER-2>{BUTTONS}</div>")
    stage.window.reload()
    stage.proxy.wait_until(lambda: len(stage.proxy.received) > 1)

    shown = [received.form for received in stage.proxy.received]
    assert [form["choice"] for form in shown] == ["undecided"] * 2
    assert {form["offer"] for form in shown} == {"OFFER-1", "OFFER-2"}


def test_the_shop_may_keep_to_itself_that_it_was_shown(stage: Stage) -> None:
    """`data-shown="off"` says nothing before an answer."""
    stage.show(tag=stage.tag(shown="off"))
    stage.click("#no")
    stage.proxy.wait_for()

    assert len(stage.proxy.received) == 1


def test_the_confirmation_page_tells_the_purchase_once(stage: Stage) -> None:
    """With the order and without a choice; a reload tells nothing new."""
    stage.show("", tag=stage.tag(purchased="ORDER-1"))
    stage.proxy.wait_for()
    stage.window.reload()
    stage.proxy.wait_for()

    [received] = stage.proxy.received
    assert "choice" not in received.form
    assert received.form["purchased"] == "1"
    assert received.form["order"] == "ORDER-1"


def test_a_token_that_comes_later_keeps_the_purchase(stage: Stage) -> None:
    """`session` with nothing but a token is about the same order."""
    late = "<script>offerChoice('session', { token: arguments[0] })</script>"
    stage.show(
        "",
        tag=STUB
        + late.replace("arguments[0]", f"'{stage.token}'")
        + stage.tag(token="", purchased="ORDER-1"),
    )

    [form] = stage.proxy.wait_for()
    assert (form["order"], form["token"]) == ("ORDER-1", stage.token)


def test_the_confirmation_page_brings_the_answer_that_was_left_behind(stage: Stage) -> None:
    """With the fresh token of that page."""
    stage.proxy.answers = [Answer(401)]
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.show("", tag=stage.tag(purchased="ORDER-1", token=f"fresh.{stage.token}"))

    said = stage.proxy.wait_for(3)
    assert {form["token"] for form in said[1:]} == {f"fresh.{stage.token}"}
    assert sorted(form.get("choice", "") for form in said[1:]) == ["", "declined"]


def test_what_is_said_before_the_script_has_loaded_is_kept(stage: Stage) -> None:
    """The documented stub."""
    stage.show(tag=STUB + "<script>offerChoice('declined')</script>" + stage.tag())

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]
    assert len(stage.proxy.received) == 1


def test_a_click_before_the_script_has_loaded_is_kept(stage: Stage) -> None:
    """By the stub that the documents give; it may stay, and nothing is said twice."""
    offers = f"<div data-offer=OFFER-2 data-token={stage.token}>{BUTTONS}</div>"
    stage.show(BUTTONS.replace("id=no", "id=first") + offers, tag=PRE_CAPTURE)
    stage.click("#first")
    stage.click("#no")
    assert not stage.proxy.received

    stage.run(
        "const script = document.createElement('script'); script.src = arguments[0];"
        "Object.assign(script.dataset, arguments[1]); document.body.append(script)",
        stage.proxy.script,
        {"offer": "OFFER-1", "token": stage.token, "shown": "off"},
    )
    said = stage.proxy.wait_for(2)
    stage.click("#yes")
    stage.proxy.wait_for(3)

    assert [(form["offer"], form["choice"]) for form in said] == [
        ("OFFER-1", "declined"),
        ("OFFER-2", "declined"),
    ]
    assert len(stage.proxy.said) == 3


def test_a_consent_tool_holds_it_back(stage: Stage) -> None:
    """Everything is stored, and goes out when it may."""
    stage.show(tag=STUB + "<script>offerChoice('pause')</script>" + stage.tag())
    stage.click("#no")
    stage.run("dispatchEvent(new Event('online'))")
    stage.proxy.wait_until(lambda: True)
    assert not stage.proxy.received
    assert stage.record()["form"]["choice"] == "declined"

    stage.run("offerChoice('resume')")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_single_page_shop_names_the_next_offer(stage: Stage) -> None:
    """`session` is a new offer, with its token; it was shown; answers are about it."""
    stage.show()

    stage.run("offerChoice('session', { offer: 'OFFER-2', token: arguments[0] })", "b.token")
    stage.click("#no")

    said = stage.proxy.wait_for()
    assert [(form["offer"], form["token"]) for form in said] == [("OFFER-2", "b.token")]
    shown = [received.form["offer"] for received in stage.proxy.received]
    assert shown == ["OFFER-1", "OFFER-2", "OFFER-2"]


def test_the_page_can_say_it_and_ask(stage: Stage) -> None:
    """The function does what the markup does, for any offer."""
    stage.show()

    stage.run("offerChoice('accepted', { offer: 'OFFER-2' })")
    stage.run("offerChoice('purchased', { offer: 'OFFER-2', order: 'ORDER-2' })")
    said = stage.proxy.wait_for(2)

    assert {form.get("choice") for form in said} == {"accepted", None}
    status = stage.run("return offerChoice('status', { offer: 'OFFER-2' })")
    assert (status["choice"], status["status"]) == ("accepted", 202)
    assert "token" not in status
    assert stage.run("return offerChoice('status', { offer: 'OFFER-3' })") is None


def test_the_endpoint_can_be_named(stage: Stage) -> None:
    """For a script that the shop serves itself."""
    own = stage.shop.pages
    own["/choice.js"] = (SCRIPT.read_text(), {"Content-Type": "text/javascript"})
    tag = f'<script src="/choice.js" data-token="{stage.token}" data-offer="OFFER-1" '
    stage.show(tag=tag + f'data-endpoint="{stage.proxy.origin}"></script>')

    stage.click("#no")

    assert stage.proxy.wait_for()[0]["choice"] == "declined"


def test_an_unconfigured_tag_does_nothing(stage: Stage) -> None:
    """And breaks nothing: the page is told what is missing."""
    stage.show(
        "<script>addEventListener('choice:error', ({ detail }) => window.told = detail)"
        "</script>" + BUTTONS,
        tag=f'<script src="{stage.proxy.script}"></script>',
    )

    stage.click("#no")

    assert stage.run("return told") == "no offer"
    assert stage.proxy.wait_until(lambda: True) == []


def test_a_module_says_it_all_itself(stage: Stage) -> None:
    """`choice.mjs` has no tag: the session names the proxy, the offer and the token."""
    for name in ("choice.mjs", "choice.js"):
        script = (SCRIPT.parent / name).read_text("utf-8")
        stage.shop.pages[f"/{name}"] = (script, {"Content-Type": "text/javascript"})
    session = f"endpoint: '{stage.proxy.origin}', offer: 'OFFER-1', token: '{stage.token}'"
    stage.show(
        tag="<script type=module>import { offerChoice } from '/choice.mjs';"
        f"offerChoice('session', {{ {session} }})</script>"
    )
    stage.proxy.wait_until(lambda: bool(stage.proxy.received))

    stage.click("#no")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_page_that_is_rendered_ahead_has_shown_nothing(stage: Stage) -> None:
    """Not before the customer opens it."""
    if not stage.run("return HTMLScriptElement.supports?.('speculationrules')"):
        raise CanNotError("renders no page ahead: it has no speculation rules")
    stage.shop.page(stage.tag() + BUTTONS, "/offer")
    rules = '{"prerender": [{"source": "list", "urls": ["/offer"]}]}'
    start = f"<script type=speculationrules>{rules}</script><a href=/offer>Go on</a>"
    stage.window.go(stage.shop.page(start))
    stage.proxy.wait_until(lambda: "/s/1.0.0/choice.js" in stage.proxy.fetched)
    assert not stage.proxy.received

    stage.click("a")
    stage.proxy.wait_until(lambda: bool(stage.proxy.received))

    assert [received.form["choice"] for received in stage.proxy.received] == ["undecided"]
    ahead = "return performance.getEntriesByType('navigation')[0].activationStart > 0"
    assert stage.run(ahead)


def test_a_page_comes_back_from_the_cache_and_goes_on(stage: Stage) -> None:
    """The snippet does not keep a page out of the back/forward cache."""
    heard = (
        "<script>addEventListener('pageshow', (event) => window.kept = event.persisted)</script>"
    )
    stage.show(heard + BUTTONS)
    stage.click("#no")
    stage.proxy.wait_for()

    stage.go("/next")
    stage.window.back()

    assert stage.run("return window.kept")
    stage.click("#yes")
    assert [form["choice"] for form in stage.proxy.wait_for(2)] == ["declined", "accepted"]


TRAPS = """<script>
  const trap = (object, name) => Object.defineProperty(object, name,
    { configurable: true, get() { document.title = 'read ' + name; throw new Error(name) } });
  trap(Document.prototype, 'cookie');
  trap(Document.prototype, 'referrer');
  trap(Navigator.prototype, 'userAgent');
  trap(window, 'sessionStorage');
  trap(window, 'indexedDB');
  for (const type of [HTMLInputElement, HTMLSelectElement, HTMLTextAreaElement, HTMLOptionElement])
    trap(type.prototype, 'value');
  window.FormData = class { constructor() { document.title = 'read FormData' } };
</script>"""


def test_it_reads_nothing_but_answers(stage: Stage) -> None:
    """Neither cookies nor what the customer typed, even while the form is sent."""
    stage.show(
        "<form action=/next><input name=card value=4111><select><option>1</option></select>"
        "<input type=radio name=a data-choice=declined checked><button>Pay</button></form>",
        tag=TRAPS + stage.tag(),
    )
    stage.run("document.forms[0].onsubmit = (event) => event.preventDefault()")

    stage.run("document.querySelector('form button').click()")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]
    assert stage.window.title == "Shop"


HASH = "sha384-" + base64.b64encode(hashlib.sha384(SCRIPT.read_bytes()).digest()).decode()


@pytest.mark.parametrize("more", ["", "; require-trusted-types-for 'script'; trusted-types 'none'"])
def test_a_strict_policy_needs_only_the_hash_and_the_host(stage: Stage, more: str) -> None:
    """Nothing else is allowed, and nothing else is needed."""
    policy = f"default-src 'none'; script-src '{HASH}'; connect-src {stage.proxy.origin}" + more
    script = f'src="{stage.proxy.script}" integrity="{HASH}" crossorigin="anonymous"'
    tag = f'<script async {script} data-token="{stage.token}" data-offer="OFFER-1"></script>'
    stage.show(tag=tag, Content_Security_Policy=stage.policy(policy))
    stage.proxy.wait_until(lambda: bool(stage.proxy.received))

    stage.click("#no")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_policy_that_forbids_it_breaks_nothing(stage: Stage) -> None:
    """The answer stays stored, and a page without that policy delivers it."""
    stage.show(Content_Security_Policy="connect-src 'self'")
    stage.click("#no")
    assert stage.proxy.wait_until(lambda: True) == []

    stage.show()

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


WIDGET = """<script>
  const heard = [];
  const handle = (signal) => {
    if (signal.signal == 'set') signal.onSet(Promise.resolve({ id: 'MADE-1' }));
    else heard.push(signal.onChange);
  };
  window.signalLayer = window.signalLayer || [];
  window.signalLayer.forEach(handle);
  window.signalLayer.push = (...signals) => signals.forEach(handle);
  window.answer = (selectedOption) => heard.forEach((onChange) => onChange({ selectedOption }));
</script>"""
SIGNALS = """<script>
  window.signalLayer = window.signalLayer || []; window.own = [];
  const element = 'xce-protection-offer';
  window.signalLayer.push(
    { signal: 'set', element, onSet: async (made) => own.push((await made).id) },
    { signal: 'listen', element, onChange: (args) => own.push(args.selectedOption) });
</script>"""


@pytest.mark.parametrize("order", ["WSU", "UWS", "SUW"])
def test_the_elements_widget_is_heard(stage: Stage, order: str) -> None:
    """Whatever loads first: the widget, the shop's signals or us; the shop's listeners stay."""
    seen_late = order.index("U") > max(order.index("W"), order.index("S"))
    ours = stage.tag(elements="", offer="MADE-1" if seen_late else "")
    parts = {"W": WIDGET, "S": SIGNALS, "U": ours}
    stage.show("", tag="".join(parts[part] for part in order))
    stage.proxy.wait_until(lambda: bool(stage.proxy.received))

    stage.run("answer('product-1'); answer('reject')")

    said = stage.proxy.wait_for(2)
    assert [(form["offer"], form["choice"]) for form in said] == [
        ("MADE-1", "accepted"),
        ("MADE-1", "declined"),
    ]
    assert stage.run("return own") == ["MADE-1", "product-1", "reject"]
