"""What may be used so often: tokens that name offers, and the idempotency keys of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from proxy.choices import Message
from proxy.errors import Problem
from proxy.schema import idempotency_keys, open_tokens

OFFERS_PER_TOKEN = 5  # that a token without an offer of its own may name

Opening = tuple[str, str, str]  # partner, jti, offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of an `Idempotency-Key` of `POST /v1/sessions`."""

    partner: str
    key: str
    digest: str
    jti: str
    now: int


def opening(message: Message) -> Opening | None:
    """Name the offer that a token without one speaks of; None where the token names it."""
    return (message.partner, message.writer, message.offer) if message.open_token else None


def exhausted(connection: Connection, messages: Sequence[Message], now: int) -> set[Opening]:
    """Note which offers open tokens name; return those beyond what one token may."""
    refused: set[Opening] = set()
    for token in {opening(message) for message in messages} - {None}:
        assert token is not None  # noqa: S101  # for the type checker: None was taken out
        if not _name_offer(connection, token, now):
            refused.add(token)
    return refused


def _name_offer(connection: Connection, token: Opening, now: int) -> bool:
    partner, jti, offer = token
    mine = (open_tokens.c.partner == partner) & (open_tokens.c.jti == jti)
    named = set(connection.execute(select(open_tokens.c.offer).where(mine)).scalars())
    if offer in named:
        return True
    if len(named) >= OFFERS_PER_TOKEN:
        return False
    row = {"partner": partner, "jti": jti, "offer": offer, "created_at": now}
    connection.execute(_insert(connection)(open_tokens).on_conflict_do_nothing(), [row])
    return True


def first_uses(connection: Connection, asked: list[Use]) -> list[tuple[int, str] | Problem]:
    """Return time and jti of each key's first use; a Problem if it was for another content."""
    return [_first_use(connection, use) for use in asked]


def _first_use(connection: Connection, use: Use) -> tuple[int, str] | Problem:
    row = {
        "partner": use.partner,
        "key": use.key,
        "digest": use.digest,
        "jti": use.jti,
        "created_at": use.now,
    }
    connection.execute(_insert(connection)(idempotency_keys).on_conflict_do_nothing(), [row])
    table = idempotency_keys.c
    mine = (table.partner == use.partner) & (table.key == use.key)
    first = connection.execute(select(idempotency_keys).where(mine)).one()
    if first.digest != use.digest:
        return Problem("idempotency_key_reused")
    return int(first.created_at), str(first.jti)


def forget(connection: Connection, befores: list[int]) -> list[int]:
    """Forget the uses from before each of these times; return how many that were."""
    return [_forget(connection, before) for before in befores]


def _forget(connection: Connection, before: int) -> int:
    tables = (open_tokens, idempotency_keys)
    gone = (connection.execute(delete(one).where(one.c.created_at < before)) for one in tables)
    return sum(result.rowcount for result in gone)


def _insert(connection: Connection) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert
