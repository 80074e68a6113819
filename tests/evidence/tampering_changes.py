"""What whoever has the file in hand can do to it, and which rows `audit verify` must name then.

A change of what nothing vouches for is none of these: which of two partners' facts came first, and
facts that no block holds yet cut off together with all that tells of them.
"""

import sqlite3
from collections.abc import Callable
from random import Random

from proxy.audit import Wrong
from proxy.ledger import CANONICAL
from proxy.seals import NAMES
from tests.evidence.cells import flip
from tests.evidence.tampering_copy import Copy, add, read, told
from tests.evidence.test_seals_tail import cut
from tests.evidence.test_seals_tampering import (
    STATE,
    Row,
    another,
    change_a_block,
    delete_a_block,
    invent_an_offer,
    put,
    rewrite_with_the_key,
    spoil_a_text,
    swap,
    swap_offers,
)

Names = list[Wrong]  # each must be named; without an ordinal: the offer's row, or any of its facts
Change = Callable[[Copy], Names]


# -- values -----------------------------------------------------------------------------------


def a_value(column: str) -> Change:
    """Change *column* of one fact."""

    def change(copy: Copy) -> Names:
        fact = copy.dice.choice(copy.facts)
        put(copy.connection, "facts", {**fact, column: _other(copy, fact, column)}, "id = :id")
        return [told(fact)]

    return change


def _other(copy: Copy, fact: Row, column: str) -> object:
    if column == "ordinal":  # where no fact of this offer stands
        return copy.dice.choice([0, -fact["ordinal"], fact["ordinal"] + 1_000])
    if column == "offer_id":
        short = [row["id"] for row in copy.offers if row["facts"] < fact["ordinal"]]
        return copy.dice.choice([*short[:3], fact["offer_id"] + 10_000])
    return another(fact[column], copy.dice)


def an_id(copy: Copy) -> Names:
    """A fact is moved out of its block."""
    fact, last = copy.dice.choice(copy.sealed), copy.facts[-1]["id"]
    moved = copy.dice.choice([-fact["id"], last + 1, last + 1_000])
    copy.connection.execute("UPDATE facts SET id = ? WHERE id = ?", [moved, fact["id"]])
    return [copy.around(fact)]


def a_bit(column: str) -> Change:
    """Flip one bit of *column* of one fact where it lies in the file; no index is told."""

    def change(copy: Copy) -> Names:
        filled = [fact for fact in copy.facts if fact[column] not in (None, "")]
        fact = copy.dice.choice(filled)
        flip(copy.path, "facts", fact["id"], column, copy.dice)
        return [told(fact)]

    return change


def of_an_offer(column: str) -> Change:
    """Change what facts tell of an offer's row, or how it is called."""

    def change(copy: Copy) -> Names:
        offer = copy.dice.choice(copy.offers)
        changed = {**offer, column: another(offer[column], copy.dice)}
        put(copy.connection, "offers", changed, "id = :id")
        return [Wrong(offer_id=offer["id"], why="")]

    return change


def an_invented_purchase(copy: Copy) -> Names:
    """It would release a decline that is held for it."""
    offer = copy.dice.choice([row for row in copy.offers if not row["purchased"]])
    copy.connection.execute("UPDATE offers SET purchased = 1 WHERE id = :id", offer)
    return [Wrong(offer_id=offer["id"], why="")]


def of_a_block(column: str) -> Change:
    """Change *column* of one block; its name too."""

    def change(copy: Copy) -> Names:
        last = {(one.partner, one.block) for one in newest(copy)}  # without its name it is gone
        rest = [row for row in copy.blocks if (row["partner"], row["number"]) not in last]
        block = copy.dice.choice(rest if column in ("partner", "number") else copy.blocks)
        value = another(block[column], copy.dice)
        if column in ("number", "last_fact"):
            value = block[column] + 1_000  # where none stands
        where = "partner = :was AND hash = :hashed"
        names = {"was": block["partner"], "hashed": block["hash"]}
        copy.connection.execute(
            f'UPDATE blocks SET "{column}" = :value WHERE {where}', {"value": value, **names}
        )
        return [Wrong(partner=block["partner"], block=block["number"], why="")]

    return change


