"""The pages about offers: what they show, and what an operator does there."""

import json
import re

from sqlalchemy import select

from proxy.erasure import Erased
from proxy.schema import admin_sessions
from tests.admin import on_record
from tests.admin.dashboard import Dashboard, Visitor

BAD_QUERIES = [
    "sort=id",
    "report=gone",
    "choice=perhaps",
    "conflict=1",
    "from=2026-02-30",
    "from=20260201",
    "to=yesterday",
    "before=x",
    "before=-1",
    "before=9223372036854775808",
    "before=1&after=2",
    "before=1&before=2",
    "offer=%27%20OR%201%3D1",
    "offer=" + "a" * 65,
    "order=" + "a" * 201,
    "order=%00",
    "partner=a%0Ab",
]


def a_form(page: str, address: str) -> bool:
    """Tell whether *page* has a form that goes to *address*."""
    return f'action="{address}"' in page


def test_offers_are_listed_newest_first_and_found(dashboard: Dashboard, viewer: Visitor) -> None:
    """By id, by order, by where they stand."""
    first = on_record.say(dashboard, "offer-1", purchased=True, order="ORDER-7")
    second = on_record.say(dashboard, "offer-2", "accepted")

    whole = viewer.get("/admin/deliveries").text
    assert whole.index(f"/admin/deliveries/{second}") < whole.index(f"/admin/deliveries/{first}")
    for query, found in (
        ("offer=offer-1", True),
        ("offer=offer", True),
        ("order=ORDER-7", True),
        ("partner=ACME&upstream=tickets&report=due&choice=declined&conflict=no&late=no", True),
        ("offer=&order=&partner=&report=due", True),
        ("from=2020-01-01&to=2099-12-31", True),
        ("to=2020-01-01", False),
        ("order=ORDER-8", False),
        ("report=dead", False),
        ("implicit=yes", False),
    ):
        page = viewer.get(f"/admin/deliveries?{query}")
        assert page.status_code == 200
        assert (f'href="/admin/deliveries/{first}"' in page.text) is found, query
        assert ("No offer fits" in page.text) is not found, query


def test_a_query_that_makes_no_sense_is_refused(viewer: Visitor) -> None:
    """As a page, or as a problem document to whom asks for one; never with a 5xx."""
    for query in BAD_QUERIES:
        assert viewer.get(f"/admin/deliveries?{query}").status_code == 400, query
        answer = viewer.get(f"/admin/deliveries?{query}", Accept="application/json")
        assert answer.status_code == 400, query
        assert answer.get_json()["code"] == "invalid_request", query


def test_a_delivery_that_is_not_there_is_404(operator: Visitor) -> None:
    """Also where no database could hold its number."""
    for row in (999, 0, 2**63, 10**30):
        assert operator.get(f"/admin/deliveries/{row}").status_code == 404, row
        assert operator.get(f"/admin/deliveries/{row}/erase").status_code == 404, row
    for row in (0, 2**63):
        assert operator.post(f"/admin/deliveries/{row}/requeue").status_code == 404, row
        assert operator.post(f"/admin/deliveries/{row}/erase").status_code == 404, row
        fields = {"as": "reported", "note": "n"}
        assert operator.post(f"/admin/conflicts/{row}/resolve", **fields).status_code == 404, row


def test_a_story_tells_what_happened_and_where_it_stands(
    dashboard: Dashboard, viewer: Visitor
) -> None:
    """What, when, from where, which attempt, which answer, in the insurer's words too."""
    row = on_record.dead(
        dashboard,
        "offer-1",
        on_record.REFUSED_WITH,
        purchased=True,
        order="ORDER-7",
        metadata={"product": "event-ticket", "seats": 2},
    )
    page = viewer.get(f"/admin/deliveries/{row}").text

    for words in (
        "It was given up at",
        "because the insurer refuses its content",
        "The customer declined, and the order was placed",
        "Attempt 1 begins",
        "Given up after attempt 1",
        "customer.email is wrong",
        "422 refused",
        "ORDER-7",
        "seats",
        "the shop&#39;s page",
    ):
        assert words in page, words


