"""Dead letters in piles, and sent again: one, some, or a whole pile, so many at a time."""

import re

from sqlalchemy import select, text

from proxy import piles
from proxy.admin import dead_letters
from proxy.choices import Kind, Outcome
from proxy.clocks import wall
from proxy.piles import Pile
from proxy.schema import offers
from tests.admin import on_record
from tests.admin.dashboard import Dashboard, Visitor
from tests.admin.plans import plan
from tests.core.conftest import a_message

GONE = Outcome(kind=Kind.PERMANENT, reason="offer_gone", status=410)
PILE = {"partner": "ACME", "upstream": "tickets", "outcome": "offer_not_found", "status": "404"}
NUL = {**PILE, "outcome": "\x00"}
QUERY = "partner=ACME&upstream=tickets&outcome=offer_not_found&status=404"


def _make_dead(dashboard: Dashboard, count: int) -> None:
    """Put a pile on record, faster than one by one."""
    now = wall()
    messages = [
        a_message(f"many-{nth:04}", upstream="tickets", seq=now, at=now) for nth in range(count)
    ]
    dashboard.service.intake.record_all(messages)
    dashboard.execute(
        "UPDATE offers SET report = 'dead', due_at = NULL, attempts = 1,"
        " outcome = 'offer_not_found', status = 404 WHERE offer LIKE 'many-%'"
    )


def _reports(dashboard: Dashboard) -> dict[str, int]:
    rows = dashboard.rows("SELECT report, count(*) AS count FROM offers GROUP BY report")
    return {row["report"]: row["count"] for row in rows}


def test_piles_are_by_reason_and_upstream(dashboard: Dashboard, operator: Visitor) -> None:
    """Each with its size, what is stuck in it, and a way in."""
    for nth in range(3):
        on_record.dead(dashboard, f"offer-{nth}")
    stuck = on_record.dead(dashboard, "offer-3")
    dashboard.execute("UPDATE offers SET unknown_at = 1 WHERE id = :row", row=stuck)
    gone = on_record.dead(dashboard, "offer-4", GONE)
    with dashboard.database.read() as connection:
        heaps, counted = piles.heaps(connection, wall())

    told = [(heap["outcome"], heap["status"], heap["size"], heap["stuck"]) for heap in heaps]
    assert (told, counted) == ([("offer_not_found", 404, 4, 1), ("offer_gone", 410, 1, 0)], 5)
    page = operator.get("/admin/dead-letters").text
    assert "1 may not be sent again" in page
    inside = operator.get(f"/admin/dead-letters?{QUERY}").text
    assert len(re.findall('type="checkbox"', inside)) == 3
    assert f"/admin/deliveries/{stuck}" in inside
    assert "the insurer may have forgotten its key" in inside
    assert f"/admin/deliveries/{gone}" not in inside


def test_no_dead_letters_is_good_news(viewer: Visitor) -> None:
    """And said as such; so is a pile that is gone."""
    assert "There are no dead letters" in viewer.get("/admin/dead-letters").text
    assert "Nothing is left in this pile" in viewer.get(f"/admin/dead-letters?{QUERY}").text


def test_a_large_pile_is_turned_page_by_page(dashboard: Dashboard, viewer: Visitor) -> None:
    """Each dead letter once."""
    _make_dead(dashboard, 2 * dead_letters.SIZE + 3)
    seen, path = list[str](), f"/admin/dead-letters?{QUERY}"
    while path:
        page = viewer.get(path).text
        seen += re.findall(r"many-\d{4}", page)
        onward = re.search(r'rel="next" href="([^"]+)"', page)
        path = onward[1].replace("&amp;", "&") if onward else ""

    assert seen == [f"many-{nth:04}" for nth in range(2 * dead_letters.SIZE + 3)]


def test_the_selected_are_sent_again(dashboard: Dashboard, operator: Visitor) -> None:
    """After a look at them; what may not be is left alone, and said."""
    first, second, third = (on_record.dead(dashboard, f"offer-{nth}") for nth in range(3))
    dashboard.execute("UPDATE offers SET unknown_at = 1 WHERE id = :row", row=second)
    asked = operator.get(f"/admin/dead-letters/requeue?row={first}&row={second}").text
    assert f'name="row" value="{first}"' in asked
    assert f'name="row" value="{second}"' not in asked

    answer = operator.ask(
        "POST",
        "/admin/dead-letters/requeue",
        data={
            "csrf_token": operator.token(),
            "row": [str(first), str(second)],
            "note": "Settings mended.",
        },
    )

    page = operator.get(answer.location).text
    assert "1 dead letter made due again" in page
    assert "1 left alone" in page
    assert on_record.offer(dashboard, third)["report"] == "dead"
    ((writer, note),) = on_record.told(dashboard, "delivery.requeued")
    assert (note, (writer or "").startswith("user:operator-")) == ("Settings mended.", True)
    ((_, subject),) = on_record.done(dashboard, "requeued")
    assert subject == f"deliveries {first}"
    assert on_record.is_intact(dashboard)


