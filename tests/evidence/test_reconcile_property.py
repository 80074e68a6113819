"""Any list of orders against any register: the counts are what a plain comparison finds.

And after the missing declines are reported, none is missing, no answer was touched, and the same
again changes nothing.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from itertools import count, groupby
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from proxy.choices import Choice
from proxy.ledger import Ledger
from proxy.missing import report
from proxy.orders import Form, Listing
from proxy.reconcile import Bad, Case, Orders, Terms, compare, period
from proxy.schema import facts, offers
from tests.core.conftest import DAY, Register, a_message

ANSWERS = {"": Choice.UNDECIDED, "no": Choice.DECLINED, "yes": Choice.ACCEPTED}
NAMES = [f"offer-{letter}" for letter in "abcdefGH"]
UPSTREAMS = ["now", "purchase", "implying"]
_partners = count(1)


class Line(NamedTuple):
    """One row of the list."""

    offer: str
    answer: str
    order: str
    after: int | None  # seconds after the start, where the row gives its time
    bought: str


LINES = st.builds(
    Line,
    offer=st.sampled_from(NAMES),
    answer=st.sampled_from(["no", "", "yes"] * 3 + ["perhaps"]),
    order=st.sampled_from(["", "ORDER-1", "ORDER-2"] * 3 + ["4111111111111111"]),
    after=st.sampled_from([None, None, 0, 2, 9]),
    bought=st.sampled_from(["true", "true", ""] * 3 + ["maybe"]),
)
KNOWN = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(
        st.sampled_from(["undecided", "declined", "accepted", "implied"]),
        st.sampled_from(["", "", "ORDER-1"]),
    ),
    min_size=2,
)


def fill(register: Register, terms: Terms, known: dict[str, tuple[str, str]]) -> None:
    """Bring the register to what is known, a second for each offer."""
    for offer, (state, order) in known.items():
        register.clock.pass_ms(1_000)
        bought = bool(order) or state == "implied"
        choice = "undecided" if state == "implied" else state
        of = {"partner": terms.partner, "upstream": terms.upstream, "seq": register.clock.now}
        message = a_message(offer, choice, **of, purchased=bought, order=order or None)
        register.intake.record(message)
    if terms.implies and any(state == "implied" for state, _ in known.values()):
        register.clock.pass_ms(DAY)
        register.outbox.tick()


def rows_of(register: Register, terms: Terms) -> dict[str, Any]:
    """Return every row of the partner's register, by offer."""
    with register.database.read() as connection:
        query = select(offers).where(offers.c.partner == terms.partner)
        return {row.offer: row for row in connection.execute(query)}


def said(register: Register, terms: Terms) -> list[tuple[Any, ...]]:
    """Return what every fact of the partner tells, and who caused it."""
    with register.database.read() as connection:
        query = select(facts.c.offer_id, facts.c.source, facts.c.said, facts.c.purchased)
        rows = connection.execute(query.where(facts.c.partner == terms.partner))
        return [tuple(row) for row in rows]


class Result(NamedTuple):
    """What one comparison found."""

    counts: Counter[str]
    cases: list[Case]
    bad: list[Bad]


def reconcile(register: Register, terms: Terms, text: str, *, applied: bool = False) -> Result:
    """Compare the list with the register as the command does."""
    now = register.clock.now
    columns = {word: word for word in ("offer", "answer", "order", "at", "bought")}
    listing = Listing(StringIO(text), Form(columns=columns, answers=ANSWERS, now=now))
    counts: Counter[str] = Counter()
    with closing(Orders()) as orders:
        bad = [one for row in listing if row for one in orders.take(row, counts)]
        with register.database.snapshot() as connection:
            within = period(connection, orders, terms)
            cases = [one for one in compare(connection, orders, terms, within, counts) if one]
        for batch in orders.marked(terms, now) if applied else ():
            assert set(report(register.intake, batch)) == {"reported"}
    return Result(counts, cases, bad)


def text_of(lines: list[Line], start: int) -> str:
    """Return the list as CSV."""
    rows = [
        f"{one.offer},{one.answer},{one.order},"
        f"{'' if one.after is None else start + 1_000 * one.after},{one.bought}"
        for one in lines
    ]
    return "\n".join(["offer,answer,order,at,bought", *rows])


