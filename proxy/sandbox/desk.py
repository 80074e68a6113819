"""The insurer's desk: what happens to a call once its sender is known."""

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from proxy.sandbox import answers, bodies
from proxy.sandbox.faults import Rule
from proxy.sandbox.idempotency import IdempotencyKeys, Verdict
from proxy.sandbox.ledger import Entry, Ledger
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.packages import Packages
from proxy.sandbox.routes import Call
from proxy.sandbox.throttle import Throttle
from proxy.sandbox.wire import Answer, Request


def _digest(request: Request) -> str:
    content = f"{request.method} {request.path}\n".encode("latin-1", "replace") + request.body
    return hashlib.sha256(content).hexdigest()


class Desk:
    """Opt-outs, quotes and bookings of one partner; safe for many threads."""

    def __init__(
        self,
        options: SandboxOptions,
        ledger: Ledger,
        *,
        clock: Callable[[], int],
        pause: Callable[[float], bool],
    ) -> None:
        self._options = options
        self._ledger = ledger
        self._pause = pause
        self._keys = IdempotencyKeys(clock)
        self._throttle = Throttle(options.rate_per_second, clock)
        self.packages = Packages(options, clock)

    def answer(self, entry: Entry, call: Call, rule: Rule | None) -> Answer:
        """Answer a call that proved who sent it."""
        if wait := self._throttle.wait(call.scheme):
            return answers.throttled(call, wait)
        if call.partner != self._options.partner or not self.packages.knows(call.offer):
            return answers.refusal(call, HTTPStatus.NOT_FOUND)
        if call.name == "quote":
            return answers.shown(call, self.packages.find(call.offer))
        if call.name == "booking":
            anew = self.packages.confirm(call.offer)
            return answers.booked(call, self.packages.find(call.offer), anew=anew)
        strict = self._options.strict_bodies
        if refused := bodies.refused(call, entry.request, strict=strict):
            return refused
        return self._opt_out(entry, call, rule)

    def _opt_out(self, entry: Entry, call: Call, rule: Rule | None) -> Answer:
        key, digest = entry.request.headers.get("x-idempotency-key"), _digest(entry.request)
        verdict = self._keys.begin(key, digest)
        entry.replay = verdict is Verdict.REPLAY
        if verdict is not Verdict.FRESH:
            return _not_fresh(call, verdict)
        package = self.packages.opt_out(call.offer)
        self._ledger.effect(entry)
        if hold := self._options.latency.total_seconds() + _locked_for(rule):
            self._pause(hold)
        self._keys.finish(key, digest)
        return answers.opted_out(call, package)

    def clear(self) -> None:
        """Forget packages and idempotency keys."""
        self.packages.clear()
        self._keys.clear()


def _locked_for(rule: Rule | None) -> float:
    locked = rule is not None and rule.fault == "hang" and rule.params["locked"]
    return float(rule.params["seconds"]) if rule is not None and locked else 0.0


def _not_fresh(call: Call, verdict: Verdict) -> Answer:
    if verdict is Verdict.REPLAY:
        return answers.repeated(call)
    if verdict is Verdict.LOCKED:
        return answers.refusal(call, HTTPStatus.LOCKED)
    errors = {"x-idempotency-key": "Already used for another request"}
    return answers.refusal(call, HTTPStatus.UNPROCESSABLE_ENTITY, errors=errors)
