"""Removals: which sealed blocks have lost their facts to retention. The block itself stays.

They take away a partner's oldest blocks, without a gap, so that the first fact still there says
where the record begins. A removal is signed as the block was, and names the block's hash.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, column, func, insert, select

from proxy import seals
from proxy.schema import removals
from proxy.seals import Block, Sign

RETENTION = "retention"  # the only reason so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """That the facts of one block are gone, as it is stored."""

    partner: str
    number: int  # of the block
    hash: bytes  # of the block
    count: int  # of its facts
    removed_at: int
    reason: str
    kid: str
    signature: str = ""

    @property
    def payload(self) -> bytes:
        """Return what is signed: every other field."""
        return seals.claim("removal", {name: getattr(self, name) for name in _CLAIMED})

    def is_signed(self, public_keys: dict[str, Any]) -> bool:
        """True when one of *public_keys* has signed this removal."""
        return seals.is_signed(self.payload, self.signature, public_keys)

    def is_of(self, block: Block) -> bool:
        """True when it was *block*, as sealed, that was removed."""
        return (self.hash, self.count) == (block.hash, block.count)


_NAMES = tuple(field.name for field in fields(Removal))
_CLAIMED = tuple(name for name in _NAMES if name != "signature")
_REMOVALS: Any = select(*map(column, _NAMES)).select_from(removals)  # as stored, as blocks are


def removal_of(block: Block, *, now: int, kid: str, sign: Sign) -> Removal:
    """Return the signed removal of *block*."""
    removal = Removal(
        partner=block.partner,
        number=block.number,
        hash=block.hash,
        count=block.count,
        removed_at=now,
        reason=RETENTION,
        kid=kid,
    )
    return replace(removal, signature=seals.signature_of(removal.payload, sign))


def write(connection: Connection, removal: Removal) -> None:
    """Record *removal* in the caller's transaction, before the facts go."""
    connection.execute(insert(removals), [asdict(removal)])


def newest(connection: Connection, partner: str) -> int:
    """Return the number of the last block of *partner* that was removed; 0 if none was."""
    query = select(func.max(removals.c.number)).where(removals.c.partner == partner)
    return connection.execute(query).scalar() or 0


def after(connection: Connection, partner: str, number: int, most: int) -> list[Removal]:
    """Return up to *most* removals of *partner* that follow *number*."""
    query = _REMOVALS.where(removals.c.partner == partner, removals.c.number > number)
    rows = connection.execute(query.order_by(removals.c.number).limit(most))
    return [Removal(**row) for row in rows.mappings()]


def ends(connection: Connection) -> dict[str, int]:
    """Return by partner until when, in Unix milliseconds, facts are gone; for none if none are."""
    found = {}
    for partner in seals.partners(connection):
        block = seals.find(connection, partner, newest(connection, partner))
        if block:
            found[partner] = block.sealed_at
    return found
