"""What counts as an answer, and that each counts once. The judge is what the proxy received."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.engines import wait
from tests.browser.stage import BUTTONS, Stage

pytestmark = pytest.mark.browser

RADIOS = """
    <form action=/next method=post>
      <label><input type=radio name=cover value=1 data-choice=accepted> Protect my tickets</label>
      <label id=no><input type=radio name=cover value=0 data-choice=declined> No, thank you</label>
      <button>Pay</button>
    </form>
"""
PRESELECTED = RADIOS.replace("data-choice=declined", "data-choice=declined checked")


def test_one_click_is_one_form_without_preflight(stage: Stage) -> None:
    """The page sends what the design names, urlencoded, once, and nothing else."""
    stage.show(tag=stage.tag(shown="off"))

    stage.click("#no")
    stage.proxy.wait_for()

    [received] = stage.proxy.received
    assert (received.method, received.path) == ("POST", "/v1/choices")
    assert received.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert received.headers["Origin"] == stage.shop.origin
    assert received.headers["Cookie"] is None
    assert received.form.keys() == {"token", "offer", "choice", "id", "seq", "at", "tries"}
    assert received.form["token"] == stage.token
    assert received.form["choice"] == "declined"
    assert received.form["tries"] == "1"


def test_six_clicks_are_one_answer(stage: Stage) -> None:
    """An impatient customer declines once."""
    stage.show()

    stage.click("#no", times=6)

    assert len(stage.proxy.wait_for()) == 1


def test_the_last_answer_has_the_highest_seq(stage: Stage) -> None:
    """Who declines and then accepts has accepted, in whatever order it arrives."""
    stage.show()

    stage.click("#no")
    stage.click("#yes")

    first, last = stage.proxy.wait_for(2)
    assert last["choice"] == "accepted"
    assert int(first["seq"]) < int(last["seq"])
    assert first["id"] != last["id"]


def test_a_label_and_its_radio_are_one_answer(stage: Stage) -> None:
    """A click on a label is two clicks and a change, but one answer."""
    stage.show(RADIOS)

    stage.click("#no")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_an_answer_on_the_label_counts_when_its_radio_is_set(stage: Stage) -> None:
    """The markup may name the answer on the label."""
    stage.show("<label id=no data-choice=declined><input type=radio name=a> No</label>")

    stage.click("#no")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_radio_that_the_page_does_not_let_be_set_is_no_answer(stage: Stage) -> None:
    """Only what stays selected counts."""
    stage.show(RADIOS + "<script>no.onclick = (event) => event.preventDefault()</script>" + BUTTONS)

    stage.click("#no")
    stage.click("#yes")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["accepted"]


def test_what_is_selected_beforehand_counts_at_submit_only(stage: Stage) -> None:
    """A radio that nobody touched is an answer when the form is sent."""
    stage.show(PRESELECTED)
    assert not stage.proxy.said

    stage.click("form button")

    assert stage.proxy.wait_for()[0]["choice"] == "declined"
    assert stage.arrives("/next")


def test_a_form_that_a_script_submits_is_read(stage: Stage) -> None:
    """form.submit() fires no `submit`."""
    stage.show(PRESELECTED)

    stage.run("document.forms[0].submit()")

    assert stage.proxy.wait_for()[0]["choice"] == "declined"


def test_a_selection_that_can_not_be_changed_is_no_answer(stage: Stage) -> None:
    """A disabled control answers nothing."""
    stage.show(PRESELECTED.replace("value=0", "disabled"))

    stage.click("form button")

    assert stage.arrives("/next")
    assert stage.proxy.wait_until(lambda: True) == []


def test_a_button_beats_what_the_form_still_holds(stage: Stage) -> None:
    """Who picks a plan and then leaves by "No, thank you" has declined."""
    skip = "<button id=skip data-choice=declined>No, thank you</button></form>"
    stage.show(RADIOS.replace("</form>", skip))

    stage.click("[value='1']")
    stage.click("#skip")

    said = stage.proxy.wait_until(lambda: "declined" in stage.proxy.choices)
    assert said[-1]["choice"] == "declined"


@pytest.mark.parametrize(
    "decline",
    ["find('#skip').click()", "offerChoice('declined')"],
    ids=["button", "function"],
)
def test_what_is_typed_afterwards_changes_no_answer(stage: Stage, decline: str) -> None:
    """A decline stands, though the form still holds a plan, and its other fields change."""
    skip = "<button type=button id=skip data-choice=declined data-offer=OFFER-1>No</button>"
    stage.show(RADIOS.replace("<button>", f"{skip}<input id=street><button id=pay>"))
    stage.click("[value='1']")
    stage.run(f"const find = document.querySelector.bind(document); {decline}")

    stage.press("#street", "High Street 1")
    stage.click("#pay")

    assert stage.arrives("/next")
    said = stage.proxy.wait_until(lambda: "declined" in stage.proxy.choices)
    assert [form["choice"] for form in said] == ["accepted", "declined"]


def test_another_offer_begins_anew(stage: Stage) -> None:
    """Who declined one offer by a button has not answered the next one."""
    stage.show(PRESELECTED + BUTTONS.replace("id=no", "id=skip"))
    stage.click("#skip")
    stage.run("offerChoice('session', { offer: 'OFFER-2', token: arguments[0] })", stage.token)

    stage.click("form button")

    said = stage.proxy.wait_for(2)
    assert [form["offer"] for form in said] == ["OFFER-1", "OFFER-2"]


@pytest.mark.parametrize("target", ["document.forms[0]", "document", "window"])
def test_a_change_that_nobody_made_is_no_answer(stage: Stage, target: str) -> None:
    """Shops dispatch one to have their totals counted anew; what is preselected stays unsaid."""
    stage.show(PRESELECTED)

    stage.run(f"{target}.dispatchEvent(new Event('change', {{ bubbles: true }}))")

    assert stage.proxy.wait_until(lambda: True) == []


def test_an_option_of_a_select_is_an_answer(stage: Stage) -> None:
    """Choosing it is enough."""
    stage.show("""<select><option>Choose</option>
        <option data-choice=accepted>Yes</option><option data-choice=declined>No</option></select>
    """)

    stage.press("select", "No")

    assert stage.proxy.wait_for()[-1]["choice"] == "declined"


TICK = "<label><input type=checkbox data-choice=accepted> Protect my tickets</label>"


def test_a_tick_that_is_taken_away_is_a_decline(stage: Stage) -> None:
    """Ticked is an answer; and who takes the tick away has accepted no longer."""
    stage.show(TICK)

    stage.click("label", times=2)

    said = stage.proxy.wait_for(2)
    assert [form["choice"] for form in said] == ["accepted", "declined"]


UNSET_AND_SET = """<script>
  const box = document.querySelector('input'); let more = 0;
  box.addEventListener('{event}', (event) => {{
    if (more++) return;
    {undo};
    setTimeout(() => {{ box.checked = true; document.title = 'set' }}, 100);
  }});
