"""What a cluster's database says, read from outside the program or changed behind its back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster

Record = dict[str, Any]


def read(cluster: Cluster, statement: str, **values: Any) -> list[Record]:
    """Return what a SELECT finds in the cluster's database, read from outside."""
    url = make_url(cluster.database)
    if cluster.is_embedded:
        url = make_url(f"sqlite:///file:{cluster.folder / (url.database or '')}?mode=ro&uri=true")
    with _engine(url).connect() as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]


@lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)  # a server may be gone when it is asked again


def reports(cluster: Cluster, partner: str = "ACME") -> dict[str, str]:
    """Return where the report of every offer of a partner stands."""
    found = read(cluster, "SELECT offer, report FROM offers WHERE partner = :p", p=partner)
    return {row["offer"]: row["report"] for row in found}


def all_are(cluster: Cluster, report: str, partner: str = "ACME") -> Callable[[], bool]:
    """Return what tells whether every report of a partner stands at *report*."""
    return lambda: set(reports(cluster, partner).values()) == {report}


def until_delivered(cluster: Cluster, partner: str = "ACME") -> None:
    """Wait until every report of a partner is delivered."""
    until(all_are(cluster, "delivered", partner), f"all of {partner} delivered")


def attempts(cluster: Cluster, offer: str, partner: str = "ACME") -> list[Record]:
    """Return the facts that tell how each attempt for an offer ended, oldest first."""
    return read(
        cluster,
        "SELECT f.* FROM facts f JOIN offers o ON o.id = f.offer_id"
        " WHERE o.offer = :offer AND o.partner = :partner"
        " AND f.kind IN ('attempt.finished', 'delivery.dead', 'delivery.lapsed') ORDER BY f.id",
        offer=offer,
        partner=partner,
    )


def paused(cluster: Cluster) -> list[Record]:
    """Return the credentials that are at fault and wait for a probe."""
    return read(cluster, "SELECT * FROM buckets WHERE paused_at IS NOT NULL")


def kinds(cluster: Cluster, offer: str) -> list[str]:
    """Return the kinds of the facts of an offer, oldest first."""
    query = (
        "SELECT kind FROM facts JOIN offers ON offers.id = facts.offer_id"
        " WHERE offer = :offer ORDER BY ordinal"
    )
    return [row["kind"] for row in read(cluster, query, offer=offer)]


@contextmanager
def transaction(cluster: Cluster) -> Iterator[Connection]:
    """Yield a transaction in the cluster's database beside its processes."""
    url = make_url(cluster.database)
    if cluster.is_embedded:
        url = url.set(database=str(cluster.folder / (url.database or "")))
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def change(cluster: Cluster, statement: str) -> None:
    """Change the database behind the product's back."""
    with transaction(cluster) as connection:
        connection.execute(text(statement))
