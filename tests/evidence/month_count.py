"""The simulation's own count: what report and reconcile must say, by the words of the documents.

Imports nothing of the proxy. An offer is moved by what was said of it and by what the insurer
answered, under the rules of an offer's life; where it then stands is its column.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

HOUR = 3_600_000
DAY = 24 * HOUR
AMBIGUOUS_AFTER = 47 * HOUR  # the insurer remembers keys for 48
REPORTS = ("none", "held", "due", "sending", "delivered", "dead", "abandoned", "cancelled")
MARKS = ("purchased", "late", "conflict", "implicit", "reconciled")
COLUMNS = ("shown", "undecided", "accepted", "declined",
           *(f"declined_{name}" for name in REPORTS), *MARKS)  # fmt: skip
KINDS = ("missing declined", "missing undecided", "missing accepted",
         "extra", "contradictory", "alike")  # fmt: skip

# What an answer means. The second: the insurer has certainly not acted on it.
REFUSED = frozenset({302, 400, 404, 410, 422})
NOT_REACHED = frozenset({"unreachable", 401, 408, 429, 503})

Pair = tuple[str, str]  # partner, upstream
Key = tuple[str, str, str]  # and offer
Group = tuple[str, ...]  # day, partner, upstream, product
Lines = dict[Group, Counter[str]]
Answer = int | str  # a status; or what happened in its place


class Terms(NamedTuple):
    """What a partner has agreed with an insurer."""

    on_purchase: bool
    implies: bool  # no answer and a purchase is a decline, a day later


class Said(NamedTuple):
    """One message about one offer."""

    key: Key
    id: str
    choice: str | None
    at: int
    writer: str
    source: str  # page, server, reconciled
    purchased: bool = False
    order: str | None = None
    late: bool = False
    product: str | None = None


class Order(NamedTuple):
    """One line of a shop's list of orders."""

    key: Key
    answer: str  # "" where none was given
    reference: str
    at: int
    paid: bool


