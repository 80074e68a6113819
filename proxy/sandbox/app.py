"""The insurer: one request in, one answer out. Knows no sockets."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from proxy.sandbox import answers
from proxy.sandbox.broken import is_silent
from proxy.sandbox.desk import Desk
from proxy.sandbox.faults import Rule, Script
from proxy.sandbox.ledger import Entry, Ledger
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.routes import Call, Routes
from proxy.sandbox.signatures import Proof, Verifier
from proxy.sandbox.spoiled import Scene, spoil
from proxy.sandbox.tokens import AccessTokens
from proxy.sandbox.wire import Answer, Request


def now_ms() -> int:
    """Return the time by the system's clock, in Unix ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The answer to a request, and the rule that may still break its connection."""

    answer: Answer
    rule: Rule | None


class Upstream:
    """The insurer's state and its judgement; safe for many threads.

    *pause* waits so many seconds and returns True if the sandbox is being stopped.
    """

    def __init__(
        self,
        options: SandboxOptions,
        *,
        clock: Callable[[], int],
        pause: Callable[[float], bool],
        dice: Callable[[], float],
    ) -> None:
        secrets = (options.api_secret, options.client_secret)
        self.options = options
        self.clock = clock
        self.script = Script(dice)
        self.tokens = AccessTokens(options, clock)
        self.ledger = Ledger(remember=options.remember, secrets=secrets)
        self.desk = Desk(options, self.ledger, clock=clock, pause=pause)
        self._pause = pause
        self._routes = Routes(options.prefix)
        self._verifier = self._verifier_with(options.api_secret)
        self._tampered = self._verifier_with(f"not {options.api_secret}")

    def _verifier_with(self, secret: str) -> Verifier:
        options = self.options
        return Verifier(
            options.api_key, secret, clock_skew=options.clock_skew, allow_sha1=options.allow_sha1
        )

    def receive(self, request: Request) -> Exchange:
        """Write *request* down, work on it, and return what is to be answered."""
        call = self._routes.find(request.path)
        rule = self.script.take(call, request.path)
        if rule is not None and rule.fault == "expire_tokens":
            self.tokens.forget()
        proof = self._proof(call, request, tampered=_is_tampered(rule))
        entry = self.ledger.open(request, call, proof, rule.fault if rule else None)
        answer = self._answer(entry, rule)
        if rule is not None:
            answer = self._spoil(entry, rule, answer)
        status = None if rule is not None and is_silent(rule) else answer.status
        self.ledger.close(entry, status, at=self.clock())
        return Exchange(answer=answer, rule=rule)

    def clear(self) -> None:
        """Forget what came in, its effects, keys and faults; access tokens stay valid."""
        self.script.clear()
        self.ledger.clear()
        self.desk.clear()

    def _proof(self, call: Call | None, request: Request, *, tampered: bool) -> Proof:
        if call is not None and call.scheme == "none":
            return Proof(scheme="", verified=False, why_not="this call has no Authorization")
        bearer = request.headers.get("authorization", "")[:7].lower() == "bearer "
        if bearer if call is None else call.scheme == "oauth":
            return self.tokens.check(request, refuse=tampered)
        return (self._tampered if tampered else self._verifier).check(request)

    def _answer(self, entry: Entry, rule: Rule | None) -> Answer:
        call, method = entry.call, entry.request.method
        if call is None:
            return answers.no_such_path()
        if method != call.method:
            return answers.described(call) if method == "OPTIONS" else answers.wrong_method(call)
        if rule is not None and not rule.effect:
            return answers.pretended(call)
        if call.name == "token":
            return self.tokens.answer(entry.request, refuse=_is_tampered(rule))
        if not entry.proof.verified:
            status = HTTPStatus.FORBIDDEN if call.scheme == "hmac" else HTTPStatus.UNAUTHORIZED
            return answers.refusal(call, status)
        return self.desk.answer(entry, call, rule)

    def _spoil(self, entry: Entry, rule: Rule, answer: Answer) -> Answer:
        if rule.fault == "hang" and not (rule.params["locked"] and entry.effect):
            self._pause(rule.params["seconds"])
        return spoil(
            Scene(
                rule=rule,
                plain=answer,
                call=entry.call,
                request=entry.request,
                options=self.options,
                now=self.clock(),
            )
        )


def _is_tampered(rule: Rule | None) -> bool:
    return rule is not None and rule.fault == "wrong_secret"
