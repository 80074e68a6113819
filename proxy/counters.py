"""What the processes count, as one table: names, labels and meanings. Never an id, never a person.

A label is a name from the settings or a word from a closed list, so that there are few of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.errors import CODES
from proxy.tallies import Key, Tallies

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ANSWER_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
# Up to the 47 hours after which an answer that stays unknown is a person's matter.
_LATENESS_S = (0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 900.0, 3_600.0, 21_600.0, 169_200.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """One metric; with *buckets* it is a histogram of seconds."""

    name: str
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()
    falls: bool = False  # a gauge, which ends with its process


COUNTED = (
    Counted(
        "proxy_request_seconds",
        ("route", "status"),
        "Time that requests to the public listener took, by call and class of status.",
        _REQUEST_S,
    ),
    Counted(
        "proxy_requests_under_way",
        (),
        "Requests to the public listener that are being answered now.",
        falls=True,
    ),
    Counted("proxy_refused", ("code",), "Requests refused, by the code of their problem."),
    Counted(
        "proxy_choices",
        ("partner", "upstream", "choice"),
        "Messages recorded, by what they said; a replay is not counted again.",
    ),
    Counted(
        "proxy_choices_replayed",
        ("partner", "upstream"),
        "Messages that had been recorded before under the same id.",
    ),
    Counted(
        "proxy_attempts",
        ("partner", "upstream", "outcome", "reason"),
        "Attempts to report a decline, by how they ended.",
    ),
    Counted(
        "proxy_answer_seconds",
        ("upstream",),
        "Time that an attempt took, until the upstream's answer or the lack of one.",
        _ANSWER_S,
    ),
    Counted(
        "proxy_lateness_seconds",
        ("upstream",),
        "Time from when a report was due until the upstream had it.",
        _LATENESS_S,
    ),
    Counted(
        "proxy_permits_taken",
        ("credential",),
        "Permits of the pace used up, by credential, which goes by its first partner and upstream.",
    ),
    Counted(
        "proxy_warnings",
        ("event",),
        "Lines in the log from level warning on, by their event.",
    ),
)
# Shown as 0 from the start: the first one of a series that appears with it is no increase.
_EXPECTED = (
    *(("proxy_refused", code) for code in CODES),
    *(("proxy_warnings", f"storage.{word}") for word in ("failed", "refused", "broken", "damaged")),
    ("proxy_warnings", "lease.lost"),
)
_BY_NAME = {one.name: one for one in COUNTED}
_SUM = "sum"


class Counters(Collector):
    """Counts by the table above; one per process, on numbers that all of them share."""

    def __init__(self, tallies: Tallies | None = None) -> None:
        self._tallies = tallies or Tallies()
        for key in _EXPECTED:
            self._tallies.add(key, 0.0)

    def count(self, name: str, *labels: str) -> None:
        """Count one of *name*; *labels* in the order of the table."""
        self._tallies.add((name, *labels))

    def change(self, name: str, by: int) -> None:
        """Raise or lower what can fall."""
        self._tallies.add((name,), by)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Count one of *name* that took so many *seconds*."""
        buckets = _BY_NAME[name].buckets
        index = next((i for i, most in enumerate(buckets) if seconds <= most), len(buckets))
        self._tallies.add((name, *labels, str(index)))
        self._tallies.add((name, *labels, _SUM), seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the table, also those of which nothing has been counted."""
        sums: dict[str, dict[Key, float]] = {one.name: {} for one in COUNTED}
        for (name, *labels), value in self._tallies.sums().items():
            sums[name][tuple(labels)] = value
        for one in COUNTED:
            yield from _family(one, sums[one.name])


def falling() -> frozenset[str]:
    """Return the names of what ends with its process."""
    return frozenset(one.name for one in COUNTED if one.falls)


def _family(one: Counted, values: dict[Key, float]) -> Iterator[Metric]:
    if one.buckets:
        yield _histogram(one, values)
        return
    kind = GaugeMetricFamily if one.falls else CounterMetricFamily
    family = kind(one.name, one.text, labels=one.labels)
    for labels, value in (values or ({(): 0.0} if not one.labels else {})).items():
        family.add_metric(labels, value)
    yield family


def _histogram(one: Counted, values: dict[Key, float]) -> Metric:
    family = HistogramMetricFamily(one.name, one.text, labels=one.labels)
    for labels in sorted({key[:-1] for key in values}):
        buckets, total = [], 0.0
        for index, most in enumerate((*map(str, one.buckets), "+Inf")):
            total += values.get((*labels, str(index)), 0.0)
            buckets.append((most, total))
        family.add_metric(labels, buckets, values.get((*labels, _SUM), 0.0))
    return family
