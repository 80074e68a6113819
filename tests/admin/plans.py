"""How a database would find what a query asks for."""

from typing import Any

from sqlalchemy import Connection, Select, text


def plan(connection: Connection, query: Select[Any]) -> str:
    """Return the plan for *query*, in the engine's own words."""
    explain = "EXPLAIN QUERY PLAN"
    if connection.dialect.name != "sqlite":
        # It reads a small table whole, as it should.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN"
    compiled = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
    rows = connection.exec_driver_sql(f"{explain} {compiled}")
    return " ".join(str(value) for row in rows for value in row)
