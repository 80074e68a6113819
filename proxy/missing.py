"""What the shop's orders say and the register lacks, told to it in the ordinary way."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from proxy.choices import Choice, Message, Recorded, Source
from proxy.errors import Problem
from proxy.intake import Intake

WRITER = "orders"

_IDS = UUID("3f1c1d5e-6a0b-5f0e-9d52-5b7c1c0c7e11")  # namespace of our messages' ids


class Told(NamedTuple):
    """What the list says of one offer that the register has no answer for."""

    partner: str
    upstream: str
    offer: str
    choice: str
    at: int
    purchased: bool
    order: str | None


def report(intake: Intake, told: Sequence[Told]) -> list[str]:
    """Record in one commit what the register lacks; return what became of each.

    `reported`; `replayed`, where it was before; `superseded`, where an answer came first; or the
    code of a problem. The same list again makes the same messages, and changes nothing.
    """
    answers = intake.record_all([_message(one) for one in told])
    return [_became(answer) for answer in answers]


def _message(told: Told) -> Message:
    name = f"{told.partner}\n{told.upstream}\n{told.offer}\n{told.choice}"
    return Message(
        partner=told.partner,
        upstream=told.upstream,
        offer=told.offer,
        choice=Choice(told.choice),
        id=str(uuid5(_IDS, name)),
        seq=told.at,
        at=told.at,
        writer=WRITER,
        source=Source.RECONCILED,
        purchased=told.purchased,
        order=told.order,
    )


def _became(answer: Recorded | Problem) -> str:
    if isinstance(answer, Problem):
        return answer.code
    if answer.replayed:
        return "replayed"
    return "superseded" if answer.superseded else "reported"
