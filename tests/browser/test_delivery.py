"""That an answer arrives whatever happens, and how often. The judge is what the proxy received."""

import pytest

from tests.browser.engines import wait
from tests.browser.stage import BUTTONS, Stage
from tests.browser.stand_in import Answer

pytestmark = pytest.mark.browser
COLLECT = """<script>
  window.told = [];
  for (const type of 'recorded sent retry rejected expired error'.split(' '))
    addEventListener('choice:' + type, ({ detail: { status, choice } }) =>
      told.push([type, status, choice]));
</script>"""


def test_the_window_closes_right_after_the_click(stage: Stage) -> None:
    """Nobody is left to try again."""
    stage.show()

    stage.run("document.getElementById('no').click(); setTimeout(() => close())")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_link_leads_away_at_once(stage: Stage) -> None:
    """At most two requests, both the same answer, when nobody could read the first one's answer."""
    stage.proxy.answers = [Answer(hang=True)]
    stage.shop.page(stage.tag(), "/next")
    stage.show("<a id=no href=/next data-choice=declined>No, thank you</a>")

    stage.click("#no")

    assert stage.arrives("/next")  # although the proxy has not answered
    said = stage.proxy.wait_for(2)
    assert len(said) == 2
    assert len({form["id"] for form in said}) == 1


def test_the_proxy_is_down_and_comes_back(stage: Stage) -> None:
    """The next page delivers the same answer."""
    stage.shop.page(stage.tag(token="", offer=""), "/next")
    stage.show()
    stage.proxy.stop()
    stage.click("#no")
    wait(lambda: stage.record().get("soft"))  # the first attempt has failed
    stored = stage.record()
    stage.proxy.start()

    stage.go("/next")

    said = stage.proxy.wait_for()
    assert [form["id"] for form in said] == [stored["form"]["id"]]
    assert int(said[0]["tries"]) > 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_proxy_is_asked_again_when_it_said(stage: Stage, status: int) -> None:
    """Retry-After is kept, on the same page."""
    stage.proxy.answers = [Answer(status, retry_after="1")]
    stage.show(tag=stage.tag(shown="off"))

    stage.click("#no")
    said = stage.proxy.wait_for(2)

    first, second = stage.proxy.received
    assert second.at - first.at >= 1
    assert [form["tries"] for form in said] == ["1", "2"]
    assert len({form["id"] for form in said}) == 1


def test_the_page_stays_and_one_request_is_enough(stage: Stage) -> None:
    """What was acknowledged is not said again: not at leaving, not after a reload."""
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.window.reload()
    stage.click("#no")

    assert len(stage.proxy.wait_for()) == 1


def test_the_token_is_gone_once_the_answer_is_acknowledged(stage: Stage) -> None:
    """It is kept for the retries, and no longer."""
    stage.proxy.answers = [Answer(503, retry_after="1")]
    stage.show()

    stage.click("#no")
    stage.proxy.wait_for()
    waiting = stage.record()["form"]
    stage.proxy.wait_for(2)

    assert waiting["token"] == stage.token
    assert "token" not in stage.record()["form"]
    assert stage.record()["done"] == 202


def test_a_token_that_is_too_old_waits_for_a_fresh_one(stage: Stage) -> None:
    """No timer runs; a page with another token delivers at once, and the same answer."""
    stage.proxy.answers = [Answer(401)]
    stage.show()
    stage.click("#no")
    assert len(stage.proxy.wait_for()) == 1

    stage.show(tag=stage.tag(token=f"fresh.{stage.token}"))

    first, second = stage.proxy.wait_for(2)
    assert second["token"] == f"fresh.{stage.token}"
    assert first["id"] == second["id"]


def test_a_fresh_token_without_a_new_page(stage: Stage) -> None:
    """A single-page shop hands it over."""
    stage.proxy.answers = [Answer(401)]
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.run("offerChoice('session', { token: arguments[0] })", f"fresh.{stage.token}")

    assert stage.proxy.wait_for(2)[1]["token"] == f"fresh.{stage.token}"


@pytest.mark.parametrize("status", [200, 204])
def test_only_the_proxy_itself_acknowledges(stage: Stage, status: int) -> None:
    """A server that answers everything has kept nothing: only 202 means that it is on disk."""
    stage.proxy.answers = [Answer(status)]
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.run("dispatchEvent(new Event('online'))")

    assert [form["tries"] for form in stage.proxy.wait_for(2)] == ["1", "2"]


