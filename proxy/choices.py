"""The words: what a choice, a session, a message and its record are. Knows no storage, no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Choice(StrEnum):
    """The customer's answer to one offer."""

    UNDECIDED = "undecided"  # the offer was shown; nothing was answered
    DECLINED = "declined"
    ACCEPTED = "accepted"


class Report(StrEnum):
    """Where the report of a decline to the insurer stands."""

    NONE = "none"  # nothing to report
    HELD = "held"  # waits for the purchase
    DUE = "due"  # to be sent, at once or after a pause
    SENDING = "sending"  # a request may leave now
    DELIVERED = "delivered"  # the insurer has it
    DEAD = "dead"  # given up; a person decides
    CANCELLED = "cancelled"  # the customer accepted before it was delivered
    ABANDONED = "abandoned"  # the purchase never came


class Source(StrEnum):
    """Who caused a fact."""

    PAGE = "page"
    SERVER = "server"  # the partner's server, with its server key
    TIMER = "timer"  # a span of time ran out
    WORKER = "worker"
    OPERATOR = "operator"
    RECONCILED = "reconciled"  # the shop's list of orders, where no answer had reached us


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a verified session token proves: this partner rendered this offer for this origin."""

    kid: str
    partner: str
    upstream: str | None  # claim `r`
    offer: str | None  # claim `o`; absent where the page names the offer
    origin: str  # claim `org`
    jti: str
    issued_at: int  # Unix seconds
    ttl: int  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that a page or a partner's server said about one offer."""

    partner: str
    upstream: str
    offer: str
    choice: Choice | None  # None when only the purchase is told
    id: str  # canonical lower-case UUID
    seq: int  # Unix milliseconds by the writer's clock
    at: int  # when the customer answered, in ms by the writer's clock
    writer: str  # `jti` of the token, "server", or "orders"
    source: Source
    purchased: bool = False
    order: str | None = None
    tries: int = 1
    late: bool = False
    open_token: bool = False  # the token named no offer: at most five per token
    metadata: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    customer: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the register holds after a message: the body of a 202."""

    id: str
    partner: str
    upstream: str
    offer: str
    said: Choice | None  # the message's own choice, which the receipt states
    seq: int  # as sent
    purchased: bool  # told by this message
    recorded_at: int  # ms; the receipt's time, the same for a replay
    choice: Choice  # the register's, after this message
    report: Report
    replayed: bool
    superseded: bool
    conflict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One decline, claimed, on its way to the insurer."""

    row: int  # the register's row
    claim: str  # fences the finish
    partner: str
    upstream: str
    offer: str
    epoch: int
    attempt: int  # from 1, within the epoch
    body: str  # frozen at the first claim of the epoch
    send_at: int  # ms; the permit is usable from here
    lease_until: int  # ms
    probe: bool = False  # its answer tells whether a paused credential works again
    due_at: int | None = None  # ms; since when this attempt was to be made


class Kind(StrEnum):
    """How an attempt ended, as far as the next step depends on it."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"  # try again after a backoff
    THROTTLED = "throttled"  # 429: the bucket shuts
    SETUP = "setup"  # the credential is at fault: it pauses, the row waits
    FORBIDDEN = "forbidden"  # 403: the row's fault or the credential's; a probe tells
    REPEATED = "repeated"  # 409: delivered if an earlier attempt's answer is unknown
    PERMANENT = "permanent"  # this row can never succeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended."""

    kind: Kind
    reason: str  # a snake_case word for logs, facts and metrics
    status: int | None = None  # HTTP status, if an answer came
    unknown: bool = False  # the request may have had its effect
    retry_after: float | None = None  # seconds, already clamped to 1 s .. 15 min
    detail: str = ""  # redacted, printable, at most 200 characters
