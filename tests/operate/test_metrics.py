"""What is counted is right, few in number, and documented."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from proxy.choices import Choice, Kind
from proxy.counters import COUNTED
from proxy.errors import CODES
from proxy.web.ops import FIGURES, READABLE, STATE
from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import Cluster
from tests.operate.watched import Monitor, a_cluster
from tests.test_docs import cells

PACED = {"ACME": {"rate_per_second": "50"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One `serve` on SQLite with a partner that has a pace."""
    with a_cluster(tmp_path_factory.mktemp("metrics"), partners=PACED) as cluster:
        cluster.start_web()
        yield cluster


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """The same, for a test that counts what others would bring along."""
    with a_cluster(tmp_path, partners=PACED) as cluster:
        cluster.start_web()
        yield cluster


@pytest.fixture
def monitor(served: Cluster) -> Monitor:
    """What reads its metrics."""
    return Monitor(served.admin_url())


# -- the documents ----------------------------------------------------------------------------


def meant() -> dict[str, tuple[list[str], str]]:
    """Return by name what the code says of each metric: its labels and its meaning."""
    found: dict[str, tuple[list[str], str]] = {}
    for one in COUNTED:
        counter = not one.buckets and not one.falls
        found[f"{one.name}_total" if counter else one.name] = (list(one.labels), one.text)
    for name, (label, text) in (FIGURES | STATE).items():
        found[f"proxy_{name}"] = ([label] if label else [], text)
    found[f"proxy_{READABLE}"] = ([], "1 if the register can be read.")
    return found


def test_every_metric_is_documented_and_none_is_invented() -> None:
    """docs/reference/metrics.md has each with its labels, in the words that /metrics has."""
    rows = [row for row in cells("docs/reference/metrics.md") if row[0].startswith("`proxy_")]
    told = {row[0].strip("`"): (re.findall(r"`(\w+)`", row[1]), row[2]) for row in rows}

    assert told == meant()
    assert len(rows) == len(told)


def test_what_is_shown_is_what_is_documented(served: Cluster, monitor: Monitor) -> None:
    """Every line of a running process belongs to a metric of the page."""
    served.say("shown")
    until(lambda: served.offer("shown")["report"] == "delivered", "the delivery")
    shown = {name for name, _ in monitor.series()}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}

    assert bare <= set(meant())
    assert set(meant()) - bare <= {
        *(f"proxy_{name}" for name in ("dead_letters", "conflicts")),
        *(f"proxy_seal_{name}" for name in ("number", "timestamp_seconds", "hash")),
        "proxy_choices_replayed_total",
    }


def bought_only(cluster: Cluster, offer: str) -> int:
    """Tell a purchase, and no choice with it; return the status."""
    told = {"offer": offer, "id": str(uuid4()), "seq": 5, "at": 5, "purchased": True}
    url, headers = f"{cluster.url()}/v1/choices", cluster.headers()
    return requests.post(url, json=told, headers=headers, timeout=PATIENCE_S).status_code


# -- what is counted --------------------------------------------------------------------------


def growth(monitor: Monitor, name: str, **labels: str) -> Callable[[], float]:
    """Return a function that tells by how much a count has grown since now."""
    before = monitor.total(name, **labels)
    return lambda: monitor.total(name, **labels) - before


def test_choices_are_counted_once_by_what_they_say(served: Cluster, monitor: Monitor) -> None:
    """A replay is a replay, in a batch as well."""
    pair = {"partner": "ACME", "upstream": "tickets"}
    grown = {word: growth(monitor, "proxy_choices_total", choice=word, **pair) for word in Choice}
    bought = growth(monitor, "proxy_choices_total", choice="purchase", **pair)
    replayed = growth(monitor, "proxy_choices_replayed_total", **pair)
    message = "00000000-0000-4000-8000-000000000001"

    for choice in Choice:
        served.say(f"once-{choice}", choice)
    for _ in range(3):
        assert served.say("again", id=message, seq=5, at=5).status_code == 202
    served.decline_all([f"batch-{number}" for number in range(10)])
    assert bought_only(served, "bought") == 202

    assert {word: count() for word, count in grown.items()} == {
        Choice.UNDECIDED: 1,
        Choice.DECLINED: 12,
        Choice.ACCEPTED: 1,
    }
    assert (bought(), replayed()) == (1, 2)