def test_customer_data_is_never_shown(dashboard: Dashboard, viewer: Visitor) -> None:
    """Only that there is some."""
    row = on_record.say(dashboard, "offer-1")
    sealed = "UPDATE offers SET customer = :sealed, customer_key = 'key-file' WHERE id = :row"
    dashboard.execute(sealed, sealed=b"ada@shop.example", row=row)

    page = viewer.get(f"/admin/deliveries/{row}").text

    assert "held encrypted, never shown" in page
    assert "ada@shop.example" not in page
    assert "key-file" not in page


def test_what_a_shop_wrote_is_shown_as_text(dashboard: Dashboard, viewer: Visitor) -> None:
    """Markup in metadata or in an order is no markup of ours."""
    row = on_record.say(
        dashboard, "offer-1", order="<b>7</b>", purchased=True, metadata={"a": "<img src=x>"}
    )
    for path in (f"/admin/deliveries/{row}", "/admin/deliveries"):
        page = viewer.get(path).text
        assert "&lt;b&gt;7&lt;/b&gt;" in page
        assert "<img src=x>" not in page


def test_an_operator_sends_a_dead_letter_again(dashboard: Dashboard) -> None:
    """The fact names the operator, the list of actions tells of it, the page says what came."""
    person = dashboard.person("operator", "nora")
    operator = dashboard.visitor()
    operator.sign_in(person)
    row = on_record.dead(dashboard, "offer-1")
    assert a_form(operator.get(f"/admin/deliveries/{row}").text, f"/admin/deliveries/{row}/requeue")

    answer = operator.post(f"/admin/deliveries/{row}/requeue", note="Case 88: mended.")

    assert (answer.status_code, answer.location) == (303, f"/admin/deliveries/{row}")
    page = operator.get(answer.location).text
    assert f"Delivery {row} is due again" in page
    assert "Made due again" in page
    assert "by nora" in page
    assert "Case 88: mended." in page
    assert not a_form(page, f"/admin/deliveries/{row}/requeue")
    assert on_record.offer(dashboard, row)["report"] == "due"
    assert on_record.told(dashboard, "delivery.requeued") == [("user:nora", "Case 88: mended.")]
    assert list(on_record.done(dashboard, "requeued")) == [("nora", f"delivery {row}")]
    assert on_record.is_intact(dashboard)


def test_what_may_not_be_sent_again_is_left_alone(dashboard: Dashboard, operator: Visitor) -> None:
    """And the page says so."""
    row = on_record.say(dashboard, "offer-1")
    before = on_record.offer(dashboard, row)

    answer = operator.post(f"/admin/deliveries/{row}/requeue")

    assert "was left alone" in operator.get(answer.location).text
    assert on_record.offer(dashboard, row) == before
    assert list(on_record.done(dashboard, "requeued")) == []


def test_an_ambiguous_dead_letter_has_no_button_and_says_why(
    dashboard: Dashboard, operator: Visitor
) -> None:
    """The insurer may have forgotten its key."""
    row = on_record.dead(dashboard, "offer-1")
    long_ago = "UPDATE offers SET unknown_at = 1, outcome = 'ambiguous' WHERE id = :row"
    dashboard.execute(long_ago, row=row)

    page = operator.get(f"/admin/deliveries/{row}").text

    assert "It may not be sent again" in page
    assert not a_form(page, f"/admin/deliveries/{row}/requeue")
    operator.post(f"/admin/deliveries/{row}/requeue")
    assert on_record.offer(dashboard, row)["report"] == "dead"


def test_a_note_that_can_not_be_kept_is_refused(dashboard: Dashboard, operator: Visitor) -> None:
    """Before anything is done."""
    row = on_record.dead(dashboard, "offer-1")

    for note in ("x" * 501, "two\nlines", "\x00"):
        assert operator.post(f"/admin/deliveries/{row}/requeue", note=note).status_code == 400
    assert on_record.offer(dashboard, row)["report"] == "dead"


def test_personal_data_is_erased_by_who_has_confirmed(dashboard: Dashboard) -> None:
    """What was asked for is done once; the evidence stays whole."""
    person = dashboard.person("operator", "nora")
    operator = dashboard.visitor()
    operator.sign_in(person)
    row = on_record.dead(dashboard, "offer-1", purchased=True, order="ORDER-7")
    assert "ORDER-7" in operator.get(f"/admin/deliveries/{row}").text
    assert a_form(
        operator.get(f"/admin/deliveries/{row}/erase").text, f"/admin/deliveries/{row}/erase"
    )

    answer = operator.post(f"/admin/deliveries/{row}/erase", note="Request 5")

    page = operator.get(answer.location).text
    assert "The personal data is erased." in page
    assert "ORDER-7" not in page
    assert on_record.told(dashboard, "offer.erased") == [("user:nora", "Request 5")]
    assert list(on_record.done(dashboard, "erased")) == [("nora", f"delivery {row}")]
    assert on_record.is_intact(dashboard)
    again = operator.post(f"/admin/deliveries/{row}/erase")
    assert "There is no personal data to erase" in operator.get(again.location).text


