"""What the handlers of the public listener are given."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.intake import Intake
from proxy.receipts import Signer
from proxy.web.deadlines import Deadlines
from proxy.web.limits import Limits
from proxy.web.terms import InForce


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that a request passes on its way to the register."""

    terms: InForce
    intake: Intake
    signer: Signer
    clock: Callable[[], int]  # Unix milliseconds
    limits: Limits
    deadlines: Deadlines
