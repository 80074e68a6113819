"""The orders of the demo shop, in memory. Knows no HTTP and no proxy."""

import secrets
import threading
import uuid
from dataclasses import dataclass, replace

from proxy.choices import Choice
from proxy.demo.programme import Show

KEPT = 500  # the oldest goes first: a demo left open must not fill the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One visitor's order of one evening, with the offer that was made for it."""

    offer: str  # a real shop gets this id from the insurer
    show: Show
    choice: Choice = Choice.UNDECIDED
    reference: str | None = None  # given when it is paid

    @property
    def total_cents(self) -> int:
        """What the visitor pays."""
        extra = self.show.protection_cents if self.choice is Choice.ACCEPTED else 0
        return self.show.tickets_cents + self.show.fee_cents + extra


class Orders:
    """The orders that the shop remembers; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: dict[str, Order] = {}

    def open(self, show: Show) -> Order:
        """Begin an order of *show* with a new offer."""
        order = Order(offer=str(uuid.uuid4()), show=show)
        with self._lock:
            self._orders[order.offer] = order
            while len(self._orders) > KEPT:
                del self._orders[next(iter(self._orders))]
        return order

    def find(self, offer: str) -> Order | None:
        """Return the order that *offer* was made for, if the shop still knows it."""
        with self._lock:
            return self._orders.get(offer)

    def answer(self, order: Order, choice: Choice) -> Order:
        """Write down what the visitor answered; a paid order no longer changes."""
        return self._keep(replace(order, choice=choice))

    def pay(self, order: Order) -> Order:
        """Give the order its reference; paying twice is paying once."""
        return self._keep(replace(order, reference=f"ORDER-{secrets.token_hex(4).upper()}"))

    def _keep(self, order: Order) -> Order:
        with self._lock:
            known = self._orders.get(order.offer)
            if known is not None and known.reference is None:
                self._orders[order.offer] = known = order
            return known or order
