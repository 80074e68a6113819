"""Clusters of another shape: one credential for all, OAuth, other hosts, a world of their own.

Beside them, what the tests of faults ask of any cluster: many declines at once, and what the
database says of them.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import requests
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tests.acceptance.deployment import PATIENCE_S, Process, until
from tests.faults.cluster import HOST, Cluster, Partner, answers

Record = dict[str, Any]
Shape = TypeVar("Shape", bound=Cluster)


class OneCredential(Cluster):
    """All partners report to one insurer with one api key, so they share one pace."""

    def write(self, top: Mapping[str, str]) -> None:
        """Give every partner the first one's insurer and secret, then write."""
        first = next(iter(self.partners.values()))
        for partner in self.partners.values():
            partner.port, partner.api_secret = first.port, first.api_secret
        super().write(top)

    def start_insurers(self) -> None:
        """Start the one sandbox that there is."""
        partners = self.partners
        self.partners = dict([next(iter(partners.items()))])
        super().start_insurers()
        self.partners = partners


class OAuthCluster(Cluster):
    """The insurers speak `xone-offers`: an access token is bought before anything is reported."""

    TOKEN_PATH = "/api/oauth/token"

    def start_insurers(self) -> None:
        """Start a sandbox for every partner, with the client that it knows."""
        for partner in self.partners.values():
            environ = {
                "SANDBOX_CLIENT_ID": "client-1",
                "SANDBOX_CLIENT_SECRET": partner.api_secret,
            }
            arguments = ["sandbox", "--port", str(partner.port)]
            self._add(f"insurer-{partner.name}", arguments, environ).start()
        for partner in self.partners.values():
            until(lambda one=partner: answers(f"{one.insurer}/_sandbox/faults"), "the sandbox")

    def spoil_tokens(self, fault: str, *, partner: str = "ACME", **rule: Any) -> None:
        """Script a fault of the token endpoint only."""
        self.fault(fault, partner=partner, match={"path_prefix": self.TOKEN_PATH}, **rule)

    def token_calls(self, partner: str = "ACME") -> list[Record]:
        """Return the calls of the token endpoint, oldest first."""
        entries: list[Record] = requests.get(
            f"{self.partners[partner].insurer}/_sandbox/requests", timeout=PATIENCE_S
        ).json()
        return [entry for entry in entries if entry["path"] == self.TOKEN_PATH]

    def _section(self, partner: Partner) -> str:
        name = partner.name
        lines = super()._section(partner).replace('"xcover-offers"', '"xone-offers"')
        lines = lines.replace(f"{partner.insurer}/x", partner.insurer).replace(
            "hmac = ", "oauth = "
        )
        lines = lines.replace("api_key_file", "client_id_file")
        lines = lines.replace("api_secret_file", "client_secret_file")
        key = self.folder / f"{name}.key"
        key.write_text("client-1\n")
        return lines + 'report_on = "decline"\n'


class ElsewhereCluster(Cluster):
    """Some partners' insurers are not sandboxes: `bases` says where they are.

    `world` is shell text that runs before `serve`, as root in a mount namespace of its own.
    """

    def __init__(
        self,
        folder: Path,
        database: str = "sqlite:///optout.db",
        *,
        bases: Mapping[str, str] | None = None,
        world: str = "",
        **options: Any,
    ) -> None:
        self._bases = dict(bases or {})
        self._world = world
        super().__init__(folder, database, **options)

    def start_insurers(self) -> None:
        """Start a sandbox for every partner that has no other insurer."""
        partners = self.partners
        self.partners = {name: one for name, one in partners.items() if name not in self._bases}
        super().start_insurers()
        self.partners = partners

    def _section(self, partner: Partner) -> str:
        base = self._bases.get(partner.name, f"{partner.insurer}/x")
        return super()._section(partner).replace(f"{partner.insurer}/x", base)

    def _add(
        self,
        name: str,
        arguments: list[str],
        environ: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> Process:
        process = super()._add(name, arguments, environ, code)
        if self._world and arguments[0] in ("serve", "work"):
            script = f'set -e; {self._world}; exec "$@"'
            process.prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
        return process


@contextmanager
def running(made: Shape) -> Iterator[Shape]:
    """Start the insurers of *made* and bring its database to the schema; end it at the end."""
    try:
        made.start_insurers()
        if not made.database.startswith("sqlite"):
            made.migrate()
        yield made
    finally:
        made.end()


def start(cluster: Cluster, *, workers: int = 2) -> None:
    """Start what delivers: on SQLite one process, on PostgreSQL a web and so many workers."""
    if cluster.database.startswith("sqlite"):
        cluster.start_web()
        return
    cluster.start_web("web", "--no-worker")
    for number in range(workers):
        cluster.start_worker(f"work-{number}")


def decline_all(cluster: Cluster, offers: Sequence[str], partner: str = "ACME") -> None:
    """Decline *offers* in one call and one commit; each is acknowledged."""
    now = int(time.time() * 1000)
    lines = [
        {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
        for offer in offers
    ]
    answer = requests.post(
        f"{cluster.url()}/v1/choices/batch",
        data="\n".join(map(json.dumps, lines)),
        headers={
            "Host": HOST,
            "Authorization": f"Bearer {cluster.partners[partner].server_key}",
            "Content-Type": "application/x-ndjson",
        },
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert [one.get("choice") for one in said] == ["declined"] * len(offers), said


def rows(cluster: Cluster, statement: str, **values: Any) -> list[Record]:
    """Return what a SELECT finds in the cluster's database, read from outside."""
    url = make_url(cluster.database)
    if url.get_backend_name() == "sqlite":
        url = make_url(f"sqlite:///file:{cluster.folder / (url.database or '')}?mode=ro&uri=true")
    with _engine(url).connect() as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]


@lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)  # a server may be gone when it is asked again


def reports(cluster: Cluster, partner: str = "ACME") -> dict[str, str]:
    """Return where the report of every offer of a partner stands."""
    found = rows(cluster, "SELECT offer, report FROM offers WHERE partner = :p", p=partner)
    return {row["offer"]: row["report"] for row in found}


def all_are(cluster: Cluster, report: str, partner: str = "ACME") -> Callable[[], bool]:
    """Return what tells whether every report of a partner stands at *report*."""
    return lambda: set(reports(cluster, partner).values()) == {report}


def until_delivered(cluster: Cluster, partner: str = "ACME") -> None:
    """Wait until every report of a partner is delivered."""
    until(all_are(cluster, "delivered", partner), f"all of {partner} delivered")


def attempts(cluster: Cluster, offer: str, partner: str = "ACME") -> list[Record]:
    """Return the facts that tell how each attempt for an offer ended, oldest first."""
    return rows(
        cluster,
        "SELECT f.* FROM facts f JOIN offers o ON o.id = f.offer_id"
        " WHERE o.offer = :offer AND o.partner = :partner"
        " AND f.kind IN ('attempt.finished', 'delivery.dead', 'delivery.lapsed') ORDER BY f.id",
        offer=offer,
        partner=partner,
    )


def paused(cluster: Cluster) -> list[Record]:
    """Return the credentials that are at fault and wait for a probe."""
    return rows(cluster, "SELECT * FROM buckets WHERE paused_at IS NOT NULL")


def assert_one_effect(entries: Sequence[Record]) -> None:
    """Hold what an insurer received for one offer to one key, one body and one effect."""
    assert len({(one["idempotency_key"], one["body"]) for one in entries}) == 1
    assert sum(one["effect"] for one in entries) == 1