@dataclass(slots=True)
class Offer:
    """Where one offer stands."""

    terms: Terms
    began: int  # its first record
    product: str = ""
    choice: str = "undecided"
    at: int = 0  # of the choice: its seq
    writer: str = ""
    bought_at: int | None = None
    order: str | None = None
    report: str = "none"
    conflicts: set[str] = field(default_factory=set)
    implicit: bool = False
    late: bool = False
    reconciled: bool = False
    ends: int | None = None  # of the hold, of the wait for an answer, of the lease
    tried: int = 0  # the attempt under way
    epoch: int = 1
    unknown: int | None = None  # first attempt of this epoch that the insurer may know of

    # -- what is said -------------------------------------------------------------------------

    def hear(self, said: Said, now: int) -> None:
        """A message that is no replay: its choice first, then its purchase."""
        self.product = self.product or said.product or ""
        if said.choice in ("declined", "accepted") and self._loses_to(said):
            before, self.choice = self.choice, said.choice
            self.at, self.writer = said.at, said.writer
            self.implicit, self.late = False, said.late
            self.reconciled = said.source == "reconciled"
            if said.choice == "accepted":
                self._accepted()
            else:
                self._declined(now, before)
        if said.purchased and not said.late:
            self._bought(said, now)

    def _loses_to(self, said: Said) -> bool:
        if self.choice == "undecided" or self.implicit:
            return True
        if said.source == "reconciled":
            return False
        if said.at != self.at:  # the highest wins, and no other's acceptance is dropped
            dropped = said.choice == "accepted" and said.writer != self.writer
            return said.at > self.at or (dropped and self.choice == "declined")
        return said.choice == "accepted" and self.choice == "declined"

    def _declined(self, now: int, before: str) -> None:
        match self.report:
            case "none" if "purchase" in self.conflicts or self._bought_insured(before):
                self.conflicts.add("purchase")
            case "none" | "cancelled" | "abandoned":
                self.epoch += self.report != "none"
                self.unknown = None  # another epoch, and so another key
                held = self.terms.on_purchase and self.bought_at is None
                self.report, self.ends = ("held", now + DAY) if held else ("due", None)
            case "sending" | "delivered":
                self.conflicts.discard("acceptance")

    def _bought_insured(self, before: str) -> bool:
        return before == "accepted" and self.bought_at is not None and self.at > self.bought_at

    def _accepted(self) -> None:
        match self.report:
            case "held" | "abandoned" | "due" | "dead":
                self._cancel()
            case "sending" | "delivered":
                self.conflicts.add("acceptance")

    def _cancel(self) -> None:
        self.report, self.ends = "cancelled", None
        if self.unknown is not None:
            self.conflicts.add("acceptance")

    def _bought(self, said: Said, now: int) -> None:
        if said.order and self.order and said.order != self.order:
            self.conflicts.add("order")
        self.order = self.order or said.order
        if self.bought_at is not None:
            return
        self.bought_at = said.at
        self.reconciled = self.reconciled or said.source == "reconciled"
        if self.report in ("held", "abandoned"):
            self.report, self.ends = "due", None
        elif self.choice == "undecided" and self.terms.implies:
            self.ends = now + DAY

    # -- what the insurer does ----------------------------------------------------------------

    def leave(self, at: int, until: int) -> bool:
        """A request leaves; False if none may."""
        allowed = self.report == "due" and self.choice == "declined"
        self.report, self.tried, self.ends = "sending", at, until
        return allowed

    def end(self, answer: Answer, now: int) -> None:
        """The attempt under way ends."""
        twice = answer == 409 and self.unknown is not None
        if answer in (200, 204) or twice:
            self.report, self.ends = "delivered", None
            return
        if answer == 409:
            self.conflicts.add("upstream")
        elif answer not in REFUSED | NOT_REACHED:
            self.unknown = self.unknown or self.tried
        if self.choice != "declined":
            if self.epoch == 1:  # else it may be that of an earlier report
                self.conflicts.discard("acceptance")
            self._cancel()
            return
        self.report, self.ends = "dead" if answer == 409 or answer in REFUSED else "due", None
        self.wait(now)

    def wait(self, now: int) -> None:
        """Do what time has brought until *now*."""
        if self.ends is not None and self.ends <= now:
            self._run_out(now)
        doubtful = self.report == "due" and self.unknown is not None
        if doubtful and now - (self.unknown or 0) >= AMBIGUOUS_AFTER:
            self.report = "dead"

    def _run_out(self, now: int) -> None:
        self.ends = None
        if self.report == "sending":
            self.end("vanished", now)
        elif self.report == "held":
            self.report = "abandoned"
        elif self.choice == "undecided" and self.bought_at is not None:
            self.choice, self.implicit, self.report = "declined", True, "due"

    # -- where it stands ----------------------------------------------------------------------

    def columns(self) -> Iterator[str]:
        """Yield the column, and those that it is counted in as well."""
        yield "shown"
        yield self.choice
        if self.choice == "declined":
            yield f"declined_{self.report}"
        marks = {
            "purchased": self.bought_at is not None,
            "late": self.late,
            "conflict": bool(self.conflicts),
            "implicit": self.implicit,
            "reconciled": self.reconciled,
        }
        yield from (name for name, is_so in marks.items() if is_so)


