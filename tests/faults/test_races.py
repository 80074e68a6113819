"""Things that happen at the same time, on real processes: R1 to R5 of the fault matrix."""

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import HOST, Cluster
from tests.faults.conftest import Make
from tests.faults.postgres import Postgres
from tests.faults.register import kinds, read
from tests.faults.tracing import message

ENDED = {"delivered", "cancelled"}


def at_once(clients: int, act: Callable[[int], Any]) -> list[Any]:
    """Call *act* in so many threads, which begin together; return what each returned."""
    barrier = threading.Barrier(clients)

    def take_part(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(clients) as threads:
        return list(threads.map(take_part, range(clients)))


def say_at_once(
    cluster: Cluster, messages: list[dict[str, Any]], names: tuple[str, ...] = ("web",)
) -> list[requests.Response]:
    """Tell *messages* at the same moment, to the web processes in turn."""
    return at_once(len(messages), lambda n: cluster.say(web=names[n % len(names)], **messages[n]))


def test_fifty_identical_messages_at_once(make_cluster: Make, database: str) -> None:
    """R1: one row, one fact, one delivery; to two web processes on PostgreSQL."""
    cluster = make_cluster(database)
    cluster.start()
    names: tuple[str, ...] = ("web",)
    if not cluster.is_embedded:
        cluster.start_web("other", "--no-worker")
        names = ("web", "other")
    for number in range(2):
        told = message(f"offer-{number}")
        answers = say_at_once(cluster, [told] * 50, names)

        assert {answer.status_code for answer in answers} == {202}
        assert [answer.json()["replayed"] for answer in answers].count(False) == 1
        query = "SELECT id FROM facts WHERE message = :id"
        assert len(read(cluster, query, id=told["id"])) == 1
    until(lambda: len(cluster.delivered()) == 2, "every delivery")
    assert len(cluster.received()) == 2
    assert len(read(cluster, "SELECT id FROM offers")) == 2


def say_all(cluster: Cluster, offers: Iterable[str]) -> None:
    """Tell a decline of each offer in one call and one commit."""
    lines = [message(offer) for offer in offers]
    answer = requests.post(
        f"{cluster.url()}/v1/choices/batch",
        data="".join(f"{json.dumps(line)}\n" for line in lines),
        headers={
            "Host": HOST,
            "Authorization": f"Bearer {cluster.partners['ACME'].server_key}",
            "Content-Type": "application/jsonl",
        },
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.postgres
def test_workers_share_what_is_due(make_cluster: Make, shared_postgres: Postgres) -> None:
    """R2, PostgreSQL only, for SQLite has one worker: each row is claimed by one of them, once."""
    cluster = make_cluster(shared_postgres.create_database(f"race_{uuid4().hex}"))
    cluster.start_web("web", "--no-worker")
    cluster.fault("hang", seconds=0.2)
    offers = {f"offer-{number}" for number in range(320)}
    say_all(cluster, sorted(offers))
    workers = [cluster.start_worker(name) for name in ("first", "second")]
    until(lambda: cluster.delivered() == offers, "every delivery")
    until(lambda: reports(cluster) == {"delivered"}, "every row")

    counted = "SELECT COUNT(*) AS claims FROM facts WHERE kind = 'delivery.claimed'"
    assert read(cluster, counted) == [{"claims": 320}]
    assert read(cluster, "SELECT DISTINCT attempts FROM offers") == [{"attempts": 1}]
    assert len(cluster.received()) == 320
    sent = [worker.log.read_text().count("attempt.finished") for worker in workers]
    assert sum(sent) == 320
    assert min(sent) > 0  # or it was no race


def reports(cluster: Cluster) -> set[str]:
    """Return where the reports stand."""
    return {row["report"] for row in read(cluster, "SELECT DISTINCT report FROM offers")}


def race(cluster: Cluster, offers: int, *, seed: int) -> None:
    """Decline each offer, and accept it at any moment of its claim and its delivery."""
    dice = random.Random(seed)
    pauses = [dice.random() * 0.03 for _ in range(offers)]

    def decline_and_accept(number: int) -> None:
        offer = f"offer-{number}"
        told = message(offer)
        assert cluster.say(**told).status_code == 202
        time.sleep(pauses[number])
        assert cluster.say(offer, "accepted", seq=told["seq"] + 1).status_code == 202

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(decline_and_accept, range(offers)))


def judge_race(cluster: Cluster, offers: int) -> dict[str, int]:
    """No claim follows an acceptance, and every state is one that could come of it."""
    until(lambda: reports(cluster) <= ENDED, "an end of everything")
    facts = read(cluster, "SELECT offer_id, kind, said FROM facts ORDER BY offer_id, ordinal")
    accepted: set[int] = set()
    for fact in facts:
        if fact["said"] == "accepted":
            accepted.add(fact["offer_id"])
        assert fact["kind"] != "delivery.claimed" or fact["offer_id"] not in accepted
    assert len(accepted) == offers

    effects = cluster.delivered()
    rows = read(cluster, "SELECT offer, choice, report, conflicts, attempts FROM offers")
    for row in rows:
        assert row["choice"] == "accepted"
        if row["report"] == "delivered":
            assert row["offer"] in effects
            assert row["conflicts"] == "acceptance"
        else:
            assert (row["offer"] in effects) == (row["conflicts"] == "acceptance"), row
    ended = [row["report"] for row in rows]
    return {report: ended.count(report) for report in ENDED}


@pytest.mark.thorough
def test_acceptances_against_claims(make_cluster: Make, database: str) -> None:
    """R3: after an acknowledged acceptance nothing is claimed for sending."""
    cluster = make_cluster(database, partners={"ACME": {"settle": '"10ms"'}})
    cluster.start()
    race(cluster, 120, seed=1)
    assert min(judge_race(cluster, 120).values()) > 0  # or it was no race


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_acceptances_against_claims(
    make_cluster: Make, database: str, seed: int
) -> None:
    """R3: many times, while the insurer is slow, fails and hangs up."""
    cluster = make_cluster(database, partners={"ACME": {"settle": '"10ms"'}})
    cluster.start()
    cluster.fault("status", status=503, chance=0.1)
    cluster.fault("lost_answer", chance=0.1)
    cluster.fault("hang", seconds=0.05)
    race(cluster, 2000, seed=seed)
    assert min(judge_race(cluster, 2000).values()) > 0


ORDERS = {"declined": ["accepted", "declined"], "accepted": ["declined", "accepted"]}


def test_choices_in_any_order(make_cluster: Make, database: str) -> None:
    """R4: eight choices of one offer at once: the highest seq wins, and an acceptance a tie."""
    cluster = make_cluster(database, partners={"ACME": {"report_on": '"purchase"'}})
    cluster.start()
    dice = random.Random(4)
    for number, last in enumerate(["declined", "accepted", "tie"] * 4):
        told = [message(f"offer-{number}", choice) for choice in ORDERS.get(last, [*ORDERS]) * 4]
        for step, one in enumerate(told):
            one["seq"] = told[0]["seq"] + (0 if last == "tie" else step)
        dice.shuffle(told)
        answers = say_at_once(cluster, told)

        assert {answer.status_code for answer in answers} == {202}
        wins = "accepted" if last == "tie" else last
        assert cluster.offer(f"offer-{number}")["choice"] == wins
        assert kinds(cluster, f"offer-{number}") == ["choice.recorded"] * 8


class Flapping:
    """Settings that change all the time between two complete sets, each with a SIGHUP.

    ACME reports to its own insurer with its own secret, or to the other's with the other's.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        own = cluster.config.read_text()
        acme, other = (cluster.partners[name] for name in ("ACME", "OTHER"))
        borrowed = own.replace(acme.insurer, other.insurer).replace(
            '"ACME.secret"', '"OTHER.secret"'
        )
        self._sets = (own, borrowed)
        self.changes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _change(self) -> None:
        fresh = self._cluster.config.with_suffix(".new")
        while not self._stopped.wait(0.02):
            self.changes += 1
            fresh.write_text(self._sets[self.changes % 2])
            fresh.replace(self._cluster.config)
            for name in {"web", "work-0"} & self._cluster.processes.keys():
                child = self._cluster.processes[name].child
                assert child is not None
                child.send_signal(signal.SIGHUP)


def test_settings_that_change_under_load(make_cluster: Make, database: str) -> None:
    """R5: each request belongs to the one set or the other; none meets a key of the wrong host."""
    cluster = make_cluster(database, partners={"ACME": {}, "OTHER": {}})
    cluster.start()
    with Flapping(cluster) as settings, ThreadPoolExecutor(4) as clients:
        offers = [f"offer-{number}" for number in range(150)]
        answers = [answer.status_code for answer in clients.map(cluster.say, offers)]
        until(lambda: settings.changes >= 40, "many changes")
    assert set(answers) == {202}
    until(lambda: reports(cluster) == {"delivered"}, "every row")

    seen = [cluster.received(partner=name) for name in ("ACME", "OTHER")]
    assert all(seen)  # both sets were in force
    entries = [entry for entries in seen for entry in entries]
    assert [entry["why_not"] for entry in entries if not entry["verified"]] == []
    assert sorted(entry["offer"] for entry in entries) == sorted(offers)
    assert "settings.refused" not in cluster.logs()
