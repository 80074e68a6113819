"""Seals: ranges of facts closed into blocks, chained per partner, signed with Ed25519.

Knows no thread and no file. What a seal says has the form of a receipt, `payload.signature`, and is
verified by the same published keys.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, column, func, insert, select, text

from proxy import receipts
from proxy.schema import blocks, facts

MOST = 2_000  # facts closed in one transaction, and removed in one when their time has come

_LOCK = text("SELECT pg_try_advisory_xact_lock(7302110818)")  # one seals; any number of ours

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One closed range of a partner's facts, as it is stored."""

    partner: str
    number: int
    first_fact: int
    last_fact: int
    count: int
    total: int
    digest: bytes
    previous: bytes | None
    sealed_at: int
    kid: str
    hash: bytes = b""
    signature: str = ""

    @property
    def payload(self) -> bytes:
        """Return what is hashed and signed: every field but these two, `previous` among them."""
        return claim("seal", {name: getattr(self, name) for name in _CLAIMED})

    def is_signed(self, public_keys: dict[str, Any]) -> bool:
        """True when one of *public_keys* has signed this block."""
        return is_signed(self.payload, self.signature, public_keys)

    def as_json(self) -> dict[str, Any]:
        """Return the seal to keep elsewhere."""
        return {name: _plain(value) for name, value in asdict(self).items()}


NAMES = tuple(field.name for field in fields(Block))
_CLAIMED = tuple(name for name in NAMES if name not in ("hash", "signature"))
_BLOCKS: Any = select(*map(column, NAMES)).select_from(blocks)  # as stored: see `_block`
_BYTES = ("digest", "previous", "hash")
_TEXTS = ("partner", "kid", "signature")
_KINDS = [bytes if name in _BYTES else str if name in _TEXTS else int for name in NAMES]
_NOTHING: dict[type, Any] = {int: -1, str: "", bytes: b""}


def claim(kind: str, values: Mapping[str, Any]) -> bytes:
    """Return *values* in the one form in which they are signed, as something of *kind*."""
    claims = {name: _plain(value) for name, value in values.items()} | {"typ": kind, "v": 1}
    return _b64(json.dumps(claims, separators=(",", ":"), sort_keys=True).encode())


def signature_of(payload: bytes, sign: Sign) -> str:
    """Return the signature under *payload*, as it is stored."""
    return _b64(sign(payload)).decode()


def is_signed(payload: bytes, signature: str, public_keys: dict[str, Any]) -> bool:
    """True when one of *public_keys* has signed *payload*."""
    try:
        receipts.verify(f"{payload.decode()}.{signature}", public_keys)
    except (ValueError, TypeError):
        return False
    return True


def hash_of(payload: bytes) -> bytes:
    """Return the hash of a block that says *payload*."""
    return hashlib.sha256(payload).digest()


def digest_of(digests: Sequence[bytes]) -> bytes:
    """Return the digest over the digests of facts, in order of their ids."""
    return hashlib.sha256(b"".join(digests)).digest()


def read_json(seal: dict[str, Any]) -> Block:
    """Return the block that *seal*, made by `as_json`, tells of; ValueError if it is none."""
    if set(seal) != set(NAMES):
        raise ValueError("that is not a seal")
    try:
        return Block(**seal | {name: seal[name] and bytes.fromhex(seal[name]) for name in _BYTES})
    except TypeError as error:
        raise ValueError("that is not a seal") from error


# -- reading ----------------------------------------------------------------------------------


def latest(connection: Connection) -> Block | None:
    """Return the block that ends last of all: up to there every fact is sealed."""
    return _first(connection, _BLOCKS.order_by(blocks.c.last_fact.desc()))


def newest(connection: Connection, partner: str) -> Block | None:
    """Return the last block of *partner*."""
    query = _BLOCKS.where(blocks.c.partner == partner)
    return _first(connection, query.order_by(blocks.c.number.desc()))


def partners(connection: Connection) -> Iterator[str]:
    """Yield who has blocks, by name, without reading the blocks."""
    query = select(func.min(blocks.c.partner))
    partner = connection.execute(query).scalar()
    while partner is not None:
        yield partner
        partner = connection.execute(query.where(blocks.c.partner > partner)).scalar()


