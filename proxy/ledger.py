"""Facts: what changed, when, from where, sealed with a keyed digest. Append-only.

Of order references and metadata a fact holds a keyed hash only: the values live in the offer's
row, where they can be erased without touching the evidence.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert

from proxy.choices import Choice, Message, Source
from proxy.prepared import Prepared
from proxy.register import Offer
from proxy.schema import facts

CANONICAL = tuple(c.name for c in facts.columns if c.name not in ("id", "digest"))
_INSERT = Prepared(insert(facts).values({name: bindparam(name) for name in (*CANONICAL, "digest")}))
_as_json = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` would make one for each fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What happened, apart from the state that the register is in afterwards."""

    kind: str  # `choice.recorded`, `delivery.claimed`, ...
    at: int
    source: Source
    message: str | None = None
    said: Choice | None = None
    seq: int | None = None
    said_at: int | None = None
    writer: str | None = None
    purchased: bool = False
    tries: int | None = None
    order: str | None = None  # hashed before it is written
    metadata: str | None = None  # hashed before it is written
    superseded: bool = False
    attempt: int | None = None
    outcome: str | None = None
    status: int | None = None
    note: str | None = None


def said(message: Message, *, at: int, superseded: bool, metadata: str | None) -> Fact:
    """Return the fact that *message* was recorded at *at*."""
    return Fact(
        kind="choice.recorded" if message.choice else "purchase.recorded",
        at=at,
        source=message.source,
        message=message.id,
        said=message.choice,
        seq=message.seq,
        said_at=message.at,
        writer=message.writer,
        purchased=message.purchased,
        tries=message.tries,
        order=message.order,
        metadata=metadata,
        superseded=superseded,
    )


class Ledger:
    """Turns facts into rows under the audit key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, offer: Offer, fact: Fact) -> tuple[Offer, dict[str, Any]]:
        """Return the offer with its count and last digest moved on, and the row to append."""
        row: dict[str, Any] = {
            "partner": offer.partner,
            "offer_id": offer.id,
            "ordinal": offer.facts + 1,
            "kind": fact.kind,
            "at": fact.at,
            "source": str(fact.source),
            "message": fact.message,
            "said": str(fact.said) if fact.said else None,
            "seq": fact.seq,
            "said_at": fact.said_at,
            "writer": fact.writer,
            "purchased": fact.purchased,
            "tries": fact.tries,
            "order_hash": self.hash_of_order(fact.order),
            "metadata_hash": self._hash("metadata", fact.metadata),
            "choice": str(offer.choice),
            "report": str(offer.report),
            "epoch": offer.epoch,
            "conflicts": " ".join(sorted(offer.conflicts)),
            "superseded": fact.superseded,
            "attempt": fact.attempt,
            "outcome": fact.outcome,
            "status": fact.status,
            "note": fact.note,
        }
        row["digest"] = self.digest(row, offer.upstream, offer.offer)
        return offer._replace(facts=offer.facts + 1, digest=row["digest"]), row

    def digest(self, row: dict[str, Any], upstream: str, offer: str) -> bytes:
        """Return the keyed digest of a fact's *row* about *offer*, the same on both engines.

        The offer's name stands in its own row only; without it here that row could be given to
        another offer, and every fact would still look right.
        """
        return self.digest_of([upstream, offer, *(row[name] for name in CANONICAL)])

    def digest_of(self, values: list[Any]) -> bytes:
        """Return the digest of upstream, offer and the columns of a fact in `CANONICAL` order."""
        return hmac.digest(self._key, _as_json(values).encode(), "sha256")

    def hash_of_order(self, reference: str | None) -> str | None:
        """Return what a fact holds of an order reference."""
        return self._hash("order", reference)

    def _hash(self, purpose: str, value: str | None) -> str | None:
        if value is None:
            return None
        return hmac.new(self._key, f"{purpose}\n{value}".encode(), hashlib.sha256).hexdigest()


def append(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write *rows* of facts in the caller's transaction."""
    _INSERT.run(connection, rows)