# -- rows taken away --------------------------------------------------------------------------


def a_fact_deleted(copy: Copy) -> Names:
    """One fact, and nothing else."""
    fact = copy.dice.choice(copy.facts)
    copy.connection.execute("DELETE FROM facts WHERE id = :id", fact)
    return [told(fact)]


def all_facts_deleted(copy: Copy) -> Names:
    """The row of the offer stays."""
    offer = copy.dice.choice(copy.offers)
    copy.connection.execute("DELETE FROM facts WHERE offer_id = :id", offer)
    return [Wrong(offer_id=offer["id"], why="")]


def an_offer_deleted(copy: Copy) -> Names:
    """With all its facts: only the blocks tell that there was more."""
    gone = copy.of_one(copy.sealed, "offer_id")
    row = {"id": gone[0]["offer_id"]}
    copy.connection.execute("DELETE FROM facts WHERE offer_id = :id", row)
    copy.connection.execute("DELETE FROM offers WHERE id = :id", row)
    return [copy.around(fact) for fact in gone]


def a_row_deleted(copy: Copy) -> Names:
    """The facts of the offer stay."""
    offer = copy.dice.choice(copy.offers)
    copy.connection.execute("DELETE FROM offers WHERE id = :id", offer)
    return [told(fact) for fact in copy.facts if fact["offer_id"] == offer["id"]]


def facts_cut(copy: Copy) -> Names:
    """The last facts and blocks, also of the part that is not sealed; the offers stay."""
    last = copy.dice.choice((copy.facts, copy.newer))
    after = copy.dice.choice(last)["id"] - 1
    copy.connection.execute("DELETE FROM facts WHERE id > ?", [after])
    copy.connection.execute("DELETE FROM blocks WHERE last_fact > ?", [after])
    first: dict[int, Row] = {}
    for fact in copy.facts:
        if fact["id"] > after:
            first.setdefault(fact["offer_id"], fact)
    return [told(fact) for fact in first.values()]


# -- rows put in ------------------------------------------------------------------------------


def a_fact_inserted(copy: Copy) -> Names:
    """Made of another one of the offer; at any place where there is none."""
    fact = copy.dice.choice(copy.facts)
    (offer,) = (row for row in copy.offers if row["id"] == fact["offer_id"])
    ordinal = copy.dice.choice([offer["facts"] + 1, offer["facts"] + 5, 0, -1])
    forged = fact | {"id": copy.facts[-1]["id"] + 1, "ordinal": ordinal, "message": "forged"}
    add(copy, "facts", forged)
    return [told(forged)]


def a_fact_appended_in_order(copy: Copy) -> Names:
    """The offer's row counts it and has its digest; only the key is missing."""
    (offer,) = copy.dice.sample(copy.offers, 1)
    fact = [row for row in copy.facts if row["offer_id"] == offer["id"]][-1]
    forged = fact | {
        "id": copy.facts[-1]["id"] + 1,
        "ordinal": offer["facts"] + 1,
        "message": "forged",
        "choice": "declined",
        "digest": copy.dice.randbytes(32),
    }
    add(copy, "facts", forged)
    counted = {name: forged[name] for name in STATE} | {"facts": forged["ordinal"]}
    put(copy.connection, "offers", offer | counted, "id = :id")
    return [told(forged)]


def an_offer_forged(copy: Copy) -> Names:
    """A row and facts made of those of another offer."""
    offer = copy.dice.choice(copy.offers)
    last = copy.facts[-1]["id"]
    add(copy, "offers", offer | {"id": 5_000, "offer": "forged"})
    of_it = [fact for fact in copy.facts if fact["offer_id"] == offer["id"]]
    for number, fact in enumerate(of_it, start=1):
        add(copy, "facts", fact | {"id": last + number, "offer_id": 5_000, "message": None})
    return [Wrong(offer_id=5_000, ordinal=n, why="") for n in range(1, len(of_it) + 1)]


