"""Everything that came in, and every effect it had. Never shows a secret."""

from collections import defaultdict, deque
from dataclasses import dataclass
from threading import Condition
from typing import Any

from proxy.sandbox.routes import Call
from proxy.sandbox.signatures import Proof
from proxy.sandbox.wire import Request

HIDDEN = "(secret)"
SHORTEST = 6  # a shorter secret is too likely a part of a word to be blotted out


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request that came in; what became of it is filled in by the ledger."""

    number: int
    request: Request
    call: Call | None
    proof: Proof
    fault: str | None
    status: int | None = None  # of the answer; None while there is none, or if none was sent
    answered_at: int | None = None  # ms
    replay: bool = False  # answered before: 409
    effect: bool = False  # the offer was opted out of by this request

    def shown(self, secrets: tuple[str, ...]) -> dict[str, Any]:
        """Return the entry for JSON: secrets blotted out, Authorization only judged."""
        request, call, proof = self.request, self.call, self.proof
        headers = {name: _blotted(value, secrets) for name, value in request.headers.items()}
        if "authorization" in headers:
            scheme = request.headers["authorization"].partition(" ")[0]
            verdict = "verified" if proof.verified else "not verified"
            headers["authorization"] = f"{_blotted(scheme, secrets)[:16]} ({verdict})"
        body = request.body.decode("utf-8", "replace")
        is_token_call = call is not None and call.name == "token"
        return {
            "number": self.number,
            "received_at": request.received_at,
            "answered_at": self.answered_at,
            "method": request.method,
            "path": _blotted(request.target, secrets),
            "api": call.api if call else None,
            "offer": call.offer or None if call else None,
            "partner": call.partner or None if call else None,
            "headers": headers,
            "body": HIDDEN if is_token_call else _blotted(body, secrets),
            "idempotency_key": request.headers.get("x-idempotency-key"),
            "verified": proof.verified,
            "why_not": proof.why_not,
            "algorithm": proof.algorithm,
            "signed": proof.signed,
            "status": self.status,
            "replay": self.replay,
            "effect": self.effect,
            "fault": self.fault,
        }


def _blotted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


class Ledger:
    """The requests, oldest first, and the effects; right under many threads."""

    def __init__(self, *, remember: int, secrets: tuple[str, ...]) -> None:
        self._changed = Condition()
        self._entries: deque[Entry] = deque(maxlen=remember)
        self._effects: defaultdict[str, set[str]] = defaultdict(set)
        self._secrets = tuple(secret for secret in secrets if len(secret) >= SHORTEST)
        self._count = 0

    def open(self, request: Request, call: Call | None, proof: Proof, fault: str | None) -> Entry:
        """Write *request* down before it is answered."""
        with self._changed:
            self._count += 1
            entry = Entry(number=self._count, request=request, call=call, proof=proof, fault=fault)
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def effect(self, entry: Entry) -> None:
        """Write down that *entry* opted its offer out; without a key each one counts."""
        key = entry.request.headers.get("x-idempotency-key", f"(none) {entry.number}")
        with self._changed:
            entry.effect = True
            self._effects[entry.call.offer if entry.call else ""].add(key)

    def close(self, entry: Entry, status: int | None, *, at: int) -> None:
        """Write down the status that *entry* was answered with, None if it got no answer."""
        with self._changed:
            entry.status = status
            entry.answered_at = at
            self._changed.notify_all()

    def requests(self, *, offer: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Return what came in for *offer* (None: for all) with a number above *after*."""
        with self._changed:
            entries = list(self._entries)
        return [
            entry.shown(self._secrets)
            for entry in entries
            if entry.number > after and (offer is None or _is_for(entry, offer))
        ]

    def effects(self) -> dict[str, int]:
        """Return how many distinct idempotency keys had an effect, by offer."""
        with self._changed:
            return {offer: len(keys) for offer, keys in self._effects.items()}

    def wait(self, count: int, *, offer: str | None, timeout: float) -> bool:
        """Wait until *count* requests for *offer* came in and ended; False after *timeout* s."""

        def ended() -> bool:
            return count <= sum(
                entry.answered_at is not None and (offer is None or _is_for(entry, offer))
                for entry in self._entries
            )

        with self._changed:
            return self._changed.wait_for(ended, timeout)

    def clear(self) -> None:
        """Forget all requests and effects; numbers go on."""
        with self._changed:
            self._entries.clear()
            self._effects.clear()


def _is_for(entry: Entry, offer: str) -> bool:
    return entry.call is not None and entry.call.offer == offer
