"""What the demo shop sells. Knows prices and seats, no HTTP and no proxy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

FRIDAY = 4  # of `date.weekday`


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """One evening on sale, with the insurance offer that goes with its tickets."""

    key: str  # in addresses and file names
    title: str
    by: str
    hall: str
    doors: str
    starts: str
    weeks_ahead: int
    place: str  # in the hall
    row: str
    seats: tuple[int, ...]
    price_cents: int  # of one ticket
    fee_cents: int  # of one order
    protection_cents: int  # of one order
    insurer: str
    upstream: str  # name of the partner's upstream, which is also the API's
    report_on: str  # "decline" or "purchase"
    elements: bool = False  # the insurer's widget makes the offer, in the browser

    @property
    def tickets_cents(self) -> int:
        """The price of all seats."""
        return self.price_cents * len(self.seats)

    @property
    def seat_words(self) -> str:
        """The seats as a person says them."""
        *most, last = map(str, self.seats)
        return f"seats {', '.join(most)} and {last}" if most else f"seat {last}"

    def evening(self, today: date) -> date:
        """Return the Friday on which it is played, well ahead of *today*."""
        friday = today + timedelta(days=(FRIDAY - today.weekday()) % 7)
        return friday + timedelta(weeks=self.weeks_ahead)


PROGRAMME: Mapping[str, Show] = {
    show.key: show
    for show in (
        Show(
            key="night-music",
            title="Night Music for Strings",
            by="The Aurelia Quartet",
            hall="Harbour Hall",
            doors="19:00",
            starts="19:30",
            weeks_ahead=9,
            place="Stalls",
            row="F",
            seats=(12, 13),
            price_cents=4800,
            fee_cents=350,
            protection_cents=760,
            insurer="Northlight Cover",
            upstream="xcover-offers",
            report_on="decline",
        ),
        Show(
            key="paper-lighthouse",
            title="The Paper Lighthouse",
            by="A play by Ines Varga",
            hall="Old Mill Theatre",
            doors="18:30",
            starts="19:00",
            weeks_ahead=12,
            place="Balcony",
            row="B",
            seats=(4, 5),
            price_cents=3900,
            fee_cents=350,
            protection_cents=620,
            insurer="Harbourstone",
            upstream="xone-offers",
            report_on="purchase",
        ),
        Show(
            key="field-of-swallows",
            title="A Field of Swallows",
            by="Dances by Company Ilex",
            hall="The Glasshouse",
            doors="19:30",
            starts="20:00",
            weeks_ahead=15,
            place="Terrace",
            row="D",
            seats=(7, 8),
            price_cents=5500,
            fee_cents=350,
            protection_cents=880,  # what static/demo/elements.js asks for these tickets
            insurer="Fernhill Mutual",
            upstream="xone-offers",
            report_on="purchase",
            elements=True,
        ),
    )
}


def euros(cents: int) -> str:
    """Return an amount as the shop prints it."""
    return f"€\N{NO-BREAK SPACE}{cents // 100:,}.{cents % 100:02}"