def a_strangers_fact(copy: Copy) -> Names:
    """Copied from a register with another key, over the one in the same place."""
    return [told(_copied(copy, read(copy.stranger, "facts"), copy.facts))]


def a_sisters_fact(copy: Copy) -> Names:
    """From one with the same key, so that it is right by itself: its block is not."""
    return [copy.around(_copied(copy, read(copy.sister, "facts"), copy.sealed))]


def _copied(copy: Copy, theirs: list[Row], ours: list[Row]) -> Row:
    places = {(fact["offer_id"], fact["ordinal"]): fact for fact in theirs}
    fact = copy.dice.choice(ours)
    found = places[fact["offer_id"], fact["ordinal"]]
    put(copy.connection, "facts", found | {"id": fact["id"]}, "id = :id")
    return fact


def a_strangers_offer(copy: Copy) -> Names:
    """All of an offer, with facts that fit its row, from a register with another key."""
    offer = copy.dice.choice(read(copy.stranger, "offers"))
    add(copy, "offers", offer | {"id": 5_000, "offer": "copied"})
    of_it = [row for row in read(copy.stranger, "facts") if row["offer_id"] == offer["id"]]
    last = copy.facts[-1]["id"]
    for number, fact in enumerate(of_it, start=1):
        add(copy, "facts", fact | {"id": last + number, "offer_id": 5_000, "message": None})
    return [Wrong(offer_id=5_000, ordinal=n, why="") for n in range(1, len(of_it) + 1)]


# -- rows exchanged ---------------------------------------------------------------------------


def values_swapped(copy: Copy) -> Names:
    """What two facts tell, of two offers."""
    pair = copy.dice.sample(copy.facts, 2)
    swap(copy.connection, "facts", pair, "id", "offer_id", "ordinal")
    return [told(fact) for fact in pair]


def values_swapped_within(copy: Copy) -> Names:
    """What two facts tell, of one offer."""
    pair = copy.dice.sample(copy.of_one(copy.facts, "offer_id"), 2)
    swap(copy.connection, "facts", pair, "id", "offer_id", "ordinal")
    return [told(fact) for fact in pair]


def digests_swapped(copy: Copy) -> Names:
    """Each is right, for the other one."""
    pair = copy.dice.sample(copy.facts, 2)
    for fact, other in (pair, pair[::-1]):
        put(copy.connection, "facts", fact | {"digest": other["digest"]}, "id = :id")
    return [told(fact) for fact in pair]


def ids_swapped(copy: Copy) -> Names:
    """When two facts of a partner were written; each is right by itself."""
    return _reordered(copy, copy.dice.sample(copy.of_one(copy.sealed, "partner"), 2))


def ids_swapped_within(copy: Copy) -> Names:
    """When two facts of an offer were written."""
    return _reordered(copy, copy.dice.sample(copy.of_one(copy.sealed, "offer_id"), 2))


def ids_reordered(copy: Copy) -> Names:
    """A run of a partner's facts."""
    alike = copy.of_one(copy.sealed, "partner")
    start, count = copy.dice.randrange(len(alike) - 8), copy.dice.randint(3, 8)
    run = alike[start : start + count]
    return _reordered(copy, [*run[1:], run[0]])


def _reordered(copy: Copy, moved: list[Row]) -> Names:
    """Give each of *moved* the id of the next one."""
    ids = [fact["id"] for fact in moved]
    for fact in moved:
        copy.connection.execute("UPDATE facts SET id = -id WHERE id = :id", fact)
    for fact, row in zip(moved, [*ids[1:], ids[0]], strict=True):
        copy.connection.execute("UPDATE facts SET id = ? WHERE id = ?", [row, -fact["id"]])
    return [copy.around(fact) for fact in moved]


