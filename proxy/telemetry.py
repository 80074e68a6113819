"""Looks at requests, records and attempts from outside: counts them, and traces them where asked.

None of those whom it looks at knows of it, and none waits for it or fails with it.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, Protocol

import structlog

from proxy.choices import Delivery, Message, Outcome, Recorded
from proxy.clocks import wall
from proxy.counters import Counters
from proxy.errors import ConfigurationError, Problem
from proxy.intake import Intake
from proxy.seen import Call, Record

P = ParamSpec("P")

log = structlog.get_logger()


class Tracer(Protocol):
    """Makes spans of what was seen."""

    def call(self, call: Call) -> None:
        """Trace a request that has been answered."""

    def attempt(self, delivery: Delivery, outcome: Outcome, began: int, ended: int) -> None:
        """Trace an attempt that has ended."""

    def stop(self) -> None:
        """Send what is left, if that can be done soon."""


def is_traced(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the environment names a collector, in OpenTelemetry's own words.

    Raises ConfigurationError where it does and the packages are missing.
    """
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip()
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if off or exporter != "otlp" or not any(environ.get(name) for name in names):
        return False
    if not find_spec("opentelemetry") or not find_spec("opentelemetry.sdk"):
        raise ConfigurationError(
            "The environment names a collector of traces, and the packages that send them are"
            ' missing; pip install "optout-proxy[otel]", or take OTEL_EXPORTER_OTLP_ENDPOINT away.'
        )
    return True


def _harmless(look: Callable[P, None]) -> Callable[P, None]:
    """Let nobody fail because somebody looked."""

    @wraps(look)
    def looked(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            look(*args, **kwargs)
        except Exception:
            log.exception("telemetry.failed")

    return looked


class Telemetry:
    """One per process; safe to use from many threads."""

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self._tracer: Tracer | None = None
        self._local = threading.local()

    def start(self, key: bytes) -> None:
        """Trace from now on, if the environment asks for it; *key* hides the offers' names."""
        if is_traced():
            from proxy.traces import Traces  # noqa: PLC0415  # nobody else shall pay for it

            self._tracer = Traces(key)

    def stop(self) -> None:
        """Send what is left of the traces."""
        if self._tracer:
            self._tracer.stop()

    def warned(self, event: str) -> None:
        """Count a line of the log; never a word to the log about that."""
        with suppress(Exception):
            self.counters.count("proxy_warnings", event)

    # -- the web's side -----------------------------------------------------------------------

    @_harmless
    def begin(self) -> None:
        """Begin to look at the request that this thread answers."""
        self._local.call = Call(began=time.time_ns())
        self.counters.change("proxy_requests_under_way", 1)

    @_harmless
    def end(self, **seen: Any) -> None:
        """Say what became of it; *seen* are the fields of a `Call` that are known now."""
        call: Call = self._local.__dict__.pop("call")
        self.counters.change("proxy_requests_under_way", -1)
        for name, value in seen.items():
            setattr(call, name, value)
        call.ended = time.time_ns()
        seconds = (call.ended - call.began) / 1e9
        status = f"{call.status // 100}xx"
        self.counters.observe("proxy_request_seconds", seconds, call.route, status)
        if self._tracer:
            self._tracer.call(call)

    @_harmless
    def record(self, answers: Sequence[Recorded | Problem], began: int) -> None:
        """Look at what was recorded in one commit."""
        ended = time.time_ns()
        call: Call | None = getattr(self._local, "call", None)
        for one in answers:
            if isinstance(one, Problem):
                continue
            pair = (one.partner, one.upstream)
            if one.replayed:
                self.counters.count("proxy_choices_replayed", *pair)
            else:
                self.counters.count("proxy_choices", *pair, one.said or "purchase")
            if call:
                call.records.append(Record(one, began, ended))

    # -- the worker's side --------------------------------------------------------------------

    @_harmless
    def attempt(
        self, delivery: Delivery, outcome: Outcome, began: int, credential: str | None
    ) -> None:
        """Look at an attempt that has ended."""
        ended = time.time_ns()
        pair = (delivery.partner, delivery.upstream)
        self.counters.count("proxy_attempts", *pair, outcome.kind, outcome.reason)
        self.counters.observe("proxy_answer_seconds", (ended - began) / 1e9, delivery.upstream)
        if credential:
            self.counters.count("proxy_permits_taken", credential)
        if self._tracer:
            self._tracer.attempt(delivery, outcome, began, ended)

    @_harmless
    def delivered(self, delivery: Delivery, since: Callable[[Delivery], int | None]) -> None:
        """Count how late a report has reached its upstream.

        *since* tells when one that was tried before became due: what is claimed knows of the latest
        try only.
        """
        now = wall()
        due_at = delivery.due_at if delivery.attempt == 1 else since(delivery)
        if due_at:
            late = max(0, now - due_at) / 1000
            self.counters.observe("proxy_lateness_seconds", late, delivery.upstream)


class WatchedIntake(Intake):
    """The door to the register, looked at."""

    def __init__(self, telemetry: Telemetry, *given: Any) -> None:
        super().__init__(*given)
        self._telemetry = telemetry

    def record(self, message: Message) -> Recorded:
        """Store *message*, as `Intake` does."""
        began = time.time_ns()
        recorded = super().record(message)
        self._telemetry.record([recorded], began)
        return recorded

    def record_all(self, messages: Sequence[Message]) -> list[Recorded | Problem]:
        """Store *messages* in one commit, as `Intake` does."""
        began = time.time_ns()
        answers = super().record_all(messages)
        self._telemetry.record(answers, began)
        return answers
