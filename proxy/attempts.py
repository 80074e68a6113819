"""Attempts, looked at on their way out and back: how long, how they ended, by which credential."""

import time
from collections.abc import Callable

from proxy.choices import Delivery, Kind, Outcome
from proxy.telemetry import Telemetry
from proxy.waiting import Pair
from proxy.worker import Routing, Send

Since = Callable[[Delivery], int | None]


class CredentialNames:
    """What credentials are called: by the first partner and upstream that uses each."""

    def __init__(self, routing: Callable[[], Routing]) -> None:
        self._routing = routing
        self._known: tuple[Routing | None, dict[str, str]] = (None, {})

    def by_bucket(self) -> dict[str, str]:
        """Return the names of the credentials in force, by their bucket."""
        routing, known = self._routing(), self._known
        if known[0] is not routing:
            names = {lane.bucket: "/".join(min(lane.apis)) for lane in routing.lanes}
            known = self._known = (routing, names)
        return known[1]

    def rates(self) -> list[tuple[str, float]]:
        """Return how many permits a second each credential has; 0 is no limit."""
        names = self.by_bucket()
        lanes = self._routing().lanes
        return [(names[lane.bucket], lane.rate) for lane in lanes if lane.bucket in names]

    def of(self, pair: Pair) -> str | None:
        """Return the name of the credential that serves *pair*; None if none does any more."""
        lane = self._routing().lane_of.get(pair)
        return self.by_bucket().get(lane.bucket) if lane else None


def watched(send: Send, telemetry: Telemetry, names: CredentialNames, since: Since) -> Send:
    """Return *send*, looked at; *since* tells when a report that was tried before became due."""

    def attempt(delivery: Delivery) -> Outcome:
        began = time.time_ns()
        outcome = send(delivery)
        credential = names.of((delivery.partner, delivery.upstream))
        telemetry.attempt(delivery, outcome, began, credential)
        if outcome.kind is Kind.DELIVERED:
            telemetry.delivered(delivery, since)
        return outcome

    return attempt
