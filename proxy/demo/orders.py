"""The orders of the demo shop, in memory. Knows no HTTP and no proxy."""

import secrets
import threading
import uuid
from dataclasses import dataclass, replace
from typing import Any

from proxy.choices import Choice
from proxy.demo.programme import Show

KEPT = 500  # the oldest goes first: a demo left open must not fill the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One visitor's order of one evening, with the offer that was made for it."""

    key: str  # in addresses
    offer: str | None  # a real shop gets this id from the insurer; None until a widget has made it
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
        """Begin an order of *show* with a new offer, unless a widget makes it later."""
        key = str(uuid.uuid4())
        order = Order(key=key, offer=None if show.elements else key, show=show)
        with self._lock:
            self._orders[key] = order
            while len(self._orders) > KEPT:
                del self._orders[next(iter(self._orders))]
        return order

    def find(self, key: str) -> Order | None:
        """Return the order with that *key*, if the shop still knows it."""
        with self._lock:
            return self._orders.get(key)

    def name(self, order: Order, offer: str) -> Order:
        """Write down the offer that a widget made; the answer to another one no longer counts."""
        if order.offer == offer:
            return order
        return self._change(order, offer=offer, choice=Choice.UNDECIDED)

    def answer(self, order: Order, choice: Choice) -> Order:
        """Write down what the visitor answered; a paid order no longer changes."""
        return self._change(order, choice=choice)

    def pay(self, order: Order) -> Order:
        """Give the order its reference; paying twice is paying once."""
        return self._change(order, reference=f"ORDER-{secrets.token_hex(4).upper()}")

    def _change(self, order: Order, **changes: Any) -> Order:
        with self._lock:  # from what is known now: a page may send two things at once
            known = self._orders.get(order.key, order)
            if known.reference is None:
                known = replace(known, **changes)
                if order.key in self._orders:
                    self._orders[order.key] = known
            return known
