"""What a list of orders tells the register, on both engines, and how its rows are judged."""

from collections import Counter
from contextlib import closing
from io import StringIO

import pytest
from sqlalchemy import select

from proxy import audit
from proxy.choices import Choice
from proxy.errors import ConfigurationError
from proxy.ledger import Ledger
from proxy.missing import Told, report
from proxy.orders import Form, Listing
from proxy.reconcile import Bad, Order, Orders, Terms
from proxy.register import Offer
from proxy.schema import facts
from tests.core.conftest import DAY, HOUR, START, Register, a_message
from tests.evidence.filled import KEY

FORM = Form(
    columns={name: name for name in ("offer", "answer", "order", "at", "bought")},
    answers={"": Choice.UNDECIDED, "no": Choice.DECLINED, "yes": Choice.ACCEPTED},
    now=START,
)
HEADER = "offer,answer,order,at,bought"


def tell(register: Register, upstream: str = "now", **only: object) -> str:
    """Tell the register of one order; return what became of it."""
    values = {
        "partner": "ACME",
        "upstream": upstream,
        "offer": "offer-1",
        "choice": "declined",
        "at": START - DAY,
        "purchased": False,
        "order": None,
    }
    (became,) = report(register.intake, [Told(**(values | only))])  # type: ignore[arg-type]  # words of the test
    return became


def sources(register: Register, offer: Offer) -> list[tuple[str, str]]:
    """Return who caused each fact of an offer, and its kind."""
    with register.database.read() as connection:
        query = select(facts.c.source, facts.c.kind).where(facts.c.offer_id == offer.id)
        return [(row[0], row[1]) for row in connection.execute(query.order_by(facts.c.ordinal))]


def test_a_missing_decline_goes_the_ordinary_way(register: Register) -> None:
    """Due as if the server had said it, marked in the register and in the fact."""
    assert tell(register, purchased=True, order="ORDER-1") == "reported"

    offer = register.find()
    assert (offer.choice, offer.report, offer.reconciled) == ("declined", "due", True)
    assert (offer.chosen_at, offer.order_reference) == (START - DAY, "ORDER-1")
    assert sources(register, offer) == [("reconciled", "choice.recorded")]
    assert register.claim_one().offer == "offer-1"


def test_a_decline_waits_for_its_purchase(register: Register) -> None:
    """Where the row does not say that it was bought, nothing says so."""
    tell(register, "purchase")

    assert register.find(upstream="purchase").report == "held"


def test_a_bought_decline_is_not_held(register: Register) -> None:
    """However long ago the order was."""
    tell(register, "purchase", purchased=True, at=START - 90 * DAY)

    assert register.find(upstream="purchase").report == "due"


@pytest.mark.parametrize("choice", ["declined", "accepted"])
def test_an_answer_that_came_first_stands(register: Register, choice: str) -> None:
    """Also an older one: the list knows of no answer that the register has."""
    register.intake.record(a_message(choice=choice, seq=START - 2 * DAY))
    before = register.find()

    assert tell(register, at=START + HOUR) == "superseded"

    after = register.find()
    kept = ("choice", "seq", "message", "report", "reconciled", "chosen_at")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


def test_an_older_acceptance_still_counts(register: Register) -> None:
    """The customer's own word arrives after the list's: nothing is sent."""
    tell(register, at=START)

    register.intake.record(a_message(choice="accepted", seq=START - HOUR))

    offer = register.find()
    assert (offer.choice, offer.report, offer.reconciled) == ("accepted", "cancelled", False)


def test_telling_twice_is_telling_once(register: Register) -> None:
    """The same row is the same message."""
    tell(register)
    before = register.find()

    assert tell(register) == "replayed"
    assert register.find() == before


def test_no_answer_takes_the_implied_way(register: Register) -> None:
    """Bought, and marked implicit and reconciled when the time has come."""
    tell(register, "implying", choice="undecided", purchased=True, order="ORDER-1")
    waiting = register.find(upstream="implying")
    register.clock.pass_ms(DAY)
    register.outbox.tick()

    offer = register.find(upstream="implying")
    assert (waiting.choice, waiting.report) == ("undecided", "none")
    assert (offer.choice, offer.report) == ("declined", "due")
    assert offer.implicit
    assert offer.reconciled


def test_a_later_list_may_know_the_answer(register: Register) -> None:
    """It says something else of the offer, so it is another message."""
    tell(register, "implying", choice="undecided", purchased=True)

    assert tell(register, "implying") == "reported"
    assert register.find(upstream="implying").choice == "declined"


def test_an_order_is_told_with_its_purchase_only() -> None:
    """What was not bought has no order, whatever its row says."""
    terms = Terms(partner="ACME", upstream="now", implies=False, hash_of_order=lambda _: None)
    with closing(Orders()) as orders:
        for offer, bought in (("o-1", False), ("o-2", True)):
            order = Order(offer, 2, Choice.DECLINED, "ORDER-1", bought=bought)
            assert list(orders.take(order, Counter())) == []
            orders.mark(order)
        (batch,) = orders.marked(terms, START)

    assert [(one.purchased, one.order) for one in batch] == [(False, None), (True, "ORDER-1")]
    assert [one.at for one in batch] == [START, START]


