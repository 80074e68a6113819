"""What orchestrators and monitors ask. The public listener knows only /healthz."""

from collections.abc import Callable, Iterator, Mapping

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from proxy.errors import StorageUnavailable
from proxy.web.answers import as_json

HEALTH = "/healthz"

Measure = Callable[[], Mapping[str, float]]


class Refusals:
    """Counts refused requests by the code of their problem."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        text = "Requests refused, by the code of their problem."
        self._counter = Counter("proxy_refused", text, ["code"], registry=registry)

    def count(self, code: str) -> None:
        """Count one refusal; *code* is on the closed list, so that the labels stay few."""
        self._counter.labels(code).inc()


class Figures(Collector):
    """The register's figures, read when they are asked for: right after every restart."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures: `deliveries.held` is `proxy_deliveries{report="held"}`.

        What follows the dot of a figure about seals is a partner.
        """
        readable = GaugeMetricFamily("proxy_register_readable", "Whether the register can be read.")
        try:
            figures = self._measure()
        except StorageUnavailable:
            figures = {}
        readable.add_metric([], float(bool(figures)))
        yield readable
        yield from _families(figures)


def _families(figures: Mapping[str, float]) -> Iterator[GaugeMetricFamily]:
    families: dict[str, GaugeMetricFamily] = {}
    for name, value in figures.items():
        subject, _, label = name.partition(".")
        kind = "partner" if subject.startswith("seal_") else "report"
        labels = [kind] if label else []
        text = f"The register's {subject.replace('_', ' ')}."
        family = families.setdefault(
            subject, GaugeMetricFamily(f"proxy_{subject}", text, labels=labels)
        )
        family.add_metric([label] if label else [], value)
    yield from families.values()


def health() -> Blueprint:
    """Serve the call that says that this process answers."""
    ops = Blueprint("health", __name__)

    @ops.get(HEALTH)
    def healthz() -> Response:
        return as_json({"healthy": True})

    return ops


def readiness(
    ready: Callable[[], list[str]], registries: tuple[CollectorRegistry, ...]
) -> Blueprint:
    """Serve whether work can be done, with the *ready* reasons why not, and the figures."""
    ops = Blueprint("readiness", __name__)

    @ops.get("/readyz")
    def readyz() -> Response:
        reasons = ready()
        return as_json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @ops.get("/metrics")
    def metrics() -> Response:
        text = b"".join(map(generate_latest, registries))
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return ops
