"""A machine walks the table of design section 4 on a real database, beside a model of its own.

The model is written from the design's words, not from the code: a dictionary of cells.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy import migrate
from proxy.choices import Delivery, Outcome
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from tests.core.conftest import (
    DAY,
    DELIVERED,
    POLICIES,
    REFUSED,
    START,
    TIMED_OUT,
    UNREACHED,
    Clock,
    Register,
    a_message,
)

OUTCOMES = {
    "delivered": DELIVERED,
    "unknown": TIMED_OUT,
    "unreached": UNREACHED,
    "refused": REFUSED,
}
LEASE = 30_000


@dataclass
class Model:
    """What the design says of one offer."""

    on_purchase: bool
    choice: str = "undecided"
    seq: int = 0
    writer: str = ""
    purchased: bool = False
    purchased_seq: int = 0
    report: str = "none"
    epoch: int = 1
    conflicts: set[str] = field(default_factory=set)
    maybe_sent: bool = False  # an attempt of this epoch whose answer is unknown
    told_bought_insured: bool = False

    def waiting(self) -> str:
        """Return where a decline begins to wait."""
        return "held" if self.on_purchase and not self.purchased else "due"

    def renew(self) -> None:
        """Begin a new epoch."""
        self.epoch += 1
        self.maybe_sent = False

    def say(self, choice: str, seq: int, writer: str) -> None:
        """A choice arrives."""
        if choice == "undecided" or not self._wins(choice, seq, writer):
            return
        before, self.choice, self.seq, self.writer = self.choice, choice, seq, writer
        if choice == "accepted":
            self._accepted()
        else:
            self._declined(before)

    def _wins(self, choice: str, seq: int, writer: str) -> bool:
        if self.choice == "undecided" or seq > self.seq:
            return True
        if choice == "accepted" and self.choice == "declined":
            return seq == self.seq or writer != self.writer
        return False

    def _declined(self, before: str) -> None:
        if self.report == "none":
            bought_insured = before == "accepted" and self.purchased
            if bought_insured and self.seq > self.purchased_seq:
                self.conflicts.add("purchase")
            else:
                self.report = self.waiting()
        elif self.report in ("cancelled", "abandoned"):
            self.renew()
            self.report = self.waiting()
        elif self.report in ("sending", "delivered"):
            self.conflicts.discard("acceptance")

    def _accepted(self) -> None:
        if self.report in ("held", "abandoned", "due", "dead"):
            if self.report in ("due", "dead") and self.maybe_sent:
                self.conflicts.add("acceptance")
            self.report = "cancelled"
        elif self.report in ("sending", "delivered"):
            self.conflicts.add("acceptance")

    def buy(self, seq: int) -> None:
        """The main product is bought."""
        if self.purchased:
            return
        self.purchased, self.purchased_seq = True, seq
        if self.report == "abandoned":
            self.renew()
        if self.report in ("held", "abandoned"):
            self.report = "due"

    def end(self, outcome: str) -> None:
        """An attempt ends."""
        if outcome == "delivered":
            self.report = "delivered"
            return
        self.maybe_sent = self.maybe_sent or outcome == "unknown"
        if self.choice != "declined":
            self.conflicts.discard("acceptance")
            if self.maybe_sent:
                self.conflicts.add("acceptance")
            self.report = "cancelled"
        else:
            self.report = "dead" if outcome == "refused" else "due"

    def requeue(self) -> None:
        """A person sends a dead letter again."""
        if not self.maybe_sent:
            self.renew()
        self.report = "due"


class RegisterMachine(RuleBasedStateMachine):
    """One offer, two writers, one worker, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        url = f"sqlite:///{Path(self.folder.name) / 'optout.db'}"
        database = Database(url, self.clock)
        migrate.upgrade(database)
        database.start()
        ledger = Ledger(b"audit key of a test, 32 bytes at least")
        self.register = Register(
            database=database,
            clock=self.clock,
            intake=Intake(database, ledger, lambda _, upstream: POLICIES[upstream]),
            outbox=Outbox(database, ledger, lambda: 0.0),
        )
        self.flying: Delivery | None = None
        self.bodies: dict[int, set[str]] = {}
        self.ended: set[int] = set()  # epochs with a definite delivery

    def teardown(self) -> None:
        """Close the database."""
        self.register.database.stop()
        self.folder.cleanup()

    @initialize(upstream=st.sampled_from(["now", "purchase"]))
    def begin(self, upstream: str) -> None:
        """Choose when this insurer wants to hear of a decline."""
        self.upstream = upstream
        self.model = Model(on_purchase=upstream == "purchase")
        self.say("undecided", 0, "a")

    @rule(
        choice=st.sampled_from(["declined", "accepted", "undecided"]),
        distance=st.integers(-2, 2),
        writer=st.sampled_from(["a", "b"]),
    )
    def say(self, choice: str, distance: int, writer: str) -> None:
        """A choice arrives: newer, older or equal, from one of two writers."""
        seq = max(1, (self.model.seq or START) + distance)
        message = a_message(choice=choice, seq=seq, writer=writer, upstream=self.upstream)
        self.register.intake.record(message)
        self.model.say(choice, seq, writer)
        if distance == 0:
            assert self.register.intake.record(message).replayed

    @rule(distance=st.integers(-2, 2))
    def buy(self, distance: int) -> None:
        """The main product is bought."""
        seq = max(1, (self.model.seq or START) + distance)
        message = a_message(choice=None, seq=seq, upstream=self.upstream, purchased=True)
        self.register.intake.record(message)
        self.model.buy(seq)

    @precondition(lambda self: self.flying is None)
    @rule()
    def claim(self) -> None:
        """A worker looks for work: it gets the row exactly if it is due and still declined."""
        self.clock.pass_ms(15 * 60 * 1000)
        deliveries = self.register.claim(lease_ms=LEASE).deliveries
        assert len(deliveries) == (self.model.report == "due")
        for delivery in deliveries:
            assert self.model.choice == "declined"
            assert delivery.epoch not in self.ended
            self.bodies.setdefault(delivery.epoch, set()).add(delivery.body)
            self.flying = delivery
            self.model.report = "sending"

    @precondition(lambda self: self.flying is not None)
    @rule(outcome=st.sampled_from(sorted(OUTCOMES)))
    def finish(self, outcome: str) -> None:
        """The attempt ends."""
        assert self.flying is not None
        ended: Outcome = OUTCOMES[outcome]
        assert self.register.outbox.finish(self.flying, self.register.bucket, ended)
        if outcome == "delivered":
            self.ended.add(self.flying.epoch)
        self.flying = None
        self.model.end(outcome)

    @precondition(lambda self: self.flying is not None)
    @rule()
    def lapse(self) -> None:
        """The worker vanishes; its late result is refused."""
        assert self.flying is not None
        self.clock.pass_ms(LEASE + 1)
        self.register.outbox.tick()
        assert not self.register.outbox.finish(self.flying, self.register.bucket, DELIVERED)
        self.flying = None
        self.model.end("unknown")

    @precondition(lambda self: self.model.report == "held")
    @rule()
    def wait_a_day(self) -> None:
        """The hold runs out."""
        self.clock.pass_ms(DAY + 1)
        self.register.outbox.tick()
        self.model.report = "abandoned"

    @rule()
    def requeue(self) -> None:
        """A person tries to send it again; only a dead letter can be."""
        dead = self.model.report == "dead" and self.model.choice == "declined"
        row = self.register.find(upstream=self.upstream).id
        allowed = self.register.outbox.requeue(row)
        assert allowed is dead or not allowed  # an ambiguous one may have grown too old
        if allowed:
            self.model.requeue()

    @invariant()
    def agrees(self) -> None:
        """The register is where the design says, after every step."""
        if not hasattr(self, "model"):
            return
        offer = self.register.find(upstream=self.upstream)
        model = self.model
        found: dict[str, Any] = {
            "choice": str(offer.choice),
            "report": str(offer.report),
            "epoch": offer.epoch,
            "conflicts": set(offer.conflicts),
            "purchased": offer.purchased,
        }
        assert found == {name: getattr(model, name) for name in found}
        assert all(len(bodies) == 1 for bodies in self.bodies.values())
        assert not (model.report == "cancelled" and model.choice == "declined")


def test_the_register_walks_the_table() -> None:
    """Whatever is said, sent, lost and waited for, the register is where the design says."""
    run_state_machine_as_test(
        RegisterMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
