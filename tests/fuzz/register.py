"""An offer's life as the design's table has it: what the register must do with one offer.

Written from the design's words, not from the code. `tests/core/test_machine.py` walks beside it.
"""

from dataclasses import dataclass, field


@dataclass
class Model:
    """What the design says of one offer."""

    on_purchase: bool
    choice: str = "undecided"
    seq: int = 0
    writer: str = ""
    purchased: bool = False
    purchased_seq: int = 0
    order: str | None = None
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

    def buy(self, seq: int, order: str | None) -> None:
        """The main product is bought."""
        if order and self.order and order != self.order:
            self.conflicts.add("order")
        self.order = self.order or order
        if self.purchased:
            return
        self.purchased, self.purchased_seq = True, seq
        if self.report == "abandoned":
            self.renew()
        if self.report in ("held", "abandoned"):
            self.report = "due"

    def end(self, outcome: str) -> None:
        """An attempt ends."""
        ours = outcome == "repeated" and self.maybe_sent  # the key that was used is ours
        if ours or outcome == "delivered":
            self.report = "delivered"
            return
        self.maybe_sent = self.maybe_sent or outcome == "unknown"
        if outcome == "repeated":
            self.conflicts.add("upstream")
        if self.choice != "declined":
            if self.epoch == 1:
                self.conflicts.discard("acceptance")
            if self.maybe_sent:
                self.conflicts.add("acceptance")
            self.report = "cancelled"
        else:
            self.report = "dead" if outcome in ("refused", "repeated") else "due"

    def requeue(self) -> None:
        """A person sends a dead letter again."""
        if not self.maybe_sent:
            self.renew()
        self.report = "due"
