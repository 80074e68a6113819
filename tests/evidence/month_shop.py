"""A month of customers and of insurers, drawn with dice: who does what, and what arrives when.

Knows nothing of the proxy. What is said arrives at moments: at the beginning of a step, or a few
seconds later, while reports are under way.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import NamedTuple
from uuid import UUID

from tests.evidence.month_count import DAY, HOUR, Answer, Key, Order, Pair, Said, Terms

SECOND = 1_000
MINUTE = 60 * SECOND
STEP = 30 * MINUTE
CLAIMED = 10 * SECOND  # into each step, when the worker looks for work
MEANWHILE = 11 * SECOND  # when messages arrive that find a report under way
CROWDED = 4 * STEP  # how often that is
LIFE = 31 * MINUTE  # of a token, with its leeway
LATE = DAY


class Shop(NamedTuple):
    """One shop's way with one insurer."""

    pair: Pair
    api: str
    terms: Terms
    share: float  # of all offers
    accepts: float  # of those who answer
    products: tuple[str, ...]  # none where the page makes the offer


SHOPS = (
    Shop(("LAMPLIGHT", "tickets"), "xcover-offers", Terms(on_purchase=False, implies=False),
         0.45, 0.31, ("event-ticket", "festival-pass")),
    Shop(("LAMPLIGHT", "elements"), "xone-offers", Terms(on_purchase=True, implies=False),
         0.20, 0.27, ()),
    Shop(("NORTHLINE", "travel"), "xcover-bookings", Terms(on_purchase=True, implies=True),
         0.20, 0.42, ("trip-cancellation", "luggage")),
    Shop(("HARBOUR", "ferries"), "xcover-offers", Terms(on_purchase=False, implies=True),
         0.15, 0.12, ("crossing",)),
)  # fmt: skip


class Visit(NamedTuple):
    """A checkout page with its token."""

    since: int
    writer: str


