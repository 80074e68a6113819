"""The parts that an attack is made of: requests, and what must come back for each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.acceptance.deployment import PATIENCE_S
from tests.attacks import conditions
from tests.attacks.conditions import registered
from tests.attacks.target import Target
from tests.attacks.wire import Answer

Make = Callable[[Target], bytes | Iterable[bytes]]
Part = Callable[[Target], list[Answer]]  # does something and judges it; returns answers
Then = Callable[[Target, Answer], None]


@dataclass(frozen=True)
class Moot:
    """A case that the product has no place for."""

    reason: str


Case = Part | tuple[Part, ...] | Moot


def refused(
    code: str,
    make: Make,
    *,
    status: int | None = None,
    private: bool = False,
    then: Then | None = None,
) -> Part:
    """Each of the requests is refused with *code*, by one answer."""
    expected = (status or registered()[code][0], code)

    def part(target: Target) -> list[Answer]:
        heard = []
        for request in _requests(make, target):
            (answer,) = target.hears(request, private=private)
            assert answer.verdicts() == {expected}, (expected, answer)
            if then:
                then(target, answer)
            heard.append(answer)
        return heard

    return part


def taken(
    make: Make, *, status: int = 202, private: bool = False, then: Then | None = None
) -> Part:
    """Each of the requests is good, however odd it looks."""

    def part(target: Target) -> list[Answer]:
        heard = []
        for request in _requests(make, target):
            (answer,) = target.hears(request, private=private, seconds=PATIENCE_S)
            assert answer.verdicts() == {(status, None)}, answer
            if then:
                then(target, answer)
            heard.append(answer)
        return heard

    return part


def unread(make: Make, *statuses: int) -> Part:
    """The parser refuses each of the requests in its own words; what follows is never read."""

    def part(target: Target) -> list[Answer]:
        heard = []
        for request in _requests(make, target):
            (answer,) = target.hears(request)
            assert not answer.is_problem, answer
            assert answer.status in (statuses or (400,)), answer
            heard.append(answer)
        return heard

    return part


def attack(target: Target, case: Part | tuple[Part, ...]) -> None:
    """Run *case*, and hold the target to what holds after every case."""
    target.said()
    target.heard.clear()
    before = conditions.standing(target)
    for part in case if isinstance(case, tuple) else (case,):
        part(target)
    conditions.hold(target, before)


def _requests(make: Make, target: Target) -> Iterable[bytes]:
    made = make(target)
    return [made] if isinstance(made, bytes) else made