def test_the_record_verifies_with_it(register: Register) -> None:
    """The audit's digests hold over reconciled facts as over others."""
    tell(register, purchased=True, order="ORDER-1")
    tell(register, "implying", choice="undecided", purchased=True)

    with register.database.snapshot() as connection:
        assert list(audit.verify(connection, Ledger(KEY))) == []


def judged(text: str, form: Form = FORM) -> list[Order | Bad | None]:
    """Return what the rows of a list say."""
    return list(Listing(StringIO(text, newline=""), form))


def test_a_row_says_what_it_says() -> None:
    """Cells without the spaces around them, answers in any case, a time in ms."""
    rows = judged(f"{HEADER}\n o-1 , NO ,ORDER-1,2026-06-01T02:00:00+02:00, Yes \no-2,,,,\n")

    assert rows == [
        Order("o-1", 2, Choice.DECLINED, "ORDER-1", 1_780_272_000_000, bought=True),
        Order("o-2", 3, Choice.UNDECIDED),
    ]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1780272000", 1_780_272_000_000),
        ("1780272000123", 1_780_272_000_123),
        ("2026-06-01T00:00:00Z", 1_780_272_000_000),
        ("2026-06-01 00:00:00.5z", 1_780_272_000_500),
    ],
)
def test_times_are_rfc_3339_or_unix(text: str, at: int) -> None:
    """Seconds and milliseconds are told apart by their length."""
    assert judged(f"{HEADER}\no-1,no,,{text},\n") == [Order("o-1", 2, Choice.DECLINED, at=at)]


BAD = {
    "o-1,no": "it has 2 columns, the header has 5",
    "o-1,no,,,,,": "it has 7 columns, the header has 5",
    "o 1,no,,,": "the offer is not",
    "../o,no,,,": "the offer is not",
    ",no,,,": "the offer is not",
    "o-1,maybe,,,": "the answer is none of those",
    "o-1,no,4111 1111 1111 1111,,": "looks like a payment card number",
    "o-1,no,ORDER 1,,": "the order is not",
    f"o-1,no,{'1' * 65},,": "the order is not",
    "o-1,n\ufffd,,,": "it is not text in this encoding",
    "o-1,no,,2026-06-01T00:00:00,": "neither RFC 3339",
    "o-1,no,,2026-06-01,": "neither RFC 3339",
    "o-1,no,,2026-02-30T00:00:00Z,": "the time does not exist",
    "o-1,no,,2099-01-01T00:00:00Z,": "the time lies ahead",
    "o-1,no,,17802720001,": "neither RFC 3339",
    "o-1,no,,,perhaps": "whether it was bought",
    'o-1,"no"x,,,': "it is not CSV up to line 2",
    f"o-1,no,{'x' * 140_000},,": "it is not CSV up to line 2: field larger",
    f"o-1,no,{'x' * 2_500_000},,": "it is longer than 1,048,576 characters",
}


@pytest.mark.parametrize("row", BAD, ids=[f"{text[:30]} ({len(text)})" for text in BAD])
def test_a_bad_row_is_named_and_stops_nothing(row: str) -> None:
    """Its line and why, never what it says; the next row is read."""
    bad, after = judged(f"{HEADER}\n{row}\no-2,no,,,\n")

    assert isinstance(bad, Bad)
    assert bad.line == 2
    assert BAD[row] in bad.why
    assert after == Order("o-2", 3, Choice.DECLINED)


def test_an_open_quote_costs_what_it_covers() -> None:
    """Up to where it ends; a row after that is read, with its own line."""
    rows = judged(f'{HEADER}\no-1,"no,,,\no-2,no,,,\no-3,"no",,,\no-4,no,,,\n')

    assert rows[-1] == Order("o-4", 5, Choice.DECLINED)
    assert all(isinstance(row, Bad) for row in rows[:-1])


def test_empty_lines_and_orders_without_an_offer_are_not_bad() -> None:
    """Most orders of a shop may have had no offer at all."""
    assert judged(f"{HEADER}\n\n,,ORDER-1,,true\n\n") == [None]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("offer_id,answer,order,at,bought", "no column `offer`; the nearest one is `offer_id`"),
        ("offer,answer,order,at,bought,offer", "the column `offer` more than once"),
        ("", "no column `offer`; it has none"),
        ('offer,"answer', "The header is not CSV"),
    ],
)
def test_a_column_that_is_missing_is_named(header: str, said: str) -> None:
    """With the nearest that is there."""
    with pytest.raises(ConfigurationError, match=said):
        judged(f"{header}\n")