@dataclass(slots=True)
class Story:
    """One offer from the moment it is shown: what is said of it, and the order, if there is one."""

    dice: Random
    shop: Shop
    shown: int
    sent: list[tuple[int, int, Said]] = field(default_factory=list)  # moment, time of arrival
    stuck: list[Said] = field(default_factory=list)  # in the queue of the shop's server
    order: Order | None = None
    key: Key = ("", "", "")

    def tell(self) -> "Story":
        """Draw all of it."""
        self.key = (*self.shop.pair, _uuid(self.dice))
        answers = self._answers()
        (fate,) = self.dice.choices(("heard", "unheard", "blocked", "stuck"), (94.5, 3, 2, 0.5))
        if fate != "blocked":
            self._show()
        for at, choice, visit in answers:
            if fate == "heard":
                self._post(self._said(choice, at, visit.writer), visit)
            elif fate == "stuck":
                self.stuck.append(self._said(choice, at, "server"))
        self._buy(answers, told=fate != "blocked")
        return self

    # -- what the customer does ---------------------------------------------------------------

    def _answers(self) -> list[tuple[int, str, Visit]]:
        """Return each answer with its time and the page, or the server, that tells of it."""
        dice, at = self.dice, self.shown
        if dice.random() < 0.22:
            return []
        tabs = [self._visit(at)]
        if dice.random() < 0.08:
            tabs.append(self._visit(at))
        told: list[tuple[int, str, Visit]] = []
        choice = "accepted" if dice.random() < self.shop.accepts else "declined"
        at += dice.randrange(5 * SECOND, 3 * MINUTE)
        while True:
            tabs = [tab if at < tab.since + 25 * MINUTE else self._visit(at) for tab in tabs]
            visit = dice.choice(tabs)
            if dice.random() < 0.08:
                visit = Visit(at, "server")
            told.append((at, choice, visit))
            if dice.random() < 0.82 or len(told) > 6:
                return told
            at += self._gap(has_tabs=len(tabs) > 1)
            if dice.random() < 0.85:
                choice = "accepted" if choice == "declined" else "declined"

    def _gap(self, *, has_tabs: bool) -> int:
        """Return how long a mind stays made up; two tabs may speak in the same millisecond."""
        dice = self.dice
        if has_tabs and dice.random() < 0.2:
            return 0
        spans = (4 * SECOND, 2 * MINUTE, 50 * MINUTE, 8 * HOUR, 60 * HOUR)
        (longest,) = dice.choices(spans, (30, 30, 20, 12, 8))
        return dice.randrange(longest // 4, longest)

    def _visit(self, at: int) -> Visit:
        return Visit(at - at % SECOND, f"{self.dice.getrandbits(128):032x}")

    def _buy(self, answers: list[tuple[int, str, Visit]], *, told: bool) -> None:
        dice = self.dice
        if dice.random() > (0.86 if answers else 0.45):
            return
        spans = (5 * MINUTE, HOUR, 20 * HOUR, 90 * HOUR)
        (longest,) = dice.choices(spans, (70, 15, 10, 5))
        at = self.shown + dice.randrange(MINUTE, longest)
        said = next((choice for when, choice, _ in reversed(answers) if when <= at), "")
        reference, paid = f"ORDER-{dice.getrandbits(26)}", dice.random() < 0.95
        if told and paid:
            self._tell_purchase(at, said, reference)
            if dice.random() < 0.005:  # the order is replaced by another one
                reference += "-2"
                self._send(self._bought(at + HOUR, "server", reference), 0)
        self.order = Order(self.key, said, reference, at, paid)

    def _tell_purchase(self, at: int, said: str, reference: str) -> None:
        """Send the purchase: by the server, with the answer or without; by the page; or never."""
        (how,) = self.dice.choices(("server", "both", "page", "bare", "never"), (68, 8, 14, 4, 6))
        if how == "page":
            visit = self._visit(at)
            self._post(self._bought(at, visit.writer, reference), visit)
        elif how != "never":
            order = None if how == "bare" else reference
            choice = said if how == "both" and said else None
            bought = self._bought(at, "server", order)._replace(choice=choice)
            self._send(bought, self._delay())

    # -- what is said of it -------------------------------------------------------------------

    def _show(self) -> None:
        """Let the shop's server tell of the offer first of all: it has made the page's token."""
        product = self.dice.choice(self.shop.products) if self.shop.products else None
        said = self._said("undecided", self.shown, "server")._replace(product=product)
        self.sent.append((-(-said.at // STEP) * STEP, said.at, said))

    def _said(self, choice: str | None, at: int, writer: str) -> Said:
        source = "server" if writer == "server" else "page"
        return Said(self.key, _uuid(self.dice), choice, at, writer, source)

    def _bought(self, at: int, writer: str, order: str | None) -> Said:
        return self._said(None, at, writer)._replace(purchased=True, order=order)

    def _post(self, said: Said, visit: Visit) -> None:
        """Send what a page says, sometimes never; its token has an end."""
        if self.dice.random() < 0.01:
            return
        self._send(said, self._delay(), None if said.source == "server" else visit.since + LIFE)

    def _delay(self) -> int:
        spans = (2 * SECOND, 20 * MINUTE, 30 * HOUR)
        (longest,) = self.dice.choices(spans, (92, 5, 3))
        return self.dice.randrange(longest)

    def _send(self, said: Said, delay: int, end: int | None = None) -> None:
        """Let *said* arrive, and sometimes arrive again."""
        self._arrive(said, said.at + delay, end)
        while self.dice.random() < 0.04:
            delay += self.dice.randrange(3 * HOUR)
            self._arrive(said, said.at + delay, end)

    def _arrive(self, said: Said, at: int, end: int | None) -> None:
        """Keep the rules of a token's end: what comes after it is late, refused, or no purchase."""
        moment = -(-at // STEP) * STEP
        if moment % CROWDED == 0 and self.dice.random() < 0.6:
            moment += MEANWHILE
        if end is not None and moment > end:
            if moment > end + LATE or said.at > end or said.choice is None:
                return
            said = said._replace(late=True, purchased=False, order=None)
        self.sent.append((moment, at, said))


def stories(seed: int, offers: int, start: int, days: int) -> Iterator[Story]:
    """Yield the month's offers in the order in which they are shown."""
    dice = Random(seed)
    times = sorted(start + dice.randrange(days * DAY - STEP) for _ in range(offers))
    for shown in times:
        (shop,) = dice.choices(SHOPS, [shop.share for shop in SHOPS])
        story = Story(dice, shop, shown).tell()
        if story.order and story.order.at >= start + days * DAY:
            story.order = None  # it is in the next month's list
        yield story


@dataclass(slots=True)
class Mail:
    """What is on its way, by the moment of its arrival."""

    stories: Iterator[Story]
    orders: dict[Pair, list[Order]] = field(default_factory=lambda: defaultdict(list))
    stuck: list[Said] = field(default_factory=list)  # until all is reconciled
    _coming: dict[int, list[tuple[int, Said]]] = field(default_factory=lambda: defaultdict(list))
    _next: Story | None = None

    def arriving(self, moment: int) -> list[Said]:
        """Return what arrives at *moment*, in its order; moments are asked for one by one."""
        while (story := self._next or next(self.stories, None)) and story.shown <= moment:
            self._next = None
            self._take(story)
        self._next = story
        arrived = sorted(self._coming.pop(moment, []), key=itemgetter(0))
        return [said for _, said in arrived]

    def _take(self, story: Story) -> None:
        for moment, at, said in story.sent:
            self._coming[moment].append((at, said))
        if story.order:
            self.orders[story.shop.pair].append(story.order)
        self.stuck += story.stuck


def _uuid(dice: Random) -> str:
    return str(UUID(int=dice.getrandbits(128), version=4))


# -- what the shops write down ------------------------------------------------------------------


def configuration(database: str | None) -> str:
    """Return the configuration that the shops share."""
    lines = [f'database = "{database}"'] if database else []
    lines += ['audience = "optout-proxy:month"', 'public_url = "https://proxy.shop.example"']
    for partner in dict.fromkeys(shop.pair[0] for shop in SHOPS):
        key = f'{{ kid = "{partner.lower()}", secret_file = "secrets/acme-2026a" }}'
        lines += [f"[partners.{partner}]", 'origins = ["https://shop.example"]']
        lines += [f"signing_keys = [{key}]"]
        lines += [line for shop in SHOPS if shop.pair[0] == partner for line in _upstream(shop)]
    return "\n".join([*lines, ""])


def _upstream(shop: Shop) -> Iterator[str]:
    is_xone = shop.api.startswith("xone")
    names = ("client_id", "client_secret") if is_xone else ("api_key", "api_secret")
    secrets = f'{names[0]}_file = "secrets/key", {names[1]}_file = "secrets/secret"'
    yield f"[partners.{'.upstreams.'.join(shop.pair)}]"
    yield f'api = "{shop.api}"'
    yield 'partner_code = "LLODT"'
    yield f'report_on = "{"purchase" if shop.terms.on_purchase else "decline"}"'
    yield f'unanswered = "{"declined" if shop.terms.implies else "ignore"}"'
    yield f"{'oauth' if is_xone else 'hmac'} = {{ {secrets} }}"


def write_orders(file: Path, orders: Iterable[Order]) -> None:
    """Write a shop's list of orders."""
    with file.open("w", encoding="utf-8", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(["reference", "at", "paid", "offer", "answer"])
        for one in orders:
            moment = datetime.fromtimestamp(one.at / 1000, UTC).isoformat(timespec="milliseconds")
            paid = "true" if one.paid else "false"
            rows.writerow([one.reference, moment, paid, one.key[2], one.answer])


# -- the insurers -----------------------------------------------------------------------------

# From which day of a week, hour and for how many hours, and what is answered then.
_OUTAGES: dict[Pair, tuple[tuple[int, int, int, Answer], ...]] = {
    ("LAMPLIGHT", "tickets"): ((1, 9, 5, "unreachable"), (2, 14, 3, 429)),
    ("LAMPLIGHT", "elements"): ((1, 6, 8, 503), (2, 5, 4, 401)),
    ("NORTHLINE", "travel"): ((1, 11, 4, "silent"),),
    ("HARBOUR", "ferries"): ((0, 20, 6, 500), (2, 3, 3, "unreachable")),
}
# What becomes of a request on a usual day, and whether the insurer acts on it all the same.
_USUAL: tuple[tuple[Answer, bool, float], ...] = (
    (204, True, 93.0),
    ("cut", True, 0.7),
    ("silent", True, 0.8),
    ("silent", False, 0.8),
    ("vanished", True, 0.5),  # our worker, before it could write down the answer
    ("vanished", False, 0.5),
    (500, True, 0.7),
    (500, False, 0.7),
    (503, False, 1.2),
    ("unreachable", False, 0.8),
    (408, False, 0.3),
)
# Some offers fare the same each time, whatever the day.
_DOOMED: tuple[tuple[Answer, float], ...] = (
    (404, 0.006), (422, 0.004), (400, 0.001), (410, 0.001), (302, 0.001),
    (409, 0.002),  # of somebody else's report
    ("silent", 0.002), (502, 0.001),  # until the key may be forgotten
)  # fmt: skip


@dataclass(slots=True)
class Insurer:
    """Answers each request by dice of its own, so that the order of requests does not matter."""

    seed: int
    start: int
    end: int  # of the outages
    known: set[tuple[Key, int]] = field(default_factory=set)  # offer and epoch

    def ask(self, key: Key, epoch: int, attempt: int, at: int) -> Answer:
        """Return what becomes of the request."""
        outage = self._outage(key[:2], at)
        if outage is not None:
            return outage
        doom = Random(f"{self.seed} {key}").random()
        for answer, share in _DOOMED:
            if doom < share:
                return answer
            doom -= share
        dice = Random(f"{self.seed} {key} {epoch} {attempt}")
        if (key, epoch) in self.known:
            return dice.choice((409, 409, 409, 204))
        ((answer, acts, _),) = dice.choices(_USUAL, [one[2] for one in _USUAL])
        if acts:
            self.known.add((key, epoch))
        return answer

    def _outage(self, pair: Pair, at: int) -> Answer | None:
        for day, hour, length, answer in _OUTAGES[pair]:
            begin = day * DAY + hour * HOUR
            since = (at - self.start) % (7 * DAY)
            if at < self.end and begin <= since < begin + length * HOUR:
                return answer
        return None
