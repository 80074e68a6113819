"""A machine walks the table of design section 4 on a real database, beside a model of its own.

The model is `tests/fuzz/register.py`; the walk is short here and long in `make fuzz`.
"""

import tempfile
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
from proxy.erasure import Erased, Erasures
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.reporting import AMBIGUOUS_AFTER_MS
from tests.core.conftest import (
    DAY,
    DELIVERED,
    POLICIES,
    REFUSED,
    REPEATED,
    START,
    THROTTLED,
    TIMED_OUT,
    UNREACHED,
    Clock,
    Register,
    a_message,
)
from tests.fuzz.register import Model

OUTCOMES = {
    "delivered": DELIVERED,
    "unknown": TIMED_OUT,
    "unreached": UNREACHED,
    "refused": REFUSED,
    "repeated": REPEATED,
    "throttled": THROTTLED,
}
# As far as `make fuzz` walks, on the way of the short walk.
settings.register_profile(
    "fuzz", settings.get_profile("project"), max_examples=500, stateful_step_count=50
)
LEASE = 30_000
SAYINGS = st.tuples(
    st.sampled_from(["declined", "accepted", "undecided"]),
    st.integers(-2, 2),
    st.sampled_from(["a", "b"]),
)
ORDERS = st.sampled_from([None, "A-1", "B-2"])
PERSONAL = {"seat": "12A"}  # what an erasure takes


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
        self.erasures = Erasures(database, ledger)
        self.unknown_at = 0  # when the first attempt of this epoch without an answer was made
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
        message = a_message(
            choice=choice, seq=seq, writer=writer, upstream=self.upstream, metadata=PERSONAL
        )
        self.register.intake.record(message)
        self.model.say(choice, seq, writer)
        if distance == 0:
            assert self.register.intake.record(message).replayed

    @rule(distance=st.integers(-2, 2), order=ORDERS)
    def buy(self, distance: int, order: str | None) -> None:
        """The main product is bought."""
        seq = max(1, (self.model.seq or START) + distance)
        message = a_message(
            choice=None, seq=seq, upstream=self.upstream, purchased=True, order=order
        )
        self.register.intake.record(message)
        self.model.buy(seq, order)

    @rule(
        meanwhile=st.lists(SAYINGS | ORDERS, max_size=2),
        end=st.sampled_from([*OUTCOMES, "vanished"]),
    )
    def attempt(self, meanwhile: list[tuple[str, int, str] | str | None], end: str) -> None:
        """A worker looks for work, the customer goes on choosing, the attempt ends."""
        self.clock.pass_ms(15 * 60 * 1000)
        deliveries = self.register.claim(lease_ms=LEASE).deliveries
        assert len(deliveries) == (self.model.report == "due")
        for delivery in deliveries:
            self.begin_sending(delivery)
            for saying in meanwhile:
                if isinstance(saying, tuple):
                    self.say(*saying)
                else:
                    self.buy(1, saying)
                self.agrees()
            self.end(delivery, end)

    def begin_sending(self, delivery: Delivery) -> None:
        """A row is claimed exactly if it is due and still declined."""
        assert self.model.choice == "declined"
        assert delivery.epoch not in self.ended
        self.bodies.setdefault(delivery.epoch, set()).add(delivery.body)
        if not self.model.maybe_sent:
            self.unknown_at = delivery.send_at  # unless this one is answered
        self.model.report = "sending"

    def end(self, delivery: Delivery, end: str) -> None:
        """The attempt ends; a worker that vanished is not heard any more."""
        finish = self.register.outbox.finish
        if end == "vanished":
            self.erase()
            self.clock.pass_ms(LEASE + 1)
            self.register.outbox.tick()
            assert not finish(delivery, self.register.bucket, DELIVERED)
            self.model.end("unknown")
            return
        assert finish(delivery, self.register.bucket, OUTCOMES[end])
        self.model.end(end)
        if self.model.report == "delivered":
            self.ended.add(delivery.epoch)

    @rule()
    def erase(self) -> None:
        """A person erases what is personal: choice, report and conflicts stay as they are."""
        row = self.register.find(upstream=self.upstream).id
        (came,), _ = self.erasures.erase([row])
        model = self.model
        repeatable = model.report in ("due", "dead") and model.maybe_sent
        young = self.clock.now - self.unknown_at < AMBIGUOUS_AFTER_MS
        assert (came is Erased.SENDING) == (model.report == "sending")
        assert (came is Erased.UNANSWERED) == (repeatable and young)
        if came not in (Erased.ERASED, Erased.NOTHING):
            return
        offer = self.register.find(upstream=self.upstream)
        assert (offer.metadata, offer.order, offer.body) == ("{}", None, None)
        assert self.erasures.erase([row])[0] == [Erased.NOTHING]
        model.order = None
        self.bodies.pop(model.epoch, None)  # what is still to be sent is made anew

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
            "order": offer.order,
        }
        assert found == {name: getattr(model, name) for name in found}
        assert all(len(bodies) == 1 for bodies in self.bodies.values())
        assert not (model.report == "cancelled" and model.choice == "declined")


def walk(machine: type[RegisterMachine], **more: Any) -> None:
    """Let *machine* walk; raise what it finds."""
    way: dict[str, Any] = {"max_examples": 100, "stateful_step_count": 30}
    run_state_machine_as_test(
        machine,
        settings=settings(deadline=None, suppress_health_check=list(HealthCheck), **(way | more)),
    )


def test_the_register_walks_the_table() -> None:
    """Whatever is said, sent, lost and waited for, the register is where the design says."""
    walk(RegisterMachine)


@pytest.mark.thorough
@pytest.mark.timeout(3_600)
def test_the_register_walks_far() -> None:
    """The same on five times as many ways, each longer."""
    far = settings.get_profile("fuzz")
    walk(
        RegisterMachine,
        max_examples=far.max_examples,
        stateful_step_count=far.stateful_step_count,
    )


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
