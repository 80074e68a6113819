"""A register whose facts are sealed, and what removes from it."""

from pathlib import Path

from sqlalchemy import func, select

from proxy import audit, funnel
from proxy.erasure import Erasures
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_signing_key
from proxy.retention import Purged, Retention
from proxy.schema import facts, offers
from proxy.sealer import Sealer
from proxy.seals import Seals
from proxy.upkeep import Upkeep
from tests.core.conftest import DAY, DELIVERED, Register
from tests.evidence.filled import KEY

KEPT = {"ACME": 30 * DAY}


class Record:
    """A register whose facts are sealed, and what removes from it."""

    def __init__(self, register: Register, folder: Path) -> None:
        self.register = register
        self.folder = folder
        self.key, _ = load_signing_key(folder / "signing.pem")
        self.signer = Signer(self.key, "optout-proxy:test")
        self.sealer = Sealer(register.database, Seals(self.signer.kid, self.key.sign))
        self.retention = Retention(register.database, self.signer.kid, self.key.sign, lambda: KEPT)

    def decline(self, *names: str, ends: bool = True) -> None:
        """Record a decline of each offer, report it, and close a block."""
        for name in names:
            self.register.decline(name)
            if ends:
                self.register.attempt(DELIVERED)
        self.sealer.seal()

    def purge(self) -> list[Purged]:
        """Remove what is past its retention, all of it."""
        gone, is_done = self.retention.purge()
        assert is_done
        return gone

    def upkeep(self, **options: float) -> Upkeep:
        """Return what does all of this by itself."""
        return Upkeep(
            self.register.database,
            retention=self.retention,
            customers=None,
            erasures=Erasures(self.register.database, Ledger(KEY)),
            patience=lambda _partner, _upstream: DAY,
            **options,
        )

    def names(self) -> list[str]:
        """Return the offers that the register knows."""
        with self.register.database.read() as connection:
            return list(connection.execute(select(offers.c.offer).order_by(offers.c.id)).scalars())

    def count(self) -> int:
        """Return how many facts there are."""
        with self.register.database.read() as connection:
            query = select(func.count()).select_from(facts)
            return int(connection.execute(query).scalar_one())

    def wrong(self) -> list[str]:
        """Return what the audit and the completeness statement have to say."""
        keys = self.signer.public_keys()
        with self.register.database.snapshot() as connection:
            found = list(audit.verify(connection, Ledger(KEY)))
            found += audit.verify_blocks(connection, keys, audit.Tally())
            wanted = funnel.kept(connection, funnel.Wanted())
            complete = funnel.completeness(connection, wanted, funnel.total(connection, wanted))
        return [one.why for one in found] + list(complete.faults)
