"""A run as its records tell it, read from a folder. Knows nothing of the proxy's own code.

Three records that nobody could have agreed on beforehand: what the clients said and heard
(`calls.jsonl`), what the insurer's side received (`ledger.jsonl`), and the database (`offers`,
`facts`, `buckets`). `run.json` says what the run was and which faults it had.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

NAMESPACE = UUID("874222ec-3546-4aa9-b274-4a7869069003")  # design section 3, for ever
ACKNOWLEDGED = 202
_SERVER_ERRORS = 500

Record = dict[str, Any]
Key = tuple[str, str, str]  # partner, upstream, offer


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One promise that the records show broken."""

    invariant: str  # V1 to V12
    about: str  # an offer, a message, a file
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.about}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a client, and what it heard; no status when no answer came."""

    who: str
    kind: str
    writer: str
    sent: float  # seconds by one monotonic clock
    answered: float | None
    sent_ms: int  # Unix
    answered_ms: int | None
    said: Record
    status: int | None = None
    code: str | None = None  # of a problem
    retry_after: str | None = None
    body: Record | None = None

    @property
    def key(self) -> Key:
        """The offer that it is about."""
        return (self.said["partner"], self.said["upstream"], self.said["offer"])

    @property
    def id(self) -> str:
        """The id of the message."""
        return str(self.said["id"])

    @property
    def acknowledged(self) -> bool:
        """True when the answer was that it is on disk."""
        return self.status == ACKNOWLEDGED

    @property
    def may_have_happened(self) -> bool:
        """True unless it was refused: a commit whose answer was lost looks like one that failed."""
        return self.status is None or self.acknowledged or self.status >= _SERVER_ERRORS


@dataclass(kw_only=True)
class Run:
    """All records of one run, with the ways through them that judging needs."""

    about: Record
    calls: list[Call]
    requests: list[Record]  # opt-outs that the insurer received, oldest first
    offers: list[Record]
    facts: list[Record]
    buckets: list[Record]

    @cached_property
    def rows(self) -> dict[Key, Record]:
        """The register, by what each row is about."""
        return {key_of(row): row for row in self.offers}

    @cached_property
    def history(self) -> dict[int, list[Record]]:
        """The facts of each row, in order."""
        found: defaultdict[int, list[Record]] = defaultdict(list)
        for fact in sorted(self.facts, key=lambda one: (one["ordinal"], one["id"])):
            found[fact["offer_id"]].append(fact)
        return found

    @cached_property
    def told(self) -> dict[str, list[Call]]:
        """The calls by the id of their message; those of bad input may have none."""
        found: defaultdict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if call.said.get("id"):
                found[call.id].append(call)
        return found

    @cached_property
    def recorded(self) -> dict[tuple[str, str], list[Record]]:
        """The facts by partner and message."""
        found: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        for fact in self.facts:
            if fact["message"] is not None:
                found[fact["partner"], fact["message"]].append(fact)
        return found

    @cached_property
    def calls_of(self) -> dict[Key, list[Call]]:
        """The calls about each offer that may have happened, in the order they were sent."""
        found: defaultdict[Key, list[Call]] = defaultdict(list)
        for call in sorted(self.calls, key=lambda one: one.sent):
            if call.may_have_happened:
                found[call.key].append(call)
        return found

    @cached_property
    def attempts(self) -> dict[Key, list[Record]]:
        """What the insurer received about each offer, in order."""
        found: defaultdict[Key, list[Record]] = defaultdict(list)
        for request in sorted(self.requests, key=lambda one: int(one["received_at"])):
            found[self.key_of_request(request)].append(request)
        return found

    @cached_property
    def _upstream_of(self) -> dict[str, tuple[str, str]]:
        return {
            upstream["api"]: (upstream["partner"], name)
            for name, upstream in self.about["upstreams"].items()
        }

    def key_of_request(self, request: Record) -> Key:
        """Return which offer *request* reports."""
        partner, upstream = self._upstream_of.get(request["api"], ("?", str(request["api"])))
        return (partner, upstream, request["offer"])

    def upstream(self, key: Key) -> Record:
        """Return what the run knew of the upstream of *key*."""
        found: Record = self.about["upstreams"][key[1]]
        return found

    def epoch_of(self, key: Key, request: Record) -> int | None:
        """Return the epoch whose idempotency key *request* carries, None if it is of none."""
        most = self.rows[key]["epoch"] if key in self.rows else 1
        for epoch in range(1, most + 1):
            if request["idempotency_key"] == self.idempotency_key(key, epoch):
                return epoch
        return None

    def idempotency_key(self, key: Key, epoch: int) -> str:
        """Return the key that design section 3 prescribes."""
        name = "\n".join((self.about["audience"], *key, str(epoch)))
        return str(uuid5(NAMESPACE, name))

    def bound(self, name: str) -> int:
        """Return one of the run's tolerances, in ms."""
        return int(self.about["bounds"][name])

    def is_disturbed(self, begin: int, end: int) -> bool:
        """Tell whether our processes or their storage had a fault between two times."""
        slack = self.bound("recovery_ms")
        return any(
            fault["group"] in ("process", "storage")
            and fault["from_ms"] <= end
            and fault["to_ms"] + slack >= begin
            for fault in self.about["faults"]
        )


def key_of(row: Record) -> Key:
    """Return what a row of the register is about."""
    return (row["partner"], row["upstream"], row["offer"])


def short(key: Key) -> str:
    """Return *key* as a finding names it."""
    return "/".join(key)


def load(folder: Path) -> Run:
    """Read the records in *folder*."""
    requests = sorted(lines(folder / "ledger.jsonl"), key=lambda one: int(one["number"]))
    return Run(
        about=json.loads((folder / "run.json").read_text("utf-8")),
        calls=[Call(**line) for line in lines(folder / "calls.jsonl")],
        requests=[request for request in requests if request["api"]],
        offers=list(lines(folder / "offers.jsonl")),
        facts=list(lines(folder / "facts.jsonl")),
        buckets=list(lines(folder / "buckets.jsonl")),
    )


def lines(path: Path) -> Iterator[Record]:
    """Yield the records in a file of JSON lines."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