def find(connection: Connection, partner: str, number: int) -> Block | None:
    """Return one block of *partner*."""
    return _first(connection, _BLOCKS.where(blocks.c.partner == partner, blocks.c.number == number))


def after(connection: Connection, partner: str, number: int, most: int) -> list[Block]:
    """Return up to *most* blocks of *partner* that follow *number*."""
    query = _BLOCKS.where(blocks.c.partner == partner, blocks.c.number > number)
    rows = connection.execute(query.order_by(blocks.c.number).limit(most))
    return [_block(row) for row in rows]


def oldest_unsealed(connection: Connection) -> int | None:
    """Return since when a fact waits for its seal, in Unix milliseconds."""
    sealed = select(func.coalesce(func.max(blocks.c.last_fact), 0)).scalar_subquery()
    query = select(facts.c.at).where(facts.c.id > sealed).order_by(facts.c.id).limit(1)
    at: int | None = connection.execute(query).scalar()
    return at


def _first(connection: Connection, query: Any) -> Block | None:
    row = connection.execute(query.limit(1)).first()
    return _block(row) if row else None


def _block(row: Any) -> Block:
    """Return the block in *row*; what SQLite keeps there of another type was never written by us.

    It becomes a value of the right type that fits no hash, so that the audit can go on.
    """
    return Block(**dict(zip(NAMES, map(_sound, _KINDS, row), strict=True)))


def _sound(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) or (value is None and kind is bytes) else _NOTHING[kind]


# -- sealing ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to close next: everything after one fact, a block for each partner that has any."""

    after: int  # id of the last fact that was sealed when this was planned
    blocks: tuple[Block, ...]

    @property
    def count(self) -> int:
        """Return how many facts it seals."""
        return sum(block.count for block in self.blocks)


class Seals:
    """Plans blocks and signs them with one key."""

    def __init__(self, kid: str, sign: Sign) -> None:
        self._kid = kid
        self._sign = sign

    def plan(self, connection: Connection, *, until: int, now: int, most: int = MOST) -> Plan:
        """Return the blocks of the facts up to *until*, at most *most* of them; writes nothing."""
        sealed = latest(connection)
        start = sealed.last_fact if sealed else 0
        query = select(facts.c.id, facts.c.partner, facts.c.digest)
        query = query.where(facts.c.id > start, facts.c.id <= until)
        ranges: dict[str, list[tuple[int, bytes]]] = {}
        for row, partner, digest in connection.execute(query.order_by(facts.c.id).limit(most)):
            ranges.setdefault(partner, []).append((row, digest))
        made = [
            self._close(newest(connection, partner), partner, found, now)
            for partner, found in ranges.items()
        ]
        return Plan(after=start, blocks=tuple(made))

    def _close(
        self, before: Block | None, partner: str, found: list[tuple[int, bytes]], now: int
    ) -> Block:
        block = Block(
            partner=partner,
            number=before.number + 1 if before else 1,
            first_fact=found[0][0],
            last_fact=found[-1][0],
            count=len(found),
            total=len(found) + (before.total if before else 0),
            digest=digest_of([digest for _, digest in found]),
            previous=before.hash if before else None,
            sealed_at=now,
            kid=self._kid,
        )
        signature = signature_of(block.payload, self._sign)
        return replace(block, hash=hash_of(block.payload), signature=signature)


def close(connection: Connection, plans: list[Plan]) -> list[bool]:
    """Write each of *plans* in the caller's transaction; False where another was faster.

    A plan is made outside of it, so that nobody who records a choice waits for the hashing.
    """
    return [_write(connection, plan) for plan in plans]


def _write(connection: Connection, plan: Plan) -> bool:
    if connection.dialect.name != "sqlite" and not connection.execute(_LOCK).scalar():
        return False  # it seals the very same facts
    sealed = latest(connection)
    if not plan.blocks or (sealed.last_fact if sealed else 0) != plan.after:
        return False
    connection.execute(insert(blocks), [asdict(block) for block in plan.blocks])
    return True


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
