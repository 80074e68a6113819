"""Clusters of another shape: one credential for all, OAuth, other hosts, a world of their own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests

from tests.acceptance.deployment import PATIENCE_S, Process, until
from tests.faults.cluster import Cluster, Partner, answers

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
        if not made.is_embedded:
            made.migrate()
        yield made
    finally:
        made.end()


def assert_one_effect(entries: Sequence[Record]) -> None:
    """Hold what an insurer received for one offer to one key, one body and one effect."""
    assert len({(one["idempotency_key"], one["body"]) for one in entries}) == 1
    assert sum(one["effect"] for one in entries) == 1
