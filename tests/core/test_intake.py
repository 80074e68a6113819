"""Recording: replays, batches, open tokens, facts."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.event import listen, remove
from sqlalchemy.exc import DBAPIError

from proxy.choices import Choice, Outcome, Recorded, Report, Source
from proxy.errors import Problem
from proxy.ledger import Ledger
from proxy.schema import facts
from proxy.uses import Use
from tests.core.conftest import (
    DAY,
    DELIVERED,
    HOUR,
    START,
    UNREACHED,
    Register,
    a_message,
)


def test_what_is_recorded_is_on_disk(register: Register) -> None:
    """Another connection sees it as soon as `record` returns."""
    recorded = register.intake.record(a_message())

    assert (recorded.choice, recorded.report) == (Choice.DECLINED, Report.DUE)
    assert register.find().choice is Choice.DECLINED


def test_the_same_id_is_a_replay(register: Register) -> None:
    """It changes nothing and says so; only the register's present state differs."""
    message = a_message()
    first = register.intake.record(message)
    again = register.intake.record(message)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.recorded_at == first.recorded_at
    assert register.find().facts == 1


@pytest.mark.parametrize(
    "other",
    [
        {"offer": "offer-2"},
        {"choice": Choice.ACCEPTED},
        {"seq": START + 1},
        {"purchased": True},  # or it would be acknowledged, and not recorded
    ],
    ids=str,
)
def test_the_same_id_with_other_content_is_refused(
    register: Register, other: dict[str, object]
) -> None:
    """An id names one statement for ever."""
    message = a_message()
    register.intake.record(message)

    with pytest.raises(Problem, match="idempotency_key_reused"):
        register.intake.record(a_message(**({"id": message.id} | other)))  # type: ignore[arg-type]


def test_a_replay_may_come_with_another_token(register: Register) -> None:
    """Token, `at` and `tries` are not compared."""
    message = a_message()
    register.intake.record(message)
    again = a_message(id=message.id, writer="jti-2", at=START + 5, tries=7)

    assert register.intake.record(again).replayed


