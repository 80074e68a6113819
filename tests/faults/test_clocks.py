"""Clocks that are wrong, that step, and that have come far: C1 to C4 of the fault matrix."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from proxy.settings import load
from proxy.tokens import Keyring
from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import HOST, ORIGIN, Cluster
from tests.faults.conftest import Make
from tests.faults.register import change, read
from tests.faults.tracing import FakeClock

pytestmark = pytest.mark.thorough  # they wait for clocks, probes and disks

NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
TTL, LATE = 1800, 24 * 3600


def mint(cluster: Cluster, iat: int) -> str:
    """Return a token that the partner's server made at *iat* by its clock."""
    ring = Keyring.from_settings(load(cluster.config, {}))
    return ring.mint("ACME", offer=f"offer-{iat}", origin=ORIGIN, now=iat, ttl=TTL)


def tell(cluster: Cluster, token: str, at: int) -> requests.Response:
    """Tell a decline as the shop's page does, at *at* by the browser's clock (ms)."""
    told = {"token": token, "choice": "declined", "id": str(uuid4()), "seq": str(at), "at": str(at)}
    return requests.post(
        f"{cluster.url()}/v1/choices",
        data=told,
        headers={"Host": HOST, "Origin": ORIGIN},
        timeout=PATIENCE_S,
    )