def test_a_service_worker_that_answers_for_the_proxy(stage: Stage) -> None:
    """A shop's offline page is no acknowledgement."""
    offline = "addEventListener('fetch', (event) => event.respondWith(fetch(event.request)"
    worker = f"{offline}.catch(() => new Response('<p>You are offline'))))"
    stage.shop.pages["/worker.js"] = (
        f"skipWaiting(); addEventListener('activate', () => clients.claim()); {worker}",
        {"Content-Type": "text/javascript"},
    )
    stage.show(tag="<script>navigator.serviceWorker.register('/worker.js')</script>" + stage.tag())
    wait(lambda: stage.run("return !!navigator.serviceWorker.controller"))
    stage.proxy.stop()
    stage.click("#no")
    wait(lambda: stage.record().get("soft"))
    stage.proxy.start()

    stage.run("dispatchEvent(new Event('online'))")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_final_answer_is_not_repeated(stage: Stage) -> None:
    """What can never succeed is told to the page instead."""
    stage.proxy.answers = [Answer(422)]
    stage.show(COLLECT + BUTTONS, tag=stage.tag(shown="off"))

    stage.click("#no")
    stage.proxy.wait_for()
    stage.run("dispatchEvent(new Event('online'))")

    assert len(stage.proxy.wait_for()) == 1
    assert stage.run("return told") == [
        ["recorded", None, "declined"],
        ["rejected", 422, "declined"],
    ]


@pytest.mark.parametrize("status", [404, 405])
def test_another_answer_is_asked_again(stage: Stage, status: int) -> None:
    """A deployment or a limit mends itself."""
    stage.proxy.answers = [Answer(status)]
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.run("dispatchEvent(new Event('online'))")

    assert len(stage.proxy.wait_for(2)) == 2


def test_a_changed_mind_in_flight_ends_with_the_last_answer(stage: Stage) -> None:
    """The answer to the first request does not acknowledge the second."""
    stage.proxy.answers = [Answer(hang=True), Answer(503, retry_after="1")]
    stage.show()

    stage.click("#no")
    stage.click("#yes")
    said = stage.proxy.wait_for(3)

    assert [form["choice"] for form in said] == ["declined", "accepted", "accepted"]
    assert stage.record()["done"] == 202


def test_two_tabs_do_not_pile_up(stage: Stage) -> None:
    """While one waits for its answer, the other one keeps out of it."""
    stage.proxy.answers = [Answer(hang=True)]
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()

    stage.window.open_tab()
    stage.go("/")
    stage.click("#no")
    stage.run("dispatchEvent(new Event('online'))")

    assert len(stage.proxy.wait_until(lambda: True)) == 1


DENIED = """<script>const denied = new DOMException('denied', 'SecurityError');
    Object.defineProperty(window, 'localStorage',
    { get() { throw denied } })</script>"""
BROKEN = """<script>const broken = () => { throw denied };
    const denied = new DOMException('broken', 'UnknownError');
    Object.defineProperty(window, 'localStorage', { value: new Proxy({},
      { get: broken, set: broken, deleteProperty: broken, ownKeys: broken }) })</script>"""
FULL = """<script>for (let n = 2**22; n > 1; n /= 2)
    try { localStorage[n] = 'x'.repeat(n) } catch {}</script>"""


@pytest.mark.parametrize("before", [DENIED, BROKEN, FULL], ids=["denied", "broken", "full"])
def test_storage_that_can_not_be_used(stage: Stage, before: str) -> None:
    """The page remembers, and tries again."""
    stage.proxy.answers = [Answer(503, retry_after="1")]
    stage.show(tag=before + stage.tag())

    stage.click("#no")

    assert [form["tries"] for form in stage.proxy.wait_for(2)] == ["1", "2"]


def test_a_storage_that_is_emptied(stage: Stage) -> None:
    """A shop that signs its customer out by `clear()` takes no answer away from an open page."""
    stage.show()
    stage.proxy.stop()
    stage.click("#no")
    stage.run("localStorage.clear()")
    stage.proxy.start()

    stage.run("dispatchEvent(new Event('online'))")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


