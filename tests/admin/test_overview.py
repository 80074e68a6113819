"""The first page: what needs a person, how things stand, and the funnel over time."""

import re
from pathlib import Path

import pytest
from sqlalchemy import func, select

from proxy import funnel, overview
from proxy.admin.charts import runs
from proxy.aside import Aside
from proxy.choices import Choice, Message, Source
from proxy.clocks import wall
from proxy.funnel import Counts, Line, Wanted
from proxy.overview import Pair, together
from proxy.schema import facts, offers
from tests.admin.dashboard import Dashboard, Visitor
from tests.admin.full import PATIENCE_S, counted, words
from tests.admin.stories import PAUSED, SHOPS, THROTTLED
from tests.core.conftest import (  # noqa: F401  # fixtures of these tests too
    Register,
    clock,
    database,
    make_register,
    register,
)

PAIRS = [(shop.partner, shop.upstream) for shop in SHOPS]
_DAY = 86_400_000


def test_the_first_look_says_that_it_counts_and_comes_back(
    dashboard: Dashboard, viewer: Visitor
) -> None:
    """Nobody waits for the count; without scripts the page comes back too."""
    first = viewer.get("/admin/")

    assert "Counting every offer" in first.text
    assert first.headers["Refresh"] == "2"
    assert dashboard.admin.extensions["counting"].wait(PATIENCE_S)
    again = viewer.get("/admin/")
    assert "No offers in these days" in again.text
    assert "Refresh" not in again.headers


def test_nothing_needs_anybody_on_an_empty_register(dashboard: Dashboard, viewer: Visitor) -> None:
    """One sentence, and no list."""
    page = counted(dashboard, viewer)

    assert "Nothing needs you." in page
    assert 'class="attention"' not in page


def test_what_needs_a_person_comes_worst_first(full: Dashboard) -> None:
    """A credential that is refused, then what was given up, then what contradicts itself."""
    page = counted(full, full.signed_in())

    titles = [words(title) for title in re.findall(r'<p class="title"[^>]*>(.*?)</p>', page)]
    dead = full.rows("SELECT count(*) AS n FROM offers WHERE report = 'dead'")[0]["n"]
    torn = full.rows("SELECT count(*) AS n FROM offers WHERE conflicts <> ''")[0]["n"]
    assert titles[0] == (
        f"A credential of {PAUSED}/concerts is paused: the insurer does not accept the credential"
    )
    assert titles[1:3] == [f"{dead} dead letters", f"{torn} conflicts"]
    assert titles[3:] in ([f"The insurer asks to slow down for {THROTTLED}/ferries"], [])


def test_settings_that_are_refused_need_a_person(
    dashboard: Dashboard, viewer: Visitor, tmp_path: Path
) -> None:
    """The reason is shown: the old settings work on, so nothing else would tell."""
    file = tmp_path / "optout.toml"
    file.write_text(file.read_text("utf-8") + '\nunheard_of = "x"\n', "utf-8")

    assert not dashboard.service.configuration.reload()

    page = viewer.get("/admin/").text
    assert "The newest settings are refused" in page
    assert "unheard_of" in page


def test_reports_that_are_overdue_need_a_person(dashboard: Dashboard, viewer: Visitor) -> None:
    """Due for longer than a quarter of an hour, with no credential to blame."""
    dashboard.service.intake.record(_decline("offer-1"))
    dashboard.execute("UPDATE offers SET report = 'due', due_at = :at", at=wall() - 1_000_000)

    page = words(viewer.get("/admin/").text)

    assert "Reports of ACME/tickets are overdue Due: ACME/tickets for 16 min." in page


def test_the_columns_add_up_as_in_the_report(full: Dashboard) -> None:
    """The same lines, and their sum is the report's total."""
    aside = Aside(full.database)

    found = overview.count(aside)

    with aside.snapshot() as connection:
        whole = funnel.total(connection, Wanted())
        lines = {
            (line.key[0], (line.key[1], line.key[2])): line.counts
            for line in funnel.lines(connection, Wanted(by=("day", "partner", "upstream")))
        }
    days = found.recent.items()
    assert {(f"{day}", pair): one for day, of in days for pair, one in of.items()} == lines
    assert together(line.counts for line in found.over(90, None, None)) == whole
    assert together(found.by_pair(90).values()) == whole
    assert found.pairs == sorted(PAIRS)


def test_older_offers_are_kept_together(dashboard: Dashboard) -> None:
    """Of the days before the last ninety only the sum is held."""
    dashboard.service.intake.record(_decline("offer-1"))
    dashboard.service.intake.record(_decline("offer-2"))
    ago = wall() - 100 * _DAY
    dashboard.execute("UPDATE offers SET created_at = :ago WHERE offer = 'offer-1'", ago=ago)

    found = overview.count(Aside(dashboard.database))

    assert found.older[("ACME", "tickets")].shown == 1
    assert [line.counts.shown for line in found.over(2, None, None)] == [0, 1]


@pytest.mark.parametrize(("partner", "upstream"), [("LAMPLIGHT", None), ("NORTHLINE", "travel")])
def test_the_page_shows_what_was_asked_for(
    full: Dashboard,
    partner: str,
    upstream: str | None,
) -> None:
    """The sum of the days, of one partner or one upstream only."""
    visitor = full.signed_in()
    query = f"?days=90&partner={partner}" + (f"&upstream={upstream}" if upstream else "")

    page = counted(full, visitor, f"/admin/{query}")

    condition = "partner = :partner" + (" AND upstream = :upstream" if upstream else "")
    (row,) = full.rows(
        f"SELECT count(*) AS shown, sum(CASE choice WHEN 'accepted' THEN 1 ELSE 0 END) AS yes"
        f" FROM offers WHERE {condition}",
        partner=partner,
        upstream=upstream,
    )
    last = words(page[page.index("Last 90 days") :])
    assert last.startswith(f"Last 90 days Shown {row['shown']:,} Accepted {row['yes']:,} Declined")