</script>"""


@pytest.mark.parametrize(
    ("event", "undo"),
    [("change", "box.checked = false"), ("click", "event.preventDefault()")],
    ids=["unset", "prevented"],
)
def test_a_tick_that_the_page_sets_itself_is_not_taken_away(
    stage: Stage, event: str, undo: str
) -> None:
    """A shop that asks its server before it shows the tick declines nothing by that."""
    stage.show(BUTTONS)
    stage.click("#yes")
    stage.proxy.wait_for()

    stage.show(TICK + UNSET_AND_SET.format(event=event, undo=undo))
    stage.click("input")
    wait(lambda: stage.window.title == "set")

    assert stage.proxy.wait_until(lambda: True)[-1]["choice"] == "accepted"


@pytest.mark.parametrize(
    ("markup", "clicked"),
    [
        ("<label data-choice=accepted><input type=checkbox> <a href=#t>Terms</a></label>", "a"),
        ("<div data-choice=accepted>Plan <input type=checkbox checked> news</div>", "input"),
    ],
    ids=["link", "foreign"],
)
def test_only_the_box_itself_takes_its_answer_away(stage: Stage, markup: str, clicked: str) -> None:
    """Not the terms in its label, nor another box in the same card."""
    stage.show(BUTTONS)
    stage.click("#yes")
    stage.proxy.wait_for()

    stage.show(markup)
    stage.click(clicked)

    assert stage.proxy.wait_until(lambda: True)[-1]["choice"] == "accepted"


@pytest.mark.parametrize("first", ["[value='1']", "#box"])
def test_the_later_of_two_quick_answers_counts(stage: Stage, first: str) -> None:
    """A button that is pressed before the page has got over the click on a control."""
    boxes = "<input id=box type=checkbox data-choice=accepted>"
    stage.show(boxes + RADIOS + "<button id=skip data-choice=declined>No</button>")

    stage.run("for (const one of arguments) document.querySelector(one).click()", first, "#skip")

    said = stage.proxy.wait_until(lambda: "declined" in stage.proxy.choices)
    assert said[-1]["choice"] == "declined"


def test_a_tick_that_the_page_does_not_allow_is_nothing(stage: Stage) -> None:
    """It was never set, so taking it back says nothing."""
    stage.show(TICK + "<script>document.querySelector('input').onclick = () => false</script>")

    stage.click("label")
    stage.click("input")

    assert stage.proxy.wait_until(lambda: True) == []


def test_the_keyboard_answers(stage: Stage) -> None:
    """Enter on a button is a click."""
    stage.show()

    stage.press("#no", Keys.ENTER)

    assert stage.proxy.wait_for()[0]["choice"] == "declined"


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param("<button data-choice=declined><b>No</b></button>", id="button"),
        pytest.param("<input type=radio name=a data-choice=declined>", id="radio"),
        pytest.param("<button data-choice=declined><slot></slot></button>", id="slot"),
    ],
)
def test_open_shadow_roots_are_read(stage: Stage, inner: str) -> None:
    """A web component's own controls count."""
    stage.show("<p id=host data-offer=OFFER-2><span>No</span></p>")
    stage.run("host.attachShadow({ mode: 'open' }).innerHTML = arguments[0]", inner)

    stage.run("(host.shadowRoot.querySelector('b, input') || host.firstChild).click()")

    assert [form["offer"] for form in stage.proxy.wait_for()] == ["OFFER-2"]


