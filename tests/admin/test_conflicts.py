"""The page about conflicts: what waits, and what a person writes down."""

import re

from proxy.admin import conflicts
from tests.admin import on_record
from tests.admin.dashboard import Dashboard, Visitor


def _accepted_late(dashboard: Dashboard, offer: str = "offer-1") -> int:
    """Put an acceptance on record that came after the report."""
    row = on_record.say(dashboard, offer)
    on_record.attempt(dashboard, row, on_record.DELIVERED)
    on_record.say(dashboard, offer, "accepted")
    return row


def test_a_conflict_is_told_and_resolved(dashboard: Dashboard) -> None:
    """What, what is known, what to do; then it is gone, and the fact names who said so."""
    person = dashboard.person("operator", "nora")
    operator = dashboard.visitor()
    operator.sign_in(person)
    row = _accepted_late(dashboard)
    page = operator.get("/admin/conflicts").text
    for words in (
        "Accepted after a report had left, or may have left",
        "yes: the insurer has it",
        "Ask the insurer whether a decline stands for this offer",
        "resolve as withdrawn",
        f'action="/admin/conflicts/{row}/resolve"',
    ):
        assert words in page, words
    assert "--as" not in page

    fields = {"as": "withdrawn", "note": "Case 88: taken back.", "back": "conflicts"}
    answer = operator.post(f"/admin/conflicts/{row}/resolve", **fields)

    assert (answer.status_code, answer.location) == (303, "/admin/conflicts")
    page = operator.get(answer.location).text
    assert f"The conflict of delivery {row} is resolved as withdrawn. Nothing was sent." in page
    assert "Nothing waits for a person" in page
    assert on_record.offer(dashboard, row)["report"] == "cancelled"
    assert on_record.told(dashboard, "conflict.resolved") == [("user:nora", "Case 88: taken back.")]
    assert list(on_record.done(dashboard, "resolved")) == [("nora", f"delivery {row} as withdrawn")]
    assert on_record.is_intact(dashboard)


def test_the_story_of_the_offer_resolves_it_too(dashboard: Dashboard, operator: Visitor) -> None:
    """And stays there."""
    row = _accepted_late(dashboard)
    page = operator.get(f"/admin/deliveries/{row}").text
    assert f'action="/admin/conflicts/{row}/resolve"' in page

    fields = {"as": "reported", "note": "It stands.", "back": "story"}
    answer = operator.post(f"/admin/conflicts/{row}/resolve", **fields)

    assert answer.location == f"/admin/deliveries/{row}"
    page = operator.get(answer.location).text
    assert "Conflict resolved: reported" in page
    assert f'action="/admin/conflicts/{row}/resolve"' not in page


def test_what_is_still_on_its_way_waits(dashboard: Dashboard, operator: Visitor) -> None:
    """How that ends decides what the insurer will hold."""
    row = on_record.say(dashboard, "offer-1", purchased=True, order="ORDER-1")
    on_record.say(dashboard, "offer-1", None, purchased=True, order="ORDER-2")
    page = operator.get("/admin/conflicts").text
    assert "Two orders name this offer" in page
    assert "Its report is due: wait until that has ended." in page

    fields = {"as": "reported", "note": "n"}
    answer = operator.post(f"/admin/conflicts/{row}/resolve", **fields)

    assert "Its report is due" in operator.get(answer.location).text
    assert on_record.offer(dashboard, row)["conflicts"] == "order"
    assert list(on_record.done(dashboard, "resolved")) == []


def test_an_answer_without_a_note_or_a_word_is_refused(
    dashboard: Dashboard, operator: Visitor
) -> None:
    """What nobody can look up later is worth little."""
    row = _accepted_late(dashboard)

    for fields in ({"as": "reported"}, {"as": "reported", "note": " "}, {"note": "n"}):
        answer = operator.post(f"/admin/conflicts/{row}/resolve", **fields)
        assert answer.status_code == 400, fields
    for fields in ({"as": "declined", "note": "n"}, {"as": "", "note": "n"}):
        answer = operator.post(f"/admin/conflicts/{row}/resolve", **fields)
        assert answer.status_code == 400, fields
    assert on_record.offer(dashboard, row)["conflicts"] == "acceptance"


def test_the_longest_waiting_comes_first(dashboard: Dashboard, viewer: Visitor) -> None:
    """Page by page, each once; of one partner on request."""
    rows = [_accepted_late(dashboard, f"offer-{nth:02}") for nth in range(conflicts.SIZE + 2)]
    seen = list[int]()
    for page in (1, 2):
        shown = viewer.get(f"/admin/conflicts?page={page}&partner=ACME").text
        seen += map(int, re.findall(r'id="conflict-(\d+)"', shown))

    assert seen == rows
    nobody = viewer.get("/admin/conflicts?partner=NOBODY").text
    assert "Nothing waits for a person" in nobody
    for query in ("page=x", "page=-1", "page=51", "page=99999999999999999999", "sort=since"):
        assert viewer.get(f"/admin/conflicts?{query}").status_code == 400, query
