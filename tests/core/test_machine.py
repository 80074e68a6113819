"""A machine walks the table of design section 4 on a real database, beside a model of its own.

The model is written from the design's words, not from the code: a dictionary of cells.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
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
from proxy.choices import Delivery
from proxy.database import Database
from proxy.dead_letters import DeadLetters
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
SAYINGS = st.tuples(
    st.sampled_from(["declined", "accepted", "undecided"]),
    st.integers(-2, 2),
    st.sampled_from(["a", "b"]),
)


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
            waits = "purchase" in self.conflicts  # for a person, however often it is said again
            if waits or (bought_insured and self.seq > self.purchased_seq):
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
            if self.epoch == 1:
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

    model_type: type[Model] = Model

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
            dead_letters=DeadLetters(database, ledger),
        )
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
        self.model = self.model_type(on_purchase=upstream == "purchase")
        self.say("undecided", 0, "a")

    @rule(saying=SAYINGS)
    def hear(self, saying: tuple[str, int, str]) -> None:
        """A choice arrives: newer, older or equal, from one of two writers."""
        self.say(*saying)

    def say(self, choice: str, distance: int, writer: str) -> None:
        """Tell a choice to the register and to the model."""
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

    @rule(meanwhile=st.lists(SAYINGS, max_size=2), end=st.sampled_from([*OUTCOMES, "vanished"]))
    def attempt(self, meanwhile: list[tuple[str, int, str]], end: str) -> None:
        """A worker looks for work, the customer goes on choosing, the attempt ends."""
        self.clock.pass_ms(15 * 60 * 1000)
        deliveries = self.register.claim(lease_ms=LEASE).deliveries
        assert len(deliveries) == (self.model.report == "due")
        for delivery in deliveries:
            self.begin_sending(delivery)
            for saying in meanwhile:
                self.say(*saying)
                self.agrees()
            self.end(delivery, end)

    def begin_sending(self, delivery: Delivery) -> None:
        """A row is claimed exactly if it is due and still declined."""
        assert self.model.choice == "declined"
        assert delivery.epoch not in self.ended
        self.bodies.setdefault(delivery.epoch, set()).add(delivery.body)
        self.model.report = "sending"

    def end(self, delivery: Delivery, end: str) -> None:
        """The attempt ends; a worker that vanished is not heard any more."""
        finish = self.register.outbox.finish
        if end == "vanished":
            self.clock.pass_ms(LEASE + 1)
            self.register.outbox.tick()
            assert not finish(delivery, self.register.bucket, DELIVERED)
            self.model.end("unknown")
            return
        assert finish(delivery, self.register.bucket, OUTCOMES[end])
        if end == "delivered":
            self.ended.add(delivery.epoch)
        self.model.end(end)

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
        allowed = self.register.dead_letters.requeue(row)
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


def walk(machine: type[RegisterMachine], **more: Any) -> None:
    """Let *machine* walk; raise what it finds."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def test_the_register_walks_the_table() -> None:
    """Whatever is said, sent, lost and waited for, the register is where the design says."""
    walk(RegisterMachine)


class DropsOtherWriters(Model):
    """A design in which only seq counts."""

    def _wins(self, choice: str, seq: int, writer: str) -> bool:
        return super()._wins(choice, seq, self.writer or writer)


class SendsWhatWasWithdrawn(Model):
    """A design in which a failed send is tried again, whatever the customer says now."""

    def end(self, outcome: str) -> None:
        """An attempt ends, and nobody looks at the choice."""
        choice, self.choice = self.choice, "declined"
        super().end(outcome)
        self.choice = choice


class KeepsItsKey(Model):
    """A design in which a new decline goes out under the key of the cancelled one."""

    def renew(self) -> None:
        """Begin nothing new."""


class ForgetsConflicts(Model):
    """A design in which an acceptance after the report is nobody's business."""

    def _accepted(self) -> None:
        super()._accepted()
        self.conflicts.clear()


@pytest.mark.parametrize(
    "wrong", [DropsOtherWriters, SendsWhatWasWithdrawn, KeepsItsKey, ForgetsConflicts]
)
def test_the_walk_finds_another_design(wrong: type[Model]) -> None:
    """The machine has teeth: a register that behaved otherwise would be found."""
    machine = type("Machine", (RegisterMachine,), {"model_type": wrong})

    with pytest.raises(AssertionError):
        walk(machine, phases=[Phase.generate], derandomize=True, database=None)
