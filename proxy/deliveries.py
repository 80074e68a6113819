"""Deliveries, to look at: which there are, and what became of one."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from proxy.schema import facts, offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which deliveries to show; None means any."""

    partner: str | None = None
    upstream: str | None = None
    report: str | None = None
    offer: str | None = None
    limit: int = 50


_SHOWN = (
    offers.c.id,
    offers.c.partner,
    offers.c.upstream,
    offers.c.offer,
    offers.c.choice,
    offers.c.report,
    offers.c.conflicts,
    offers.c.epoch,
    offers.c.attempts,
    offers.c.outcome,
    offers.c.status,
    offers.c.due_at,
    offers.c.created_at,
    offers.c.updated_at,
)


def listed(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """Return deliveries that fit *wanted*, newest first."""
    query = select(*_SHOWN).order_by(offers.c.id.desc()).limit(wanted.limit)
    for name in ("partner", "upstream", "offer"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(offers.c[name] == value)
    if wanted.report is None:
        query = query.where(offers.c.report != "none")
    else:
        query = query.where(offers.c.report == wanted.report)
    return [dict(row) for row in connection.execute(query).mappings()]


def story(connection: Connection, row: int) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """Return one delivery and its facts, oldest first; None if there is no such row."""
    found = connection.execute(select(*_SHOWN).where(offers.c.id == row)).mappings().first()
    if found is None:
        return None
    kept = [c for c in facts.columns if c.name not in ("digest", "order_hash", "metadata_hash")]
    query = select(*kept).where(facts.c.offer_id == row).order_by(facts.c.ordinal)
    return dict(found), [dict(fact) for fact in connection.execute(query).mappings()]


def dead_rows(connection: Connection, partner: str | None) -> list[int]:
    """Return the ids of all dead letters whose customer still declines."""
    query = select(offers.c.id).where(offers.c.report == "dead", offers.c.choice == "declined")
    if partner is not None:
        query = query.where(offers.c.partner == partner)
    return list(connection.execute(query.order_by(offers.c.id)).scalars())