@pytest.mark.parametrize(
    "fetch",
    ["() => { throw 1 }", "() => Promise.reject(1)", "() => Promise.resolve()"],
    ids=["throws", "rejects", "swallows"],
)
def test_a_page_that_breaks_fetch(stage: Stage, fetch: str) -> None:
    """The answer leaves with the page."""
    stage.show(tag=f"<script>fetch = {fetch}</script>" + stage.tag(shown="off"))
    stage.click("#no")
    assert not stage.proxy.received

    stage.go("/next")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_browser_without_keepalive(stage: Stage) -> None:
    """There a beacon goes out when the page does."""
    stage.proxy.answers = [Answer(hang=True)]
    old = "<script>delete Request.prototype.keepalive</script>"
    stage.show(tag=old + stage.tag())
    stage.click("#no")
    stage.proxy.wait_for()

    stage.go("/next")

    said = stage.proxy.wait_for(2)
    assert len(said) == 2
    assert len({form["id"] for form in said}) == 1


def test_a_connection_that_comes_back(stage: Stage) -> None:
    """`online` cuts the backoff short."""
    stage.show(COLLECT + BUTTONS)
    stage.proxy.stop()
    stage.click("#no")
    stage.run(
        "const key = 'offerChoice:choiceOFFER-1', entry = JSON.parse(localStorage[key]);"
        "entry.soft = true; entry.due = Date.now() + 2e5; localStorage[key] = JSON.stringify(entry)"
    )
    stage.proxy.start()

    stage.run("dispatchEvent(new Event('online'))")

    assert stage.proxy.wait_for()[0]["choice"] == "declined"


def test_a_network_that_is_lost_and_found(stage: Stage) -> None:
    """Offline nothing is lost; the answer goes out when the browser is online again."""
    stage.show(tag=stage.tag(shown="off"))
    stage.window.set_offline(offline=True)
    stage.click("#no")
    wait(lambda: stage.record().get("soft"))
    assert stage.proxy.received == []

    stage.window.set_offline(offline=False)

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_clock_that_is_set_back_between_two_answers(stage: Stage) -> None:
    """The later answer has the higher seq all the same."""
    stage.show()
    stage.click("#no")
    stage.proxy.wait_for()
    stage.run("const now = Date.now; Date.now = () => now() - 31536e6")

    stage.click("#yes")

    assert stage.proxy.wait_for(2)[-1]["choice"] == "accepted"


def test_a_clock_that_is_set_back_delays_nothing(stage: Stage) -> None:
    """A time further away than any wait of ours is no time to wait for."""
    stage.proxy.stop()
    stage.show(tag=stage.tag(shown="off"))
    stage.proxy.start()
    stage.run(
        "localStorage['offerChoice:choiceOFFER-1'] = JSON.stringify({ due: Date.now() + 1e9,"
        "form: { offer: 'OFFER-1', choice: 'declined', token: 'a.b',"
        "id: '1', seq: 1, at: Date.now() + 1e9, tries: 1 } })"
    )

    stage.window.reload()

    assert stage.proxy.wait_for()[0]["tries"] == "2"


def test_after_seven_days_it_gives_up_and_says_so(stage: Stage) -> None:
    """The record goes, the page is told."""
    stage.show(COLLECT)
    stage.run(
        "localStorage['offerChoice:choiceOFFER-9'] = JSON.stringify({ form: { offer: 'OFFER-9',"
        "choice: 'declined', id: '1', seq: 1, at: Date.now() - 6048e5 - 1, tries: 9 } })"
    )

    stage.run("dispatchEvent(new Event('online'))")

    assert stage.run("return told.filter(([type]) => type == 'expired')") == [
        ["expired", None, "declined"]
    ]
    assert not stage.run("return localStorage['offerChoice:choiceOFFER-9']")


@pytest.mark.parametrize("spoiled", ["{}", "5", "[]", "null", "{"])
def test_a_spoiled_record_takes_an_answer(stage: Stage, spoiled: str) -> None:
    """It counts as none."""
    before = f"<script>localStorage['offerChoice:choiceOFFER-1'] = '{spoiled}'</script>"
    stage.show(tag=before + stage.tag())

    stage.click("#no")

    assert [form["choice"] for form in stage.proxy.wait_for()] == ["declined"]


def test_a_spoiled_record_spoils_no_other(stage: Stage) -> None:
    """Whatever lies in the storage, the answers go out."""
    stage.show(
        "<script>localStorage['offerChoice:choiceA'] = '{}';"
        "localStorage['offerChoice:choiceB'] = '{'</script>" + BUTTONS
    )

    stage.click("#no")

    assert stage.proxy.wait_for()[0]["choice"] == "declined"
