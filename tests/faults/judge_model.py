"""What the register must hold after given messages: design section 4 in thirty lines.

Written from the design, not from the proxy's code, of which it imports nothing. It leaves out
what the runs do not use: late choices and implied declines.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

MAX_AHEAD_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message, as the client sent it, and when the proxy says it came."""

    id: str
    choice: str | None
    seq: int
    writer: str
    at: int
    purchased: bool = False
    order: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The register's answer for one offer."""

    choice: str = "undecided"
    seq: int = 0
    sent: int = 0  # the seq, as its writer sent it
    message: str | None = None
    writer: str | None = None
    purchased: bool = False
    order: str | None = None


def after(messages: Iterable[Said]) -> list[State]:
    """Return the state after each of *messages*, applied in this order."""
    state = State()
    states = []
    for said in messages:
        state = _heard(state, said)
        states.append(state)
    return states


def _heard(state: State, said: Said) -> State:
    if said.choice in ("declined", "accepted") and _wins(state, said):
        state = replace(
            state,
            choice=said.choice,
            seq=_seq(said),
            sent=said.seq,
            message=said.id,
            writer=said.writer,
        )
    if said.purchased:
        state = replace(state, purchased=True, order=state.order or said.order)
    return state


def _wins(state: State, said: Said) -> bool:
    """The highest seq wins; an acceptance wins a tie, and is not dropped for another writer's."""
    last, seq = state.seq, _seq(said)
    if seq != said.seq:  # a wrong clock, but right about its own order
        last, seq = state.sent, said.seq
    if state.choice == "undecided" or seq > last:
        return True
    contradicts = said.choice == "accepted" and state.choice == "declined"
    return contradicts and (seq == last or said.writer != state.writer)


def _seq(said: Said) -> int:
    return said.at if said.seq > said.at + MAX_AHEAD_MS else said.seq