def test_erasing_asks_who_it_is_after_a_while(dashboard: Dashboard, operator: Visitor) -> None:
    """Neither the question nor the form goes through."""
    row = on_record.dead(dashboard, "offer-1", purchased=True, order="ORDER-7")
    _forget_confirmation(dashboard)

    for answer in (
        operator.get(f"/admin/deliveries/{row}/erase"),
        operator.post(f"/admin/deliveries/{row}/erase"),
    ):
        assert answer.status_code == 303
        assert answer.location.startswith("/admin/confirm")
    assert on_record.offer(dashboard, row)["order_reference"] == "ORDER-7"


def test_what_a_request_may_still_need_is_not_erased(
    dashboard: Dashboard, operator: Visitor
) -> None:
    """One key never has two bodies."""
    row = on_record.say(dashboard, "offer-1", purchased=True, order="ORDER-7")
    on_record.attempt(dashboard, row)

    answer = operator.post(f"/admin/deliveries/{row}/erase")

    assert "A request is under way" in operator.get(answer.location).text
    assert on_record.offer(dashboard, row)["order_reference"] == "ORDER-7"
    assert dashboard.service.erasures.erase([row])[0] == [Erased.SENDING]


def test_a_viewer_sees_no_button_and_is_refused(dashboard: Dashboard, viewer: Visitor) -> None:
    """Whatever the form, nothing changes."""
    row = on_record.dead(dashboard, "offer-1", purchased=True, order="ORDER-7")
    dashboard.execute("UPDATE offers SET conflicts = 'order' WHERE id = :row", row=row)
    before = on_record.offer(dashboard, row)
    for path in (f"/admin/deliveries/{row}", "/admin/dead-letters", "/admin/conflicts"):
        page = viewer.get(path).text
        forms = re.findall(r'method="post" action="([^"]+)"', page)
        assert forms in ([], ["/admin/logout"]), path
        assert "erase" not in page.lower()
        assert "equeue" not in page

    for path, fields in (
        (f"/admin/deliveries/{row}/requeue", {}),
        (f"/admin/deliveries/{row}/erase", {}),
        (f"/admin/conflicts/{row}/resolve", {"as": "reported", "note": "n"}),
        ("/admin/dead-letters/requeue", {"row": str(row)}),
    ):
        answer = viewer.post(path, **fields)
        assert answer.status_code == 403, path
    for path in (f"/admin/deliveries/{row}/erase", f"/admin/dead-letters/requeue?row={row}"):
        assert viewer.get(path).status_code == 403, path
    assert on_record.offer(dashboard, row) == before


def test_forms_of_other_sites_do_nothing(dashboard: Dashboard, operator: Visitor) -> None:
    """Without the token that our forms carry."""
    row = on_record.dead(dashboard, "offer-1", purchased=True, order="ORDER-7")
    dashboard.execute("UPDATE offers SET conflicts = 'order' WHERE id = :row", row=row)
    before = on_record.offer(dashboard, row)

    for path in (
        f"/admin/deliveries/{row}/requeue",
        f"/admin/deliveries/{row}/erase",
        f"/admin/conflicts/{row}/resolve",
        "/admin/dead-letters/requeue",
    ):
        for token in ("", "made-up"):
            answer = operator.post(path, token, row=str(row), note="n", **{"as": "reported"})
            assert answer.status_code == 403, path
    assert on_record.offer(dashboard, row) == before


def _forget_confirmation(dashboard: Dashboard) -> None:
    """Make every confirmation an old one."""
    with dashboard.database.read() as connection:
        stored = connection.execute(select(admin_sessions.c.digest, admin_sessions.c.data)).all()
    for digest, data in stored:
        content = json.loads(data)
        content.pop("confirmed_at", None)
        dashboard.execute(
            "UPDATE admin_sessions SET data = :data WHERE digest = :digest",
            data=json.dumps(content),
            digest=digest,
        )