class Count:
    """Every offer of the month."""

    def __init__(self, terms: dict[Pair, Terms]) -> None:
        self._terms = terms
        self._heard: set[str] = set()
        self._answered: set[Key] = set()
        self.offers: dict[Key, Offer] = {}
        self.wrong: list[str] = []  # what no rule permits

    def hear(self, said: Said, now: int) -> None:
        """A message arrives at *now*; the same id again changes nothing."""
        if said.id in self._heard:
            return
        self._heard.add(said.id)
        if said.choice in ("declined", "accepted"):
            self._answered.add(said.key)
        offer = self.offers.setdefault(said.key, Offer(self._terms[said.key[:2]], now))
        offer.wait(now)
        offer.hear(said, now)

    def leave(self, key: Key, at: int, until: int) -> None:
        """The insurer is sent a report."""
        offer = self.offers[key]
        offer.wait(at)
        if not offer.leave(at, until):
            self.wrong.append(f"{key} was sent and was not due at {at}")

    def end(self, key: Key, answer: Answer, now: int) -> None:
        """The insurer has answered, or not."""
        self.offers[key].end(answer, now)

    def wait(self, now: int) -> None:
        """Bring every offer to *now*."""
        for offer in self.offers.values():
            offer.wait(now)

    @property
    def waits(self) -> bool:
        """True while time or the worker still has something to bring."""
        return any(one.report == "due" or one.ends is not None for one in self.offers.values())

    def lines(self) -> Lines:
        """Return the columns by day, partner, upstream and product."""
        found: Lines = defaultdict(Counter)
        for (partner, upstream, _), offer in self.offers.items():
            group = (day_of(offer.began), partner, upstream, offer.product)
            found[group].update(offer.columns())
        return dict(found)

    def differences(self, orders: list[Order], pair: Pair) -> Counter[str]:
        """Return how many offers of *pair* reconcile must find to differ, by kind."""
        listed = {order.key: order for order in orders}
        first, last = min(order.at for order in orders), max(order.at for order in orders)
        kinds = Counter(self._kind(order) for order in listed.values())
        kinds["extra"] += sum(
            key[:2] == pair
            and key not in listed
            and offer.choice != "undecided"
            and first <= offer.began <= last
            for key, offer in self.offers.items()
        )
        return kinds

    def missing(self, orders: Iterable[Order]) -> list[Order]:
        """Return the orders that --apply tells the register of."""
        told = ("missing declined", "missing undecided")
        return [order for order in orders if self._kind(order) in told]

    def never_arrived(self, orders: Iterable[Order]) -> Counter[bool]:
        """Return how many answers of *orders* no message has told of; True: one is implied."""
        never = [one.key for one in orders if one.answer and one.key not in self._answered]
        return Counter(key in self.offers and self.offers[key].implicit for key in never)

    def _kind(self, order: Order) -> str:
        offer = self.offers.get(order.key)
        stands = offer.choice if offer else "undecided"
        if stands == "undecided":
            unknown = offer is None or offer.bought_at is None
            if order.answer:
                return f"missing {order.answer}"
            if self._terms[order.key[:2]].implies and order.paid and unknown:
                return "missing undecided"
        elif order.answer not in ("", stands):
            return "contradictory"
        elif not order.answer and offer and not offer.implicit:
            return "extra"
        differs = offer and offer.order not in (None, order.reference)
        return "contradictory" if differs else "alike"


@dataclass
class Comparison:
    """What was counted twice, the simulation's figure first, and where the two differ."""

    wrong: list[str] = field(default_factory=list)
    sums: dict[tuple[str, ...], dict[str, list[Counter[str]]]] = field(default_factory=dict)

    def add(self, names: tuple[str, ...], when: str, ours: Lines, told: Lines) -> None:
        """Compare line by line."""
        for group in sorted(ours.keys() | told.keys()):
            mine, theirs = ours.get(group, Counter()), told.get(group, Counter())
            sums = self.sums.setdefault(names, {}).setdefault(when, [Counter(), Counter()])
            sums[0].update(mine)
            sums[1].update(theirs)
            if mine != theirs:
                less, more = dict(mine - theirs), dict(theirs - mine)
                self.wrong.append(f"{when}, {group}: {less} too few are told of, {more} too many")

    def expect(self, found: object, wanted: object, what: str) -> None:
        """Note where the proxy does not say what it must."""
        if found != wanted:
            self.wrong.append(f"{what}: {found} instead of {wanted}")

    def table(self) -> Iterator[str]:
        """Yield both sums of each column at each time."""
        for names, times in self.sums.items():
            yield f"{'':<22}" + "".join(f"{when:>24}" for when in times)
            for name in names:
                pairs = (f"{ours[name]:,} / {told[name]:,}" for ours, told in times.values())
                yield f"{name:<22}" + "".join(f"{pair:>24}" for pair in pairs)
            yield ""


def learned(order: Order) -> Said:
    """Return what --apply tells of *order*."""
    name, reference = f"{order.key}, applied", order.reference if order.paid else None
    choice = order.answer or "undecided"
    said = Said(order.key, name, choice, order.at, "orders", "reconciled")
    return said._replace(purchased=order.paid, order=reference)


def folded(lines: Lines, days: set[str]) -> Lines:
    """Return *lines* with one name for *days*: midnight may have been between them."""
    found: Lines = defaultdict(Counter)
    for (day, *rest), counts in lines.items():
        found[("later" if day in days else day, *rest)].update(counts)
    return found


def day_of(at: int) -> str:
    """Return the UTC day of *at*."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