def test_attempts_are_counted_by_how_they_end(alone: Cluster) -> None:
    """With the time of the answer, the permit that each used up, and how late the report was."""
    monitor = Monitor(alone.admin_url())
    pair = {"partner": "ACME", "upstream": "tickets"}
    failed = growth(monitor, "proxy_attempts_total", outcome="transient", **pair)
    refused = growth(monitor, "proxy_attempts_total", reason="offer_not_found", **pair)
    delivered = growth(monitor, "proxy_attempts_total", outcome="delivered", **pair)
    permits = growth(monitor, "proxy_permits_taken_total", credential="ACME/tickets")
    answers = growth(monitor, "proxy_answer_seconds_count", upstream="tickets")
    late = growth(monitor, "proxy_lateness_seconds_count", upstream="tickets")
    alone.fault("status", status=503, times=1, match={"offer": "late"})
    alone.fault("status", status=404, times=1, match={"offer": "gone"})
    alone.say("late")
    alone.say("gone")

    until(lambda: alone.offer("late")["report"] == "delivered", "the second attempt")
    until(lambda: alone.offer("gone")["report"] == "dead", "the dead letter")
    assert (failed(), refused(), delivered()) == (1, 1, 1)
    assert (permits(), answers(), late()) == (3, 3, 1)
    assert monitor.total("proxy_permits_per_second", credential="ACME/tickets") == 50
    assert monitor.total("proxy_lateness_seconds_sum", upstream="tickets") > 0
    until(lambda: monitor.total("proxy_dead_letters", partner="ACME") == 1, "it to be counted")


def test_requests_are_counted_by_call_and_class(served: Cluster, monitor: Monitor) -> None:
    """An address that somebody made up is no label."""
    name = "proxy_request_seconds_count"
    taken = growth(monitor, name, route="/v1/choices", status="2xx")
    unknown = growth(monitor, name, route="none", status="4xx")
    code = growth(monitor, "proxy_refused_total", code="not_found")
    served.say("one")
    for number in range(5):
        url = f"{served.url()}/made/up/{number}"
        assert requests.get(url, headers=served.headers(), timeout=PATIENCE_S).status_code == 404

    assert (taken(), unknown(), code()) == (1, 5, 5)
    routes = {dict(labels).get("route") for _, labels in monitor.series()} - {None}
    assert not any("made" in str(route) for route in routes)


def test_what_is_erased_lowers_no_count(served: Cluster, monitor: Monitor) -> None:
    """The register forgets; what has been counted has happened."""
    served.say("erased")
    until(lambda: served.offer("erased")["report"] == "delivered", "the delivery")
    counts = [one for one in monitor.series() if one[0].endswith(("_total", "_count"))]
    before = {one: monitor.series()[one] for one in counts}
    status, said = served.command(
        "erase", "--partner", "ACME", "--offer", "erased", "--upstream", "tickets", "--yes"
    )

    assert status == 0, said
    after = monitor.series()
    assert [one for one, value in before.items() if after[one] < value] == []


def test_no_label_is_an_id(served: Cluster, monitor: Monitor) -> None:
    """Whatever is asked and told, the labels are names of the settings and closed words."""
    served.say("offer-in-no-label", metadata={"note": "word-in-no-label"})
    served.offer("unknown-in-no-label")
    words: dict[str, set[str]] = {}
    for _, labels in monitor.series():
        for label, word in labels:
            words.setdefault(label, set()).add(word)

    assert "in-no-label" not in monitor.text()
    assert words["partner"] == {"ACME"}
    assert words["upstream"] == {"tickets"}
    assert words["code"] <= set(CODES)
    assert words["outcome"] <= set(Kind)
    assert words["choice"] <= {*Choice, "purchase"}
