"""No statement that is run again and again reads a whole table, however few rows it wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.event import listen, remove

from tests.core.conftest import DAY, DELIVERED, THROTTLED, Register, a_message
from tests.evidence.sealed import Record

_GROWING = ("offers", "facts", "blocks", "removals")
_INDEXED = ("Index Scan", "Index Only Scan")

Asked = list[tuple[str, Any]]


@contextmanager
def _asked() -> Iterator[Asked]:
    """Collect every statement that is executed meanwhile, with its values."""
    asked: Asked = []

    def note(*event: Any) -> None:
        statement, values, is_many = event[2], event[3], event[5]
        if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            asked.append((statement, values[0] if is_many else values))

    listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        remove(Engine, "before_cursor_execute", note)


def _whole(connection: Connection, asked: Asked) -> list[str]:
    """Return which of *asked* read one of the tables that grow from end to end."""
    if connection.dialect.name == "sqlite":
        return [
            statement
            for statement, values in asked
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            if _is_whole_step(step[3], statement)
        ]
    connection.execute(text("SET LOCAL enable_seqscan = off"))  # it reads a small table whole
    found = []
    for statement, values in asked:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
        found += [statement for node in _nodes(plan[0]["Plan"]) if _is_whole_node(node)]
    return found


def _is_whole_step(step: str, statement: str) -> bool:
    """SQLite: names of the recursion are no tables, and a limit ends a walk along an index."""
    word, table, *how = f"{step} ".split(" ")
    if word != "SCAN" or table not in (*_GROWING, "one"):
        return False
    return "USING" not in how or "LIMIT" not in statement


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield *node* and all below it but what a limit ends early."""
    yield node
    for below in node.get("Plans", []):
        is_ended = node["Node Type"] == "Limit" and below["Node Type"] in _INDEXED
        yield from () if is_ended else _nodes(below)


def _is_whole_node(node: dict[str, Any]) -> bool:
    kind, table = node["Node Type"], node.get("Relation Name")
    if table not in _GROWING:
        return False
    return kind == "Seq Scan" or (kind in _INDEXED and "Index Cond" not in node)


def _choices(register: Register) -> None:
    """Record new offers and known ones, alone and together, and one message twice."""
    again = a_message("offer-1")
    register.intake.record(again)
    register.intake.record(again)
    register.intake.record_all([a_message("offer-2"), a_message("offer-1", seq=again.seq + 1)])
    register.intake.know(partner="ACME", upstream="now", offer="offer-3")
    register.intake.find("ACME", "now", "offer-1")


def _deliveries(register: Register) -> None:
    """Report one, be told to wait with another, hand it back; see what time has brought."""
    for outcome in (DELIVERED, THROTTLED):
        (delivery,) = register.claim(most=1).deliveries
        assert register.outbox.finish(delivery, register.bucket, outcome)
        register.clock.pass_ms(DAY)
    register.outbox.release(register.claim().deliveries)
    register.outbox.tick()


def test_choices_and_deliveries_read_no_whole_table(register: Register) -> None:
    """Neither does a replay, nor a refusal."""
    with _asked() as asked:
        _choices(register)
        _deliveries(register)

    assert len({statement for statement, _ in asked}) > 8
    with register.database.read() as connection:
        assert _whole(connection, asked) == []


def test_seals_and_removals_read_no_whole_table(register: Register, tmp_path: Path) -> None:
    """What is closed or taken away is found by its ids."""
    record = Record(register, tmp_path)
    record.decline("old-1", "old-2")
    register.clock.pass_ms(31 * DAY)
    with _asked() as asked:
        record.decline("young")
        assert [one.offers for one in record.purge()] == [2]

    with register.database.read() as connection:
        assert _whole(connection, asked) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM offers WHERE message = 'message-1'",
        "SELECT report, count(*) FROM offers GROUP BY report",
        "UPDATE facts SET note = '' WHERE at < 0",
        "SELECT id FROM facts ORDER BY id",
    ],
)
def test_one_that_does_is_seen(register: Register, statement: str) -> None:
    """With an index to walk along or without one."""
    with register.database.read() as connection:
        assert _whole(connection, [(statement, ())]) == [statement]
