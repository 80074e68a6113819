"""A register that forgets: what the web side needs of intake, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.choices import Choice, Message, Recorded, Report
from proxy.errors import Problem, StorageUnavailable
from proxy.intake import Intake
from proxy.register import Offer
from proxy.uses import OFFERS_PER_TOKEN, Use

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Known:
    """An offer that was told of by `know`."""

    metadata: Mapping[str, Any]
    customer: Mapping[str, str]


class MemoryIntake(Intake):
    """Keeps messages in lists; fails on demand."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.known: dict[Key, Known] = {}
        self.failure: Exception | None = None  # raised by the next calls
        self._offers: dict[Key, Offer] = {}
        self._first: dict[tuple[str, str], Message] = {}
        self._uses: dict[tuple[str, str], Use] = {}
        self._named: dict[str, set[str]] = {}

    def record(self, message: Message) -> Recorded:
        """Keep *message* unless it is a replay."""
        self._fail()
        self._judge_open_token(message)
        first = self._first.setdefault((message.partner, message.id), message)
        if (first.offer, first.choice, first.seq) != (message.offer, message.choice, message.seq):
            raise Problem("idempotency_key_reused")
        offer = self._offers.get(_key(message)) or _fresh(message)
        superseded = message.choice is not None and message.seq < offer.seq
        if first is message:
            self.messages.append(message)
            offer = offer if superseded else _after(offer, message)
            self._offers[_key(message)] = offer
        return _recorded(message, offer, replayed=first is not message, superseded=superseded)

    def record_all(self, messages: Sequence[Message]) -> list[Recorded | Problem]:
        """Keep each message; a bad one spoils no other."""
        self._fail()
        return [self._try(message) for message in messages]

    def _try(self, message: Message) -> Recorded | Problem:
        try:
            return self.record(message)
        except StorageUnavailable:
            raise
        except Problem as problem:
            return problem

    def know(
        self,
        *,
        partner: str,
        upstream: str,
        offer: str,
        metadata: Mapping[str, Any] | None = None,
        customer: Mapping[str, str] | None = None,
    ) -> None:
        """Keep that an offer was shown."""
        self._fail()
        self.known[partner, upstream, offer] = Known(metadata or {}, customer or {})

    def find(self, partner: str, upstream: str, offer: str) -> Offer | None:
        """Return the offer, if something was said about it."""
        self._fail()
        return self._offers.get((partner, upstream, offer))

    def once(self, use: Use) -> tuple[int, str]:
        """Return time and jti of the first use of *key*."""
        self._fail()
        first = self._uses.setdefault((use.partner, use.key), use)
        if first.digest != use.digest:
            raise Problem("idempotency_key_reused")
        return first.now, first.jti

    def _fail(self) -> None:
        if self.failure:
            raise self.failure

    def _judge_open_token(self, message: Message) -> None:
        if message.open_token:
            named = self._named.setdefault(message.writer, set())
            named.add(message.offer)
            if len(named) > OFFERS_PER_TOKEN:
                raise Problem("token_offers_exhausted")


def _key(message: Message) -> Key:
    return message.partner, message.upstream, message.offer


def _fresh(message: Message) -> Offer:
    return Offer(id=1, partner=message.partner, upstream=message.upstream, offer=message.offer)


def _after(offer: Offer, message: Message) -> Offer:
    choice = message.choice or offer.choice
    return offer._replace(
        choice=choice,
        seq=message.seq,
        late=message.late,
        purchased=offer.purchased or message.purchased,
        order_reference=message.order or offer.order_reference,
        report=Report.DUE if choice is Choice.DECLINED else Report.NONE,
    )


def _recorded(message: Message, offer: Offer, *, replayed: bool, superseded: bool) -> Recorded:
    return Recorded(
        id=message.id,
        partner=message.partner,
        upstream=message.upstream,
        offer=message.offer,
        said=message.choice,
        seq=message.seq,
        purchased=message.purchased,
        recorded_at=message.at,
        choice=offer.choice,
        report=offer.report,
        replayed=replayed,
        superseded=superseded,
        conflict=offer.conflict,
    )
