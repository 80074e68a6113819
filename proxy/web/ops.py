"""What orchestrators and monitors ask. The public listener knows only /healthz."""

from collections.abc import Callable, Iterator, Mapping

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from proxy.counters import Counters
from proxy.errors import StorageUnavailable
from proxy.web.answers import as_json

HEALTH = "/healthz"

Measure = Callable[[], Mapping[str, float]]
Reasons = Callable[[], list[str]]

# What the register's figures are called, the label of what follows the dot of one, and what it is.
FIGURES = {
    "deliveries": ("report", "Offers by where their report stands."),
    "dead_letters": ("partner", "Reports given up that wait for a person."),
    "conflicts": ("partner", "Offers whose record contradicts itself and waits for a person."),
    "oldest_due_seconds": ("", "For how long the report that waits longest has been due."),
    "credentials_paused": ("", "Credentials that the upstream refuses; their reports wait."),
    "credentials_throttled": ("", "Credentials that the upstream has told to slow down."),
    "credential_paused": ("credential", "1 while the upstream refuses this credential."),
    "oldest_unsealed_seconds": ("", "For how long the oldest fact has waited for its seal."),
    "seal_number": ("partner", "Number of the partner's newest seal."),
    "seal_timestamp_seconds": ("partner", "When the partner's newest seal was made."),
    "seal_hash": ("partner", "The first 48 bits of the newest seal's hash, as a number."),
    "figures_age_seconds": ("", "How old the figures read from the register are."),
    "figures_took_seconds": ("", "How long it took to read them."),
}
# What a process says of itself.
STATE = {
    "build_info": ("version", "1, with the version that runs."),
    "settings_alarm": ("", "1 while the newest settings are wrong and the old ones are in force."),
    "worker_standstill_seconds": ("", "Since when the delivery worker has not looked for work."),
    "permits_per_second": ("credential", "Permits of the pace a second; 0 is no limit."),
}
READABLE = "register_readable"
_ALL = FIGURES | STATE | {READABLE: ("", "1 if the register can be read.")}


class Refusals:
    """Counts refused requests by the code of their problem."""

    def __init__(
        self, registry: CollectorRegistry | None, counters: Counters | None = None
    ) -> None:
        self._counters = counters or Counters()
        if registry:
            registry.register(self._counters)

    def count(self, code: str) -> None:
        """Count one refusal; *code* is on the closed list, so that the labels stay few."""
        self._counters.count("proxy_refused", code)


class Figures(Collector):
    """Figures of the register or of this process: `deliveries.held` is `{report="held"}`."""

    def __init__(self, measure: Measure, *, of_register: bool = True) -> None:
        self._measure = measure
        self._of_register = of_register

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the figures; those of the register with whether it can be read."""
        try:
            figures = dict(self._measure())
        except StorageUnavailable:
            figures = {}
        if self._of_register:
            figures[READABLE] = float(bool(figures))
        yield from _families(figures)


def _families(figures: Mapping[str, float]) -> Iterator[GaugeMetricFamily]:
    families: dict[str, GaugeMetricFamily] = {}
    for figure, value in figures.items():
        name, _, word = figure.partition(".")
        label, text = _ALL[name]
        family = families.setdefault(
            name, GaugeMetricFamily(f"proxy_{name}", text, labels=[label] if label else [])
        )
        family.add_metric([word] if label else [], value)
    yield from families.values()


def health() -> Blueprint:
    """Serve the call that says that this process answers."""
    ops = Blueprint("health", __name__)

    @ops.get(HEALTH)
    def healthz() -> Response:
        return as_json({"healthy": True})

    return ops


def readiness(
    ready: Reasons, registries: tuple[CollectorRegistry, ...], warnings: Reasons | None = None
) -> Blueprint:
    """Serve whether work can be done, with the *ready* reasons why not, and the figures.

    *warnings* are what somebody should look at while work goes on; they turn no traffic away.
    """
    ops = Blueprint("readiness", __name__)

    @ops.get("/readyz")
    def readyz() -> Response:
        reasons = ready()
        answer = {"ready": not reasons, "reasons": reasons}
        told = {"warnings": warnings()} if warnings else {}
        return as_json(answer | told, 503 if reasons else 200)

    @ops.get("/metrics")
    def metrics() -> Response:
        text = b"".join(map(generate_latest, registries))
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return ops