@pytest.mark.parametrize("event", ["click", "change"])
@pytest.mark.parametrize("kind", ["radio", "checkbox"])
def test_a_control_that_its_own_event_removes(stage: Stage, kind: str, event: str) -> None:
    """The answer is about the offer in which the control was, not about the tag's."""
    control = f"<input type={kind} data-choice=declined on{event}='this.parentNode.remove()'>"
    stage.show(f"<div data-offer=OFFER-2><p>{control}</p></div>")

    stage.click("input")

    said = [(form["offer"], form["choice"]) for form in stage.proxy.wait_for()]
    assert said == [("OFFER-2", "declined")]


def test_selectors_on_the_tag_reach_markup_that_can_not_be_touched(stage: Stage) -> None:
    """Even where the page stops the event and removes the button at once."""
    stage.show(
        "<div class=bar><button class='skip'>No, thank you</button></div><script>"
        "document.addEventListener('click', (event) => {"
        "  event.stopImmediatePropagation(); event.target.remove() }, true)</script>",
        stage.tag(declined=".bar .skip, [name=x]", accepted=".bar .buy"),
    )

    stage.click(".skip")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_two_offers_on_a_page_are_kept_apart(stage: Stage) -> None:
    """Each ancestor names its offer and, if it has one, its token."""
    stage.show(
        f"<div data-offer=OFFER-A data-token=A.{stage.token}>{BUTTONS}</div>"
        f"<div data-offer=OFFER-B>{BUTTONS}</div>"
    )

    stage.click("[data-offer=OFFER-A] #no")
    stage.click("[data-offer=OFFER-B] #yes")

    said = {form["offer"]: (form["choice"], form["token"]) for form in stage.proxy.wait_for(2)}
    assert said == {
        "OFFER-A": ("declined", f"A.{stage.token}"),
        "OFFER-B": ("accepted", stage.token),
    }


def test_other_values_of_data_choice_mean_nothing(stage: Stage) -> None:
    """The attribute's name is not ours alone."""
    stage.show("<button id=red data-choice=red>Red</button>" + BUTTONS)

    stage.click("#red")
    stage.click("#no")

    assert len(stage.proxy.wait_for()) == 1


def test_the_page_keeps_its_events(stage: Stage) -> None:
    """Nothing is prevented or stopped: the link leads on, the shop's listener hears it."""
    stage.show(
        "<a id=no href=/next data-choice=declined>No</a><script>"
        "no.onclick = (event) => { sessionStorage.heard = !event.defaultPrevented }</script>"
    )

    stage.click("#no")
    stage.proxy.wait_for()

    assert stage.arrives("/next")
    assert stage.run("return sessionStorage.heard") == "true"