# -- the plain comparison ---------------------------------------------------------------------


def believed(lines: list[Line]) -> tuple[dict[str, Line | None], Counter[str]]:
    """Return what the list says by offer, None where it is not believed, and the bad rows."""
    told: dict[str, Line | None] = {}
    counts: Counter[str] = Counter()
    by_offer = groupby(sorted(lines, key=lambda one: one.offer), lambda one: one.offer)
    for offer, group in by_offer:
        rows = list(group)  # sorting keeps their order
        contents = [(one.answer, one.order, one.bought) for one in rows]
        same = next((n for n, one in enumerate(contents) if one != contents[0]), len(rows))
        if not is_readable(rows[0]):
            counts["bad"] += len(rows)
            told[offer] = None
        else:
            counts["repeated"] += same - 1
            counts["bad"] += len(rows) - same + (same < len(rows))
            told[offer] = rows[0] if same == len(rows) else None
    return told, counts


def is_readable(line: Line) -> bool:
    """True if every column of the row can be read."""
    return line.answer in ANSWERS and len(line.order) < 16 and line.bought != "maybe"


def differences(
    told: dict[str, Line | None], known: dict[str, Any], terms: Terms, start: int
) -> Iterator[tuple[str, str]]:
    """Yield kind and offer, by the words of docs/evidence.md."""
    times = [start + 1_000 * one.after for one in told.values() if one and one.after is not None]
    times = times or [known[name].created_at for name, one in told.items() if one and name in known]
    for offer in told.keys() | known.keys():
        line, row = told.get(offer), known.get(offer)
        stands = row.choice if row else "undecided"
        if line is None:
            answered = offer not in told and stands != "undecided" and times
            if row and answered and min(times) <= row.created_at <= max(times):
                yield "extra", offer
            continue
        yield from ((kind, offer) for kind in _of_line(line, row, stands, terms))


def _of_line(line: Line, row: Any, stands: str, terms: Terms) -> list[str]:
    answer = ANSWERS[line.answer]
    if stands == "undecided" and answer != "undecided":
        return ["missing"]
    is_implied = terms.implies and line.bought and not (row and row.purchased)
    if stands == "undecided" and is_implied:
        return ["missing"]
    if stands != "undecided" and answer == "undecided" and not row.implicit:
        return ["extra"]
    if "undecided" not in (answer, stands) and answer != stands:
        return ["contradictory"]
    if row and row.order_reference and line.order and row.order_reference != line.order:
        return ["contradictory"]
    return []


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    lines=st.lists(LINES, min_size=1, max_size=8), known=KNOWN, upstream=st.sampled_from(UPSTREAMS)
)
def test_any_list_against_any_register(
    register: Register, lines: list[Line], known: dict[str, tuple[str, str]], upstream: str
) -> None:
    """The counts are the plain comparison's, and applying twice is applying once."""
    hashed = Ledger(b"audit key of a test, 32 bytes at least").hash_of_order
    terms = Terms(
        partner=f"ACME-{next(_partners)}",
        upstream=upstream,
        implies=upstream == "implying",
        hash_of_order=hashed,
    )
    start = register.clock.now + 1_000
    fill(register, terms, known)
    register.clock.pass_ms(DAY)
    text, before = text_of(lines, start), rows_of(register, terms)

    first = reconcile(register, terms, text, applied=True)
    after, heard = rows_of(register, terms), said(register, terms)
    second = reconcile(register, terms, text, applied=True)

    told, counts = believed(lines)
    expected = sorted(differences(told, before, terms, start))
    assert sorted((str(one.kind), one.offer) for one in first.cases) == expected
    assert first.counts["repeated"] == counts["repeated"]
    assert len(first.bad) == counts["bad"]
    assert {case.kind for case in second.cases if case.orders != "accepted"} <= {
        "extra",
        "contradictory",
    }
    answered = {name: row for name, row in before.items() if row.choice != "undecided"}
    assert {name: after[name] for name in answered} == answered
    assert (rows_of(register, terms), said(register, terms)) == (after, heard)
    marked = {case.offer for case in first.cases if case.kind == "missing"} - {
        case.offer for case in first.cases if case.orders == "accepted"
    }
    assert {name for name, row in after.items() if row.reconciled} == marked
    assert sum(fact[1] == "reconciled" for fact in heard) == len(marked)