def test_fifty_posts_at_once_make_one_row(register: Register) -> None:
    """One of them is recorded, the others are replays."""
    message = a_message()
    answers: list[Recorded] = []
    threads = [
        threading.Thread(target=lambda: answers.append(register.intake.record(message)))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 49
    assert register.find().facts == 1


def test_a_clock_that_is_ahead_is_right_about_its_own_order(register: Register) -> None:
    """The acceptance made after a decline cancels it, although neither seq is believed."""
    register.intake.record(a_message(choice="accepted", seq=START + HOUR + 1))
    overtaken = register.intake.record(a_message(choice="declined", seq=START + HOUR))

    assert overtaken.superseded
    assert register.find().choice is Choice.ACCEPTED


def test_a_batch_spoils_no_neighbour(register: Register) -> None:
    """One commit; a bad line is refused alone."""
    first = a_message("one")
    answers = register.intake.record_all([first, a_message("two", id=first.id), a_message("three")])

    assert [isinstance(answer, Problem) for answer in answers] == [False, True, False]
    assert register.find("three").report is Report.DUE


def test_a_batch_may_change_its_mind(register: Register) -> None:
    """Messages for one offer are applied in their order."""
    register.intake.record_all(
        [a_message(), a_message(choice="accepted", seq=START + 1), a_message(seq=START + 2)]
    )

    assert (register.find().report, register.find().epoch) == (Report.DUE, 2)
    assert register.find().facts == 3


def test_the_worker_is_rung_when_something_is_due(register: Register) -> None:
    """No poll lies between the commit and the claim."""
    register.intake.record(a_message(upstream="settling"))

    assert register.rung == [5_000]


def test_an_open_token_names_five_offers(register: Register) -> None:
    """The sixth is refused; the first five may be named again."""
    for number in range(5):
        register.intake.record(a_message(f"offer-{number}", open_token=True))
    register.intake.record(a_message("offer-0", open_token=True))

    with pytest.raises(Problem, match="token_offers_exhausted"):
        register.intake.record(a_message("offer-5", open_token=True))
    assert register.intake.find("ACME", "now", "offer-5") is None


def test_an_idempotency_key_gives_the_first_session_again(register: Register) -> None:
    """Time and jti of the first call; another content is refused."""
    use = Use(partner="ACME", key="k", digest="d", jti="one", now=START)
    first = register.intake.once(use)
    again = register.intake.once(replace(use, jti="two", now=START + 9))

    assert first == again == (START, "one")
    with pytest.raises(Problem, match="idempotency_key_reused"):
        register.intake.once(replace(use, digest="other"))


def test_a_shown_offer_is_undecided(register: Register) -> None:
    """The funnel's first number; it takes nothing from an answer that is there."""
    register.intake.know(partner="ACME", upstream="now", offer="offer-1")
    undecided = register.find().choice
    register.decline()
    register.intake.know(partner="ACME", upstream="now", offer="offer-1")

    assert (undecided, register.find().choice) == (Choice.UNDECIDED, Choice.DECLINED)


def test_metadata_is_erased_with_the_delivery(register: Register) -> None:
    """Only the product stays, for the funnel."""
    register.intake.know(
        partner="ACME", upstream="now", offer="offer-1", metadata={"product": "tickets", "n": 1}
    )
    register.decline()
    register.accept()

    assert (register.find().metadata, register.find().product) == ("{}", "tickets")


def test_every_change_appends_a_fact_under_the_audit_key(register: Register) -> None:
    """Ordinals without a gap, digests that recompute, the last one in the offer's row."""
    register.decline()
    register.accept()
    with register.database.read() as connection:
        rows = [dict(row) for row in connection.execute(select(facts)).mappings()]
    ledger = Ledger(b"audit key of a test, 32 bytes at least")

    assert [row["ordinal"] for row in rows] == [1, 2]
    assert [ledger.digest(row, "now", "offer-1") for row in rows] == [row["digest"] for row in rows]
    assert register.find().digest == rows[-1]["digest"]


def test_a_fact_holds_no_order_reference(register: Register) -> None:
    """Of order and metadata a keyed hash only."""
    register.intake.record(a_message(purchased=True, order="ORDER-CANARY-1"))
    with register.database.read() as connection:
        row = connection.execute(select(facts)).mappings().one()

    assert "ORDER-CANARY-1" not in str(dict(row))
    assert len(row["order_hash"]) == 64


@pytest.mark.parametrize(
    "statement",
    [update(facts).values(note="other"), delete(facts), text("DELETE FROM facts")],
    ids=["update", "delete", "plain delete"],
)
def test_facts_are_append_only(register: Register, statement: object) -> None:
    """The database itself refuses to change or drop one."""
    register.decline()

    with pytest.raises(DBAPIError, match="append-only"), register.database.begin() as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    assert register.find().facts == 1


def test_a_message_of_yesterday_is_still_a_replay(register: Register) -> None:
    """Ids are remembered as long as the facts are."""
    message = a_message()
    register.intake.record(message)
    register.clock.pass_ms(400 * DAY)

    assert register.intake.record(message).replayed


@pytest.mark.parametrize("ends", [None, UNREACHED, DELIVERED], ids=str)
def test_a_late_word_of_the_product_is_taken(register: Register, ends: Outcome | None) -> None:
    """The funnel counts by it; the insurer is told of nothing anew."""
    register.decline()
    if ends:
        register.attempt(ends)
    before = register.find()
    register.intake.record(
        a_message(
            choice="undecided", source=Source.SERVER, writer="server", metadata={"product": "trip"}
        )
    )

    assert register.find().product == "trip"
    assert (register.find().metadata, register.find().body) == (before.metadata, before.body)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_message_reads_a_whole_table(register: Register) -> None:
    """Two offers in one commit, answered before: each is found by an index."""
    for offer in ("offer-1", "offer-2"):
        register.decline(offer)
    asked: list[tuple[str, Any]] = []

    def note(*event: Any) -> None:
        asked.append((event[2], event[3]))

    listen(Engine, "before_cursor_execute", note)
    try:
        register.intake.record_all([a_message("offer-1"), a_message("offer-2")])
        register.intake.find("ACME", "now", "offer-1")
    finally:
        remove(Engine, "before_cursor_execute", note)
    with register.database.read() as connection:
        plans = [
            step[3]
            for statement, values in asked
            if statement.startswith(("SELECT", "UPDATE"))
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    assert len(plans) >= 4
    assert [step for step in plans if step.startswith("SCAN")] == []
