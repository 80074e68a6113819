"""Verifying the whole record, as the command and the dashboard do it: the steps, and the words."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection

from proxy import audit, seals
from proxy.clocks import time_of
from proxy.ledger import Ledger
from proxy.seals import Block

MOST_SHOWN = 20


class Bar(Protocol):
    """What shows how far it is."""

    def update(self, n_steps: int, /) -> None:
        """Add so many."""


Bars = Callable[[str, int], AbstractContextManager[Bar]]


class NoSeals(ValueError):
    """What was given as kept seals is none, or none of ours; the sentence says which."""


@dataclass(slots=True)
class Found:
    """The first rows that are wrong, and how many more: with another key it is every row."""

    shown: list[audit.Wrong] = field(default_factory=list)
    more: int = 0

    def take(self, wrong: Iterable[audit.Wrong]) -> None:
        """Keep the first of *wrong* and count the rest."""
        for one in wrong:
            if len(self.shown) < MOST_SHOWN:
                self.shown.append(one)
            else:
                self.more += 1


@dataclass(slots=True, kw_only=True)
class Verified:
    """What was verified, and what is wrong in it."""

    offers: int
    tally: audit.Tally
    found: Found
    since: int | None  # when the oldest fact was written that no seal covers
    kept: list[Block]

    @property
    def holds(self) -> bool:
        """True when nothing is wrong."""
        return not self.found.shown

    @property
    def summary(self) -> list[str]:
        """Return what was looked at, a sentence each."""
        return list(_summary(self))


def run(
    connection: Connection,
    ledger: Ledger,
    public_keys: dict[str, Any],
    kept: list[Block],
    bars: Bars,
) -> Verified:
    """Recompute every fact, offer and block; *connection* must see one moment."""
    tally, found = audit.Tally(), Found()
    offers = audit.count(connection)
    with bars("offers", offers) as bar:
        found.take(audit.verify(connection, ledger, bar.update))
    with bars("blocks", audit.count_blocks(connection)) as bar:
        found.take(audit.verify_blocks(connection, public_keys, tally, bar.update))
    found.take(audit.verify_kept(connection, kept))
    since = seals.oldest_unsealed(connection)
    return Verified(offers=offers, tally=tally, found=found, since=since, kept=kept)


def kept_in(text: bytes | str, public_keys: dict[str, Any]) -> list[Block]:
    """Return the seals in *text*; what nobody of ours has signed proves nothing. NoSeals if so."""
    told = _object(text)
    try:
        kept = [seals.read_json(seal) for seal in told["seals"]]
    except (KeyError, TypeError, ValueError):
        raise NoSeals("holds no seals; `audit seal` writes them") from None
    for block in kept:
        if not block.is_signed(public_keys) or block.hash != seals.hash_of(block.payload):
            raise NoSeals("was changed, or another key has signed it; --keys names older ones")
    return kept


def newest(connection: Connection) -> dict[str, Any]:
    """Return the newest seal of every partner, to keep elsewhere."""
    found = [seals.newest(connection, partner) for partner in seals.partners(connection)]
    return {"seals": [block.as_json() for block in found if block]}


def sentence(wrong: audit.Wrong) -> str:
    """Name the row that is *wrong*."""
    if wrong.block is not None:
        return f"block {wrong.block} of {wrong.partner}: {wrong.why}"
    where = "" if wrong.ordinal is None else f", fact {wrong.ordinal}"
    return f"offer {wrong.offer_id}{where}: {wrong.why}"


def _summary(done: Verified) -> Iterator[str]:
    tally = done.tally
    yield f"{tally.sealed} facts are sealed, in {tally.blocks} blocks."
    if tally.removed:
        yield f"{tally.removed} more are removed, past their retention; their blocks say so."
    if done.since is not None:
        newer = f"{tally.newer} are newer than the last seal"
        yield f"{newer}, the oldest of them from {time_of(done.since)}."
    for block in done.kept:
        yield (
            f"The kept seal vouches for {block.total} facts of {block.partner}, "
            f"until {time_of(block.sealed_at)}."
        )


def _object(text: bytes | str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NoSeals("is no JSON object")
    return found
