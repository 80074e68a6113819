"""Offers are found and paged through: each page what a plain query says, none forgotten."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from proxy import browse
from proxy.browse import Page, Wanted
from proxy.clocks import wall
from proxy.database import Database
from proxy.schema import offers
from tests.admin.filled import fill
from tests.admin.plans import plan
from tests.core.conftest import clock, database  # noqa: F401  # fixtures of these tests too

COUNT = 5_000  # more than a window
DAY = 86_400_000
HASTE: dict[str, Any] = {"size": 7, "patience": 0.0}  # a page ends after one window


@pytest.fixture
def filled(database: Database) -> Database:  # noqa: F811  # the fixture
    """A register of sixty days."""
    fill(database, COUNT, now=wall(), seal=False)
    return database


def _ids(connection: Connection, where: str = "1 = 1", **values: Any) -> list[int]:
    query = text(f"SELECT id FROM offers WHERE {where} ORDER BY id DESC")
    return list(connection.execute(query, values).scalars())


def _older(connection: Connection, wanted: Wanted, **how: Any) -> list[Page]:
    """Turn pages until there are no more."""
    pages = [browse.page(connection, wanted, **how)]
    while (last := pages[-1].older) is not None:
        assert len(pages) < COUNT
        pages.append(browse.page(connection, replace(wanted, before=last), **how))
    return pages


def _shown(pages: list[Page]) -> list[int]:
    return [row["id"] for page in pages for row in page.rows]


FILTERS: dict[str, tuple[Wanted, str]] = {
    "dead": (Wanted(report="dead"), "report = 'dead'"),
    "due": (Wanted(report="due"), "report = 'due'"),
    "sending": (Wanted(report="sending"), "report = 'sending'"),
    "accepted": (Wanted(choice="accepted"), "choice = 'accepted'"),
    "conflict": (Wanted(conflict=True), "conflicts <> ''"),
    "no conflict, dead": (
        Wanted(conflict=False, report="dead"),
        "conflicts = '' AND report = 'dead'",
    ),
    "late": (Wanted(late=True), "late"),
    "in time": (Wanted(late=False, choice="declined"), "NOT late AND choice = 'declined'"),
    "implied": (Wanted(implicit=True), "implicit"),
    "partner": (Wanted(partner="OAKTREE"), "partner = 'OAKTREE'"),
    "upstream": (Wanted(upstream="luggage"), "upstream = 'luggage'"),
    "both": (
        Wanted(partner="LAMPLIGHT", upstream="tickets", report="dead"),
        "partner = 'LAMPLIGHT' AND upstream = 'tickets' AND report = 'dead'",
    ),
    "order": (Wanted(order="ORDER-0000042"), "order_reference = 'ORDER-0000042'"),
    "beginning": (Wanted(offer="a"), "substr(offer, 1, 1) = 'a'"),
    "nothing": (Wanted(partner="NOBODY"), "1 = 0"),
    "unknown upstream": (Wanted(upstream="nothing"), "1 = 0"),
}


def test_each_filter_finds_what_a_plain_query_finds(filled: Database) -> None:
    """Turned page by page with the least patience, newest first, each offer once."""
    with filled.read() as connection:
        for name, (wanted, where) in FILTERS.items():
            pages = _older(connection, wanted, **HASTE)
            assert _shown(pages) == _ids(connection, where), name


def test_all_pages_together_are_all_offers(filled: Database) -> None:
    """Also with a gap in the ids, wider than a window."""
    names = [column.name for column in offers.columns if column.name not in ("id", "offer")]
    further = select(
        offers.c.id + 30_000, offers.c.offer + "-2", *(offers.c[name] for name in names)
    ).where(offers.c.id > COUNT - 20)
    with filled.begin() as connection:
        connection.execute(insert(offers).from_select(["id", "offer", *names], further))
    with filled.read() as connection:
        pages = _older(connection, Wanted())

        assert _shown(pages) == _ids(connection)
        assert pages[0].newer is None


def test_the_way_back_shows_the_same_pages(filled: Database) -> None:
    """Newer from each page is the page that it was reached from."""
    wanted = Wanted(choice="declined")
    with filled.read() as connection:
        pages = _older(connection, wanted, size=200)
        for newer, older in pairwise(pages[1:]):
            back = browse.page(connection, replace(wanted, after=older.newer), size=200)
            assert _shown([back]) == _shown([newer])
        first = browse.page(connection, replace(wanted, after=pages[0].rows[9]["id"]), size=200)

        assert _shown([first]) == _shown(pages[:1])  # nine newer ones would be a page like none


def test_what_is_rare_says_how_far_it_looked(filled: Database) -> None:
    """Without patience a page ends, empty, with the time that it reached; going on ends too."""
    wanted = Wanted(order="ORDER-NONE")
    with filled.read() as connection:
        first = browse.page(connection, wanted, **HASTE)
        pages = _older(connection, wanted, **HASTE)

        assert (list(first.rows), first.older) == ([], COUNT + 1 - 2_000)
        shown = "SELECT created_at FROM offers WHERE id = :id"
        assert first.reached == connection.execute(text(shown), {"id": first.older}).scalar()
        assert [page.reached is None for page in pages] == [False, False, True]
        forward = browse.page(connection, replace(wanted, after=1), **HASTE)
        assert (forward.newer, forward.older) == (2_001, 2_002)


def test_an_offer_is_found_by_its_id_and_by_how_that_begins(filled: Database) -> None:
    """Whosever it is; one id may stand under several upstreams."""
    with filled.begin() as connection:
        connection.execute(text("UPDATE offers SET offer = 'twin-1' WHERE id = 10"))
        twin = "UPDATE offers SET offer = 'twin-1', upstream = 'other' WHERE id = 20"
        connection.execute(text(twin))
        connection.execute(text("UPDATE offers SET offer = 'twin-11' WHERE id = 30"))
    with filled.read() as connection:

        def found(**wanted: Any) -> list[int]:
            return _shown([browse.page(connection, Wanted(**wanted))])

        assert found(offer="twin-1") == [20, 10]
        assert found(offer="twin-1", upstream="other") == [20]
        assert found(offer="twin-1", upstream="other", partner="NOBODY") == []
        assert found(offer="twin") == [30, 20, 10]
        assert found(offer="TWIN") == []
        assert found(offer="twin-11", report="nothing") == []


def test_days_are_found_by_halving(filled: Database) -> None:
    """A day's offers are those from its first millisecond to its last."""
    start = wall() // DAY * DAY - 20 * DAY
    inside = "created_at >= :since AND created_at < :until"
    with filled.read() as connection:
        for since, until in ((start, start + DAY), (start, None), (None, start), (None, 1)):
            wanted = Wanted(since=since, until=until)
            shown = _shown(_older(connection, wanted))
            values = {"since": since or 0, "until": until or 2**60}
            assert shown == _ids(connection, inside, **values)


