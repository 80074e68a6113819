"""A register of a partner that passes personal data, on each engine."""

from pathlib import Path
from typing import Any

from sqlalchemy import text

from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.intake import Intake
from proxy.leases import Lane
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.privacy import CustomerKeys
from proxy.upstreams import APIS
from tests.core.conftest import POLICIES, Clock, Register
from tests.evidence import canary
from tests.evidence.filled import KEY

MARK = "Qzvxwk"
JANE = canary.customer(MARK)
WITH: dict[str, Any] = {"customer": JANE}
SEARCHED = [*canary.texts(JANE), MARK]


class Personal(Register):
    """A register of a partner that passes personal data."""

    def lane(self) -> Lane:
        """Return a lane to the call that takes a customer."""
        apis = {("ACME", name): APIS["xone-offers"] for name in POLICIES}
        return Lane(bucket=self.bucket, rate=self.rate, apis=apis)

    def row(self, offer: str = "offer-1") -> dict[str, Any]:
        """Return the row as it lies in the database."""
        query = text("SELECT * FROM offers WHERE offer = :offer")
        with self.database.read() as connection:
            return dict(connection.execute(query, {"offer": offer}).mappings().one())


def started(database: Database, clock: Clock, folder: Path) -> Personal:
    """Return what a process has in memory, made anew; the weekly keys lie in *folder*."""
    keys, ledger = CustomerKeys(folder), Ledger(KEY)
    return Personal(
        database=database,
        clock=clock,
        intake=Intake(database, ledger, lambda _, name: POLICIES[name], customers=keys),
        outbox=Outbox(database, ledger, lambda: 0.5, customers=keys),
        dead_letters=DeadLetters(database, ledger),
    )
