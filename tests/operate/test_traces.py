"""Traces, taken by a collector from real processes through OpenTelemetry's own exporter."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, Process, free_port, until
from tests.faults.cluster import ORIGIN, Cluster
from tests.faults.postgres import a_server
from tests.operate.collector import Collector, Seen
from tests.operate.watched import a_cluster

SERVER, CLIENT, ERROR = 2, 3, 2  # as OTLP numbers kinds and states
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{CALLER}-00f067aa0ba902b7-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """What takes the spans."""
    with Collector() as collector:
        yield collector


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """The collector, named to every process that the test starts."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    return collector


@pytest.fixture
def served(tmp_path: Path, traced: Collector) -> Iterator[Cluster]:
    """One `serve` on SQLite that traces."""
    assert traced.url
    with a_cluster(tmp_path) as cluster:
        cluster.start_web()
        yield cluster


def say(cluster: Cluster, offer: str, traceparent: str) -> int:
    """Tell a decline as a server that is traced itself."""
    now = int(time.time() * 1000)
    told = {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
    headers = cluster.headers() | {"traceparent": traceparent}
    url = f"{cluster.url()}/v1/choices"
    return requests.post(url, json=told, headers=headers, timeout=PATIENCE_S).status_code


def say_from_page(cluster: Cluster, offer: str, traceparent: str) -> int:
    """Tell a decline as the page does, with a header that no page could send."""
    minted = requests.post(
        f"{cluster.url()}/v1/sessions",
        json={"offer": offer, "origin": ORIGIN},
        headers=cluster.headers(),
        timeout=PATIENCE_S,
    )
    now = int(time.time() * 1000)
    form = {"choice": "declined", "id": str(uuid4()), "seq": now, "at": now}
    headers = {"Host": cluster.headers()["Host"], "Origin": ORIGIN, "traceparent": traceparent}
    return requests.post(
        f"{cluster.url()}/v1/choices",
        data=form | {"token": minted.json()["token"]},
        headers=headers,
        timeout=PATIENCE_S,
    ).status_code


def one(collector: Collector, name: str, **attributes: object) -> Seen:
    """Wait for the one span called *name* that has *attributes*."""
    (found,) = until(lambda: collector.named(name, **attributes), name)
    assert isinstance(found, Seen)
    return found


def test_a_decline_is_one_trace_from_the_page_to_the_insurer(
    served: Cluster, traced: Collector
) -> None:
    """Request, commit and attempt; a page's own header decides nothing."""
    assert say_from_page(served, "offer-1", PARENT) == 202
    attempt = one(traced, "report decline")
    record = one(traced, "record choice", choice="declined")
    request = one(traced, "POST /v1/choices")

    assert {attempt.trace, record.trace, request.trace} == {request.trace}
    assert request.trace != CALLER
    assert (request.parent, record.parent, attempt.parent) == ("", request.span, "")
    assert (request.kind, attempt.kind) == (SERVER, CLIENT)
    assert request.began <= record.began <= record.ended <= request.ended
    assert record.ended <= attempt.began <= attempt.ended
    assert attempt.attributes["http.response.status_code"] == 204
    assert attempt.attributes["optout.attempt"] == 1
    assert request.attributes["http.response.status_code"] == 202
    assert request.resource["service.name"] == "optout-proxy"


def test_a_server_that_is_traced_keeps_its_trace(served: Cluster, traced: Collector) -> None:
    """The request is in the caller's trace, the record in the offer's, each linked to the other."""
    assert say(served, "offer-1", PARENT) == 202
    attempt = one(traced, "report decline")
    record = one(traced, "record choice")
    request = one(traced, "POST /v1/choices")

    assert (request.trace, request.parent) == (CALLER, "00f067aa0ba902b7")
    assert record.trace == attempt.trace != CALLER
    assert record.links == {CALLER}
    assert request.links == {attempt.trace}


def test_a_stranger_chooses_no_trace(served: Cluster, traced: Collector) -> None:
    """Only who has proved who it is may say to which trace a request belongs."""
    headers = {"Authorization": "Bearer osk_live_wrong", "traceparent": PARENT}
    host = {"Host": served.headers()["Host"]}
    url = f"{served.url()}/v1/choices"
    answer = requests.post(url, json={}, headers=headers | host, timeout=PATIENCE_S)
    request = one(traced, "POST /v1/choices")

    assert answer.status_code == 401
    assert (request.trace == CALLER, request.attributes["optout.code"]) == (
        False,
        "server_key_invalid",
    )


def test_an_attempt_that_fails_says_how(served: Cluster, traced: Collector) -> None:
    """All attempts of an offer are in its one trace."""
    served.fault("status", status=503, times=1)
    served.say("offer-1")
    until(lambda: len(traced.named("report decline")) == 2, "two attempts")
    first, second = sorted(traced.named("report decline"), key=lambda span: span.began)

    assert first.trace == second.trace
    assert (first.status, second.status) == (ERROR, 0)
    assert first.attributes["optout.reason"] == "upstream_unavailable"


def test_a_batch_has_a_record_in_every_offers_trace(served: Cluster, traced: Collector) -> None:
    """One request, many offers, each in a trace of its own."""
    served.decline_all([f"offer-{number}" for number in range(5)])
    request = one(traced, "POST /v1/choices/batch")
    until(lambda: len(traced.named("report decline")) == 5, "the attempts")
    records = traced.named("record choice")

    assert {span.trace for span in records} == {
        span.trace for span in traced.named("report decline")
    }
    assert all(span.links == {request.trace} for span in records)
    assert len(request.links) == len(records) == 5


def test_web_and_worker_agree_without_a_word(
    tmp_path: Path, collector: Collector, traced: Collector
) -> None:
    """Two processes that share a register and the audit key make one trace."""
    with a_server() as server, a_cluster(tmp_path, server.create_database("traces")) as cluster:
        cluster.start_web("web", "--no-worker")
        cluster.start_worker("work")
        cluster.say("offer-1")
        attempt, record = one(traced, "report decline"), one(collector, "record choice")

    assert attempt.trace == record.trace


def test_no_span_holds_what_a_customer_or_a_shop_wrote(served: Cluster, traced: Collector) -> None:
    """Neither the offer nor an order, neither metadata nor a key; names, words and numbers."""
    served.say("offer-hidden", metadata={"note": "note-hidden"}, purchased=True, order="O-hidden")
    requests.get(f"{served.url()}/made/hidden?x=hidden", headers=served.headers(), timeout=5)
    one(traced, "report decline")
    one(traced, "GET none")
    sent = b"".join(traced.raw)

    assert b"hidden" not in sent
    for secret in (served.partners["ACME"].server_key, served.partners["ACME"].api_secret, "key-1"):
        assert secret.encode() not in sent


def test_the_insurer_is_told_of_no_trace(served: Cluster, traced: Collector) -> None:
    """Our own matters are none of its."""
    served.say("offer-1")
    one(traced, "report decline")
    (entry,) = served.received("offer-1")

    assert "traceparent" not in str(entry).lower()


def test_a_collector_that_is_away_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Declines are taken, delivered and the process stops, all as without it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with a_cluster(tmp_path) as cluster:
        process = cluster.start_web()
        assert cluster.say("offer-1").status_code == 202
        until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")

        assert process.stop() == 0


def test_what_is_left_is_sent_at_the_end(
    tmp_path: Path, traced: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is asked to stop keeps no span to itself."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    with a_cluster(tmp_path) as cluster:
        process = cluster.start_web()
        cluster.say("offer-1")
        until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")
        assert traced.named("report decline") == []
        assert process.stop() == 0

    assert len(traced.named("report decline")) == 1


OFF = [
    {},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
]
ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize("environ", [*OFF, ON], ids=["unset", "disabled", "no exporter", "on"])
def test_what_is_off_is_not_even_loaded(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter's library is in the memory of a process that traces, and of no other."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with a_cluster(tmp_path) as cluster:
        process = cluster.start_web()
        assert process.child is not None
        (child,) = psutil.Process(process.child.pid).children()
        mapped = Path(f"/proc/{child.pid}/maps").read_text()

    assert "sqlalchemy" in mapped
    assert ("google/_upb" in mapped) == (environ == ON)


def test_traces_without_their_packages_are_refused_plainly(tmp_path: Path) -> None:
    """One sentence that says how to mend it, before anything starts."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").touch()  # the name, and nothing behind it
    with a_cluster(tmp_path) as cluster:
        process = Process(
            ["serve", "--config", str(cluster.config), "--bind", f"127.0.0.1:{free_port()}"],
            tmp_path / "refused.log",
            {**ON, "PYTHONPATH": str(tmp_path)},
        )
        process.start()
        assert process.child is not None
        status = process.child.wait(PATIENCE_S)

    assert status == 2
    assert "optout-proxy[otel]" in process.log.read_text().splitlines()[-1]