def test_every_pair_that_has_offers_is_known(filled: Database) -> None:
    """By steps into the index, none twice."""
    with filled.read() as connection:
        rows = connection.execute(text("SELECT DISTINCT partner, upstream FROM offers"))

        assert browse.pairs(connection) == sorted((row[0], row[1]) for row in rows)


def test_an_empty_register_has_an_empty_page(database: Database) -> None:  # noqa: F811
    """And nowhere to go on."""
    with database.read() as connection:
        assert browse.page(connection, Wanted()) == Page(rows=[])
        assert browse.page(connection, Wanted(offer="a", before=5)).older is None
        assert browse.pairs(connection) == []


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (Wanted(report="dead"), "offers_dead"),
        (Wanted(report="due"), "offers_due"),
        (Wanted(conflict=True), "offers_conflict"),
        (Wanted(partner="OAKTREE"), "offers_key|sqlite_autoindex_offers_1"),
    ],
    ids=["dead", "due", "conflict", "partner"],
)
def test_what_an_index_names_is_asked_of_it(filled: Database, asked: Wanted, index: str) -> None:
    """Otherwise a page would read the whole table for a handful."""
    with filled.read() as connection:
        (query,) = browse._probes(connection, asked)  # noqa: SLF001  # the plan is what is tested
        found = plan(connection, query.limit(10))

    assert any(name in found for name in index.split("|")), found


def test_a_window_is_read_by_its_ids(filled: Database) -> None:
    """Whatever else is asked for: an upstream's own index would be read whole for each window."""
    asked = Wanted(partner="LAMPLIGHT", upstream="tickets", order="ORDER-NONE")
    query = browse._filtered(asked).where(offers.c.id >= 10, offers.c.id < 20)  # noqa: SLF001
    with filled.read() as connection:
        found = plan(connection, query.order_by(offers.c.id.desc()))

    assert "INTEGER PRIMARY KEY" in found if filled.is_sqlite else "offers_pkey" in found