def test_a_whole_pile_goes_on_until_all_is_sent(dashboard: Dashboard, operator: Visitor) -> None:
    """So many at a time, past what may not be sent; what joins meanwhile is taken along."""
    count = dead_letters.AT_ONCE
    _make_dead(dashboard, 2 * count + 10)
    on_record.dead(dashboard, "another", GONE)
    dashboard.execute("UPDATE offers SET unknown_at = 1 WHERE offer IN ('many-0003', 'many-0700')")

    answer = operator.post("/admin/dead-letters/requeue", note="All of it.", **PILE)
    assert answer.location == "/admin/dead-letters/requeue"
    assert _reports(dashboard)["due"] == count - 1
    rounds = 1
    while answer.location.endswith("/requeue"):
        page = operator.get(answer.location).text
        assert f"{count * rounds - rounds:,} made due again so far" in page
        (after,) = re.findall(r'name="after" value="([\d.]+)"', page)
        answer = operator.post("/admin/dead-letters/requeue", after=after)
        rounds += 1

    page = operator.get(answer.location).text
    assert rounds == 3
    assert f"{2 * count + 8:,} dead letters made due again" in page
    assert "2 left alone" in page
    assert _reports(dashboard) == {"due": 2 * count + 8, "dead": 3}
    told = on_record.told(dashboard, "delivery.requeued")
    assert {note for _, note in told} == {"All of it."}
    assert len(list(on_record.done(dashboard, "requeued"))) == 3


def test_a_page_that_was_left_behind_does_nothing(dashboard: Dashboard, operator: Visitor) -> None:
    """Going back in the browser sends nothing a second time."""
    _make_dead(dashboard, 2 * dead_letters.AT_ONCE + 10)
    operator.post("/admin/dead-letters/requeue", **PILE)
    (after,) = re.findall(
        r'name="after" value="([\d.]+)"', operator.get("/admin/dead-letters/requeue").text
    )
    operator.post("/admin/dead-letters/requeue", after=after)
    before = _reports(dashboard)

    for old in (after, "0", "x"):
        answer = operator.post("/admin/dead-letters/requeue", after=old)
        assert "That page was an old one" in operator.get(answer.location).text
    assert _reports(dashboard) == before


def test_nothing_to_go_on_with_leads_back(operator: Visitor) -> None:
    """The address alone means nothing."""
    answer = operator.get("/admin/dead-letters/requeue")

    assert (answer.status_code, answer.location) == (303, "/admin/dead-letters")


def test_a_pile_that_is_not_named_well_is_refused(operator: Visitor) -> None:
    """Whichever page is asked for it."""
    for query in (
        "partner=ACME",
        "upstream=tickets",
        "outcome=refused",
        "partner=ACME&upstream=tickets&status=4%204",
        "partner=ACME&upstream=tickets&status=99999999999",
        f"{QUERY}&sort=id",
        f"{QUERY}&after=7",
        f"{QUERY}&after=1.x",
    ):
        for page in ("", "/requeue"):
            answer = operator.get(f"/admin/dead-letters{page}?{query}")
            assert answer.status_code == 400, (page, query)
    nul = QUERY.replace("ACME", "%00")  # which PostgreSQL does not take
    for query in (f"{QUERY}&row=1", "row=x", "row=9223372036854775808", nul):
        assert operator.get(f"/admin/dead-letters/requeue?{query}").status_code == 400, query
    for fields in ({}, {"row": "x"}, {"row": "1", **PILE}, {**PILE, "status": "x"}, NUL):
        answer = operator.post("/admin/dead-letters/requeue", **fields)
        assert answer.status_code == 400, fields


def test_counting_stops_where_it_is_told_to(dashboard: Dashboard) -> None:
    """So that a night's hundred thousand do not make the page slow."""
    _make_dead(dashboard, 30)
    with dashboard.database.read() as connection:
        heaps, counted = piles.heaps(connection, wall(), most=20)
        pile = Pile(partner="ACME", upstream="tickets", outcome="offer_not_found", status=404)

        assert (heaps[0]["size"], counted) == (20, 20)
        assert piles.size(connection, pile, most=20) == 20
        assert piles.size(connection, pile) == 30
        marks = piles.marks(connection, pile, after=piles.BEGIN, until=wall(), limit=7)
        assert piles.size(connection, pile, after=marks[-1]) == 23
        assert connection.execute(text("SELECT min(id) FROM offers")).scalar() == marks[0][1]
        assert piles.marks(connection, pile, after=piles.BEGIN, until=0, limit=7) == []


def test_what_dies_again_meanwhile_waits_for_another_look(
    dashboard: Dashboard, operator: Visitor
) -> None:
    """One press sends each dead letter once."""
    _make_dead(dashboard, dead_letters.AT_ONCE + 1)
    operator.post("/admin/dead-letters/requeue", **PILE)
    again = "UPDATE offers SET report = 'dead', updated_at = updated_at + 1 WHERE offer = :offer"
    dashboard.execute(again, offer="many-0003")
    page = operator.get("/admin/dead-letters/requeue").text
    (after,) = re.findall(r'name="after" value="([\d.]+)"', page)

    operator.post("/admin/dead-letters/requeue", after=after)

    assert _reports(dashboard) == {"due": dead_letters.AT_ONCE, "dead": 1}


def test_a_pile_is_read_from_its_index(dashboard: Dashboard) -> None:
    """However much the upstream has that is not dead."""
    _make_dead(dashboard, 30)
    pile = Pile(partner="ACME", upstream="tickets", outcome="offer_not_found", status=404)
    query = piles._of(select(offers.c.id), pile, piles.BEGIN)  # noqa: SLF001  # its plan is meant
    with dashboard.database.read() as connection:
        assert "offers_dead" in plan(connection, query)
        assert "offers_dead" in plan(connection, query.order_by(*piles._ORDER))  # noqa: SLF001