def open_session(cluster: Cluster, offer: str) -> str:
    """Return a token that the proxy itself makes for the partner's server."""
    answer = requests.post(
        f"{cluster.url()}/v1/sessions",
        json={"offer": offer, "origin": ORIGIN},
        headers={
            "Host": HOST,
            "Authorization": f"Bearer {cluster.partners['ACME'].server_key}",
        },
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def judge_insurer(cluster: Cluster, skew_s: int) -> None:
    """Let the insurer refuse a `Date` that is further off than this."""
    insurer = cluster.processes["insurer-ACME"]
    insurer.kill()
    insurer.arguments += ["--clock-skew", str(skew_s)]
    insurer.start()
    until(lambda: insurer.log.read_text().count("sandbox ready") == 2, "the insurer")


@pytest.mark.parametrize("off", ["+600", "-600"])
def test_our_clock_is_ten_minutes_off(
    make_cluster: Make, database: str, off: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: the partner's server is believed, changed minds count in their order.

    A token of ours is good; a partner's fresh one is early for a clock that is late.
    """
    clock = FakeClock(tmp_path, off)
    cluster = make_cluster(database)
    with clock.put_on(monkeypatch):
        cluster.start()
    assert cluster.say("offer-1").json()["choice"] == "declined"
    assert cluster.say("offer-2").status_code == 202
    assert cluster.say("offer-2", "accepted").json()["choice"] == "accepted"
    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")

    now = datetime.now(UTC).timestamp()
    ours = tell(cluster, open_session(cluster, "offer-3"), round(now * 1000))
    theirs = tell(cluster, mint(cluster, round(now)), round(now * 1000))
    assert ours.status_code == 202
    if off == "+600":
        assert theirs.status_code == 202
    else:
        assert (theirs.status_code, theirs.json()["code"]) == (401, "token_not_yet_valid")


@pytest.mark.thorough
def test_the_insurer_refuses_our_date(
    make_cluster: Make, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: nothing dies of it: the credential pauses and rows wait until the clock is right.

    The probe's 30 s are taken off in the database.
    """
    clock = FakeClock(tmp_path, "+600")
    cluster = make_cluster(database)
    judge_insurer(cluster, 300)
    with clock.put_on(monkeypatch):
        cluster.start()
    offers = {f"offer-{number}" for number in range(5)}
    cluster.decline_all(sorted(offers))  # at once: one alone that is refused would be the culprit
    until(lambda: len(cluster.received()) == len(offers), "an answer to each")
    until(lambda: read(cluster, "SELECT 1 FROM buckets WHERE paused_at IS NOT NULL"), "a pause")
    until(lambda: reports(cluster) == {"due"}, "rows that wait")
    assert "Date header" in cluster.received()[0]["why_not"]

    clock.set("+0")
    change(cluster, "UPDATE buckets SET probe_at = probe_at - 30000")
    until(lambda: cluster.delivered() == offers, "every delivery")
    until(lambda: reports(cluster) == {"delivered"}, "every row")
    assert read(cluster, "SELECT 1 FROM buckets WHERE paused_at IS NOT NULL") == []


def reports(cluster: Cluster) -> set[str]:
    """Return where the reports stand."""
    return {row["report"] for row in read(cluster, "SELECT DISTINCT report FROM offers")}


AGES = [
    (60, None),
    (61, "token_not_yet_valid"),
    (-TTL - 60, None),
    (-TTL - LATE, None),
    (-TTL - LATE - 61, "token_expired"),
]


def test_partner_clocks_to_the_second(
    make_cluster: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2, on one engine, for no database is asked: a minute off is good, a second more is not."""
    cluster = make_cluster("sqlite:///optout.db")
    with FakeClock(tmp_path, "2026-11-21 12:00:00").put_on(monkeypatch):
        monkeypatch.setenv("TZ", "UTC")
        cluster.start()
    for off, code in AGES:
        iat = NOON + off
        answer = tell(cluster, mint(cluster, iat), iat * 1000)
        assert (answer.status_code, answer.json().get("code")) == (401 if code else 202, code), off


def test_a_clock_that_steps_back(
    make_cluster: Make, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: an hour back, during a lease and a backoff: both go on as if nothing had happened."""
    clock = FakeClock(tmp_path)
    cluster = make_cluster(database)
    with clock.put_on(monkeypatch):
        cluster.start()
    cluster.fault("status", match={"offer": "offer-1"}, status=503, times=2)
    cluster.fault("hang", match={"offer": "offer-2"}, seconds=1.0, times=1)
    cluster.say("offer-1")
    cluster.say("offer-2")
    until(lambda: cluster.received("offer-1") and cluster.received("offer-2"), "both requests")
    clock.set("-3600")
    assert cluster.say("offer-3").status_code == 202

    for offer in ("offer-1", "offer-2", "offer-3"):
        until(lambda offer=offer: cluster.offer(offer)["report"] == "delivered", offer)
    assert [len(cluster.received(f"offer-{number}")) for number in (1, 2, 3)] == [3, 1, 1]


@pytest.mark.thorough
def test_a_clock_that_steps_forth_and_back(
    make_cluster: Make, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C3: an hour forth ends no lease but by its own time, and nothing is sent twice for it."""
    clock = FakeClock(tmp_path)
    cluster = make_cluster(database)
    with clock.put_on(monkeypatch):
        cluster.start()
    cluster.fault("hang", seconds=2.0, times=1)
    cluster.say("offer-1")
    until(lambda: cluster.received("offer-1"), "the request")
    clock.set("+3600")
    until(lambda: cluster.received("offer-1")[0]["answered_at"], "the answer")
    clock.set("+0")

    until(lambda: cluster.offer("offer-1")["report"] == "delivered", "the delivery")
    assert len({entry["idempotency_key"] for entry in cluster.received("offer-1")}) == 1
    assert [entry["effect"] for entry in cluster.received("offer-1")].count(True) == 1
    assert cluster.say("offer-2").status_code == 202
    until(lambda: cluster.offer("offer-2")["report"] == "delivered", "the next delivery")


DAYS = {
    "2038": ("@2038-01-19 03:14:03", datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)),  # 2^31 s
    "2105": ("@2105-12-31 23:59:57", datetime(2106, 1, 1, tzinfo=UTC)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("day", DAYS)
def test_far_days(
    make_cluster: Make,
    database: str,
    day: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C4: tokens, declines and deliveries on both sides of the day, in UTC."""
    begin, turn = DAYS[day]
    cluster = make_cluster(database)
    monkeypatch.setenv("TZ", "UTC")
    with FakeClock(tmp_path, begin).put_on(monkeypatch):
        cluster.start()
    before = open_session(cluster, "offer-1")
    cluster.say("offer-2")
    until(lambda: now_of(cluster) > turn, "the day")
    at = round(now_of(cluster).timestamp() * 1000)
    assert tell(cluster, before, at).json()["choice"] == "declined"
    assert tell(cluster, open_session(cluster, "offer-3"), at).status_code == 202

    until(lambda: cluster.delivered() == {"offer-1", "offer-2", "offer-3"}, "every delivery")
    assert all(entry["verified"] for entry in cluster.received())
    assert {entry["headers"]["date"][12:16] for entry in cluster.received()} <= {
        begin[1:5],
        str(turn.year),
    }
    if cluster.is_embedded:  # PostgreSQL's clock is its own, and it is right
        assert read(cluster, "SELECT MAX(at) AS at FROM facts")[0]["at"] > turn.timestamp() * 1000


def now_of(cluster: Cluster) -> datetime:
    """Return what time it is for the web process: the `Date` of its answers."""
    date = requests.get(f"{cluster.url()}/healthz", timeout=PATIENCE_S).headers["Date"]
    return datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