def test_bars_are_as_high_as_the_figures_in_the_table(full: Dashboard) -> None:
    """One scale for every bar and both answers."""
    page = counted(full, full.signed_in(), "/admin/?days=7")

    chart = page[page.index('aria-label="Offers shown by day') :]
    chart = chart[: chart.index("</svg>")]
    highs = {
        name: [float(high) for high in re.findall(rf'class="{name}".*?height="([0-9.]+)"', chart)]
        for name in ("accepted", "declined")
    }
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in _rows_of(page, "by day")]
    accepted, declined = ([int(row[at].replace(",", "")) for row in cells[::-1]] for at in (1, 2))
    scale = highs["declined"][0] / declined[0]
    assert highs["declined"] == pytest.approx([count * scale for count in declined], abs=0.02)
    shown = [count for count in accepted if count]
    assert highs["accepted"] == pytest.approx([count * scale for count in shown], abs=0.02)


def test_the_line_of_the_conversion_does_not_cross_a_gap() -> None:
    """A day without an answer has no conversion, and no point of the line."""

    def a_day(accepted: int) -> Line:
        return Line(("day",), Counts(accepted=accepted, undecided=1))

    found = runs([a_day(0), a_day(3), a_day(4), a_day(0), a_day(5)])

    assert [[at for at, _ in run] for run in found] == [[1, 2], [4]]


def test_how_late_deliveries_were(full: Dashboard) -> None:
    """Told again in plain Python: from the last message before it to the delivery."""
    now = overview.read(full.database, PAIRS)

    with full.database.read() as connection:
        told = connection.execute(
            select(facts.c.offer_id, facts.c.kind, facts.c.report, facts.c.at).order_by(facts.c.id)
        ).all()
    said: dict[int, int] = {}
    spans = []
    for offer, kind, report, at in told:
        if kind in ("choice.recorded", "purchase.recorded", "choice.implied"):
            said[offer] = at
        if (kind, report) == ("attempt.finished", "delivered") and at >= now.at - _DAY:
            spans.append(at - said[offer])
    assert now.lateness is not None
    assert now.lateness.count == len(spans) <= 500
    assert now.lateness.longest == max(spans)
    assert now.lateness.middle == sorted(spans)[len(spans) // 2]


def test_permits_are_those_of_the_last_minute(register: Register) -> None:  # noqa: F811
    """Claims are counted, and an older one is not."""
    for offer in ("offer-1", "offer-2", "offer-3"):
        register.decline(offer)
    assert len(register.claim(most=1).deliveries) == 1
    register.clock.pass_ms(61_000)
    assert len(register.claim(most=2).deliveries) == 2

    now = overview.read(register.database, [("ACME", "now")])

    assert now.claims == {("ACME", "now"): 2}
    assert now.claims_ms == 60_000


def test_whose_credential_stopped_is_known_from_the_facts(full: Dashboard) -> None:
    """The bucket's name says nothing: it is a hash of a secret that the web may not open."""
    paused, *throttled = overview.read(full.database, PAIRS).stopped

    assert paused.pairs == ((PAUSED, "concerts"),)
    assert paused.reason == "unauthorized"
    assert [one.pairs for one in throttled] in ([((THROTTLED, "ferries"),)], [])


def test_the_oldest_due_report_of_each_upstream(full: Dashboard) -> None:
    """Asked in more queries than one, as SQLite takes few terms at once."""
    more: list[Pair] = [("NOBODY", f"upstream-{number}") for number in range(120)]

    now = overview.read(full.database, [*more, *PAIRS])

    with full.database.read() as connection:
        query = select(offers.c.partner, offers.c.upstream, func.min(offers.c.due_at))
        due = query.where(offers.c.report == "due", offers.c.due_at <= now.at)
        rows = connection.execute(due.group_by(offers.c.partner, offers.c.upstream)).all()
    assert rows
    assert now.due == {(partner, upstream): at for partner, upstream, at in rows}
    assert now.oldest_due == min((at, pair) for pair, at in now.due.items())


@pytest.mark.parametrize(
    "query",
    [
        "days=8",
        "days=30%27%20or%201=1--",
        "days=7&days=30",
        "partner=%00",
        "sort=id;drop%20table",
        "upstream=" + "x" * 300,
    ],
)
def test_bad_values_of_the_query_are_refused(viewer: Visitor, query: str) -> None:
    """With 400 and the code, on a page."""
    answer = viewer.get(f"/admin/?{query}")

    assert answer.status_code == 400
    assert "invalid_request" in answer.text


@pytest.mark.parametrize("path", ["", "seals", "exports", "partners", "partners/LAMPLIGHT"])
def test_no_page_has_scripts_or_styles_inside(full: Dashboard, path: str) -> None:
    """The policy would refuse them."""
    page = counted(full, full.signed_in("operator"), f"/admin/{path}")

    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]* src=)", page) == []


def _rows_of(page: str, what: str) -> list[str]:
    table = page[page.index(f'aria-label="The figures {what}"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    return re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)


def _decline(offer: str) -> Message:
    return Message(
        partner="ACME",
        upstream="tickets",
        offer=offer,
        choice=Choice.DECLINED,
        id=f"00000000-0000-4000-8000-{int(offer[-1]):012}",
        seq=wall(),
        at=wall(),
        writer="server",
        source=Source.SERVER,
    )
