"""Traces by OpenTelemetry: one for each offer, from the requests that told of it to its report.

Its id follows from the offer's name and the audit key, so that every process knows it and nothing
has to be stored or handed on. A span is made when what it tells of has ended; it holds names from
the settings, words and numbers, never what a customer or an insurer wrote.
"""

import hashlib
import hmac
import os
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy import __version__
from proxy.choices import Delivery, Kind, Outcome
from proxy.seen import Call, Record

STOP_S = 0.5  # for what is left when asked to stop
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_FAILED = 500
_PURPOSE = b"optout.trace.v1"

_parents = TraceContextTextMapPropagator()


class _Ids(RandomIdGenerator):
    """Gives the next trace of a thread the id that is wanted, if one is."""

    def __init__(self) -> None:
        self._local = threading.local()

    def next_is(self, trace_id: int | None) -> None:
        self._local.wanted = trace_id

    def generate_trace_id(self) -> int:
        """Return the id of a trace that begins."""
        wanted: int | None = getattr(self._local, "wanted", None)
        return wanted or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Return True: who does not know the key can tell none of them from chance."""
        return True


class Traces:
    """Makes the spans of one process; configured by OpenTelemetry's own environment."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, _PURPOSE, "sha256")
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("optout-proxy", __version__)

    def trace_of(self, partner: str, upstream: str, offer: str) -> int:
        """Return the id of an offer's trace, the same in every process of a deployment."""
        text = f"{partner}\n{upstream}\n{offer}".encode()
        return int.from_bytes(hmac.digest(self._key, text, hashlib.sha256)[:16]) or 1

    def call(self, call: Call) -> None:
        """Trace a request: in its caller's trace, else in that of the offer it told of."""
        ids = [self._trace_of_record(record) for record in call.records]
        method = call.method if call.method in _METHODS else "_OTHER"
        parent = _parents.extract({"traceparent": call.parent}) if call.parent else None
        self._ids.next_is(ids[0] if len(ids) == 1 else None)
        span = self._tracer.start_span(
            f"{method} {call.route}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=call.began,
            attributes={
                "http.request.method": method,
                "http.route": call.route,
                "http.response.status_code": call.status,
                "optout.request_id": call.request_id,
            },
        )
        if call.code:
            span.set_attribute("optout.code", call.code)
        if call.status >= _FAILED:
            span.set_status(StatusCode.ERROR)
        for trace_id, record in zip(ids, call.records, strict=True):
            self._record(record, trace_id, span)
        span.end(call.ended)
        self._ids.next_is(None)

    def attempt(self, delivery: Delivery, outcome: Outcome, began: int, ended: int) -> None:
        """Trace an attempt, in the trace of its offer."""
        self._ids.next_is(self.trace_of(delivery.partner, delivery.upstream, delivery.offer))
        span = self._tracer.start_span(
            "report decline",
            kind=SpanKind.CLIENT,
            start_time=began,
            attributes={
                "optout.partner": delivery.partner,
                "optout.upstream": delivery.upstream,
                "optout.delivery": delivery.row,
                "optout.epoch": delivery.epoch,
                "optout.attempt": delivery.attempt,
                "optout.outcome": str(outcome.kind),
                "optout.reason": outcome.reason,
            },
        )
        if outcome.status is not None:
            span.set_attribute("http.response.status_code", outcome.status)
        if outcome.kind is not Kind.DELIVERED:
            span.set_status(StatusCode.ERROR, outcome.reason)
        span.end(ended)
        self._ids.next_is(None)

    def stop(self) -> None:
        """Send what is left; a collector that does not answer keeps nobody from ending."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(STOP_S)

    def _trace_of_record(self, record: Record) -> int:
        one = record.recorded
        return self.trace_of(one.partner, one.upstream, one.offer)

    def _record(self, record: Record, trace_id: int, request: Span) -> None:
        """Trace the commit of one message in its offer's trace, linked to a request elsewhere."""
        asked = request.get_span_context()
        is_inside = asked.trace_id == trace_id
        links: Sequence[Link] = () if is_inside else (Link(asked),)
        self._ids.next_is(trace_id)
        one = record.recorded
        span = self._tracer.start_span(
            "record choice",
            context=set_span_in_context(request if is_inside else get_current_span()),
            start_time=record.began,
            links=links,
            attributes={
                "optout.partner": one.partner,
                "optout.upstream": one.upstream,
                "optout.choice": str(one.said or "purchase"),
                "optout.report": str(one.report),
                "optout.replayed": one.replayed,
            },
        )
        if not is_inside:
            request.add_link(span.get_span_context())
        span.end(record.ended)


def _resource() -> Resource:
    """Return what these spans are of, as the environment names it, else by our own name."""
    named = OTELResourceDetector().detect().attributes.get("service.name")
    ours = {} if named or os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "optout-proxy"}
    return Resource.create({"service.version": __version__, **ours})