def blocks_swapped(copy: Copy) -> Names:
    """The numbers of two blocks of a partner."""
    pair = copy.dice.sample(copy.of_one(copy.blocks, "partner"), 2)
    numbers = [block["number"] for block in pair]
    for block, number in zip(pair, (-1, numbers[0]), strict=True):
        _renumber(copy, block, number)
    _renumber(copy, pair[0], numbers[1])
    return [Wrong(partner=block["partner"], block=block["number"], why="") for block in pair]


def _renumber(copy: Copy, block: Row, number: int) -> None:
    where = "hash = ? AND partner = ?"
    values = [number, block["hash"], block["partner"]]
    copy.connection.execute(f"UPDATE blocks SET number = ? WHERE {where}", values)


# -- against a seal that was kept elsewhere ---------------------------------------------------


def the_tail_cut(copy: Copy) -> Names:
    """The last blocks with their facts, and the offers put back: as if it had ended there."""
    ends = sorted({block["sealed_at"] for block in copy.blocks})
    since = copy.dice.choice(ends[1:])
    cut(copy.connection, max(b["last_fact"] for b in copy.blocks if b["sealed_at"] < since))
    return [kept for kept in newest(copy) if _sealed_at(copy, kept) >= since]


def the_last_block_deleted(copy: Copy) -> Names:
    """Of one partner, or of both."""
    gone = copy.dice.choice([newest(copy), newest(copy)[:1], newest(copy)[1:]])
    for block in gone:
        where = "partner = ? AND number = ?"
        copy.connection.execute(f"DELETE FROM blocks WHERE {where}", [block.partner, block.block])
    return gone


def newest(copy: Copy) -> Names:
    """Return the last block of each partner."""
    last = {block["partner"]: block["number"] for block in copy.blocks}
    return [Wrong(partner=partner, block=number, why="") for partner, number in last.items()]


def _sealed_at(copy: Copy, block: Wrong) -> int:
    found = {(row["partner"], row["number"]): row["sealed_at"] for row in copy.blocks}
    return int(found[block.partner, block.block])


# -- all of them ------------------------------------------------------------------------------

WITH_A_SEAL = ("the_tail_cut", "the_last_block_deleted")
_STAGED = (
    change_a_block,
    delete_a_block,
    invent_an_offer,
    rewrite_with_the_key,
    spoil_a_text,
    swap_offers,
)
# Without `purchased`: a late page tells of a purchase that does not count, so only an invented one
# contradicts the facts.
_ROW = (*STATE, "facts", "partner", "upstream", "offer", "order_reference")
_WHOLE: tuple[Change, ...] = (
    an_invented_purchase,
    a_fact_deleted,
    all_facts_deleted,
    an_offer_deleted,
    a_row_deleted,
    facts_cut,
    a_fact_inserted,
    a_fact_appended_in_order,
    an_offer_forged,
    a_strangers_fact,
    a_sisters_fact,
    a_strangers_offer,
    values_swapped,
    values_swapped_within,
    digests_swapped,
    ids_swapped,
    ids_swapped_within,
    ids_reordered,
    blocks_swapped,
    the_tail_cut,
    the_last_block_deleted,
)


def _staged(one: Callable[[sqlite3.Connection, Random], Wrong]) -> Change:
    """Return a change that is made for one connection as one for a copy."""

    def change(copy: Copy) -> Names:
        return [one(copy.connection, copy.dice)]

    return change


def changes() -> dict[str, Change]:
    """Return every change by its name, `facts.choice` or `bits of facts.choice` for a value."""
    found: dict[str, Change] = {one.__name__: _staged(one) for one in _STAGED}
    found |= {one.__name__: one for one in _WHOLE}
    columns = (*CANONICAL, "digest")
    found |= {f"facts.{column}": a_value(column) for column in columns} | {"facts.id": an_id}
    found |= {f"bits of facts.{column}": a_bit(column) for column in columns}
    found |= {f"offers.{column}": of_an_offer(column) for column in _ROW}
    return found | {f"blocks.{column}": of_a_block(column) for column in NAMES}
