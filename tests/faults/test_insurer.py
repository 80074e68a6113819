"""An insurer that refuses, breaks off or babbles: every decline arrives, and has one effect.

All tests share one deployment on each engine; every one has a partner, so an insurer, of its own.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.postgres import Postgres
from tests.faults.register import all_are, attempts, read, reports, until_delivered
from tests.faults.special_clusters import assert_one_effect, running
from tests.upstream.raw_server import RawServer, reply

# What goes wrong once: the fault, the word for it, and whether the insurer may have acted on it.
BROKEN: dict[str, tuple[dict[str, Any], str, bool]] = {
    "reset": ({"fault": "reset"}, "connection_lost", True),
    "close": ({"fault": "close"}, "connection_lost", True),
    "lost": ({"fault": "lost_answer"}, "connection_lost", True),
    "reset-mid": ({"fault": "reset_mid"}, "answer_cut", True),
    "truncated": ({"fault": "truncated"}, "answer_cut", True),
    "gzip-bomb": ({"fault": "gzip_bomb", "megabytes": 20}, "answer_compressed", True),
    "big-header": ({"fault": "big_header"}, "answer_unreadable", True),
    "endless": ({"fault": "endless"}, "answer_too_large", True),
    "garbage": ({"fault": "garbage"}, "answer_unreadable", True),
    "internal": ({"fault": "status", "status": 500}, "upstream_error", True),
    "internal-after": ({"fault": "status", "status": 500, "effect": True}, "upstream_error", True),
    "bad-gateway": ({"fault": "status", "status": 502}, "upstream_error", True),
    "gateway-late": ({"fault": "status", "status": 504}, "upstream_error", True),
    "unavailable": ({"fault": "status", "status": 503}, "upstream_unavailable", False),
    "locked": ({"fault": "status", "status": 423}, "locked", True),
    "request-late": ({"fault": "status", "status": 408}, "request_timeout", False),
    "too-early": ({"fault": "status", "status": 425}, "too_early", False),
}

# What is definite: no other attempt may follow.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bad-request": ({"fault": "status", "status": 400}, "refused"),
    "not-found": ({"fault": "status", "status": 404}, "offer_not_found"),
    "gone": ({"fault": "status", "status": 410}, "offer_gone"),
    "unprocessable": ({"fault": "status", "status": 422}, "refused"),
    "teapot": ({"fault": "status", "status": 418}, "unexpected_status"),
    "page": ({"fault": "html", "status": 200}, "unexpected_status"),
    **{
        f"redirect-{status}": ({"fault": "redirect", "status": status}, "redirected")
        for status in (301, 302, 303, 307, 308)
    },
}


WAITS: dict[str, dict[str, Any]] = {
    "SECONDS": {"retry_after": "2"},
    "DATE": {"date_in": 3},  # a date has no fractions: two seconds at least
    "JUNK": {"retry_after": "soon"},
    "AGES": {"retry_after": "999999999"},
}
PARTNERS = ("CALM", "BROKEN", "REFUSED", "ABSENT", "FORBIDDEN", "POISONED", "SLOW", *WAITS)


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)],
)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A web process with the worker inside, and an insurer for each test, on each engine."""
    url = "sqlite:///optout.db"
    if request.param != "sqlite":
        server: Postgres = request.getfixturevalue("shared_postgres")
        url = server.create_database("insurers")
    folder = tmp_path_factory.mktemp("insurers")
    with running(Cluster(folder, url, partners={name: {} for name in PARTNERS})) as cluster:
        cluster.start_web()
        yield cluster


def test_a_broken_answer_is_asked_for_again(cluster: Cluster) -> None:
    """After a broken answer the same key and body go out again, to one effect in all."""
    for offer, (rule, _, _) in BROKEN.items():
        cluster.fault(**rule, partner="BROKEN", match={"offer": offer}, times=1)

    cluster.decline_all([*BROKEN, "sound"], "BROKEN")

    until_delivered(cluster, "BROKEN")
    assert len(cluster.received("sound", "BROKEN")) == 1
    for offer, (_, reason, doubtful) in BROKEN.items():
        first, second = attempts(cluster, offer, "BROKEN")
        sent = cluster.received(offer, "BROKEN")
        assert (first["outcome"], second["report"]) == (reason, "delivered"), offer
        assert len(sent) == cluster.offer(offer, partner="BROKEN")["attempts"] == 2, offer
        assert_one_effect(sent)
        assert second["status"] == (409 if sent[0]["effect"] else 204), offer
        assert (offer in _doubtful(cluster, "BROKEN")) is doubtful, offer


def _doubtful(cluster: Cluster, partner: str) -> set[str]:
    """Return the offers that an attempt was made for whose answer is unknown."""
    query = "SELECT offer FROM offers WHERE partner = :p AND unknown_at IS NOT NULL"
    return {row["offer"] for row in read(cluster, query, p=partner)}


def test_a_refused_decline_is_dead_at_once(cluster: Cluster) -> None:
    """A definite no is asked for once, disturbs nobody, and can be requeued under a new key."""
    with RawServer(reply(204)) as elsewhere:
        for offer, (rule, _) in REFUSED.items():
            there = {"location": f"{elsewhere.url}/x"} if rule["fault"] == "redirect" else {}
            cluster.fault(**rule, **there, partner="REFUSED", match={"offer": offer})
        cluster.decline_all([*REFUSED, "sound"], "REFUSED")
        until(lambda: not {"due", "sending"} & set(reports(cluster, "REFUSED").values()), "answers")
        assert elsewhere.connections == 0

    assert reports(cluster, "REFUSED") == dict.fromkeys(REFUSED, "dead") | {"sound": "delivered"}
    for offer, (_, reason) in REFUSED.items():
        [only] = attempts(cluster, offer, "REFUSED")
        assert (only["kind"], only["outcome"]) == ("delivery.dead", reason), offer
    _requeue_all(cluster)


def _requeue_all(cluster: Cluster) -> None:
    cluster.heal("REFUSED")
    before = {offer: cluster.received(offer, "REFUSED") for offer in REFUSED}
    assert [len(sent) for sent in before.values()] == [1] * len(REFUSED)

    status, said = cluster.command("deliveries", "requeue", "--all", "--partner", "REFUSED")

    assert status == 0, said
    until_delivered(cluster, "REFUSED")
    for offer, [first] in before.items():
        _, second = cluster.received(offer, "REFUSED")
        assert second["idempotency_key"] != first["idempotency_key"]


def test_an_insurer_that_is_not_there(cluster: Cluster) -> None:
    """Refused connections cost nothing but time: intake goes on, and nothing is in doubt."""
    insurer = cluster.processes["insurer-ABSENT"]
    insurer.kill()
    offers = [f"offer-{number}" for number in range(20)]

    cluster.decline_all(offers, "ABSENT")
    until(lambda: attempts(cluster, offers[-1], "ABSENT"), "an attempt")
    assert cluster.say("later", partner="ABSENT").status_code == 202
    assert cluster.ready()[0] == 200
    insurer.start()

    until_delivered(cluster, "ABSENT")
    for offer in [*offers, "later"]:
        *failed, last = attempts(cluster, offer, "ABSENT")
        assert {one["outcome"] for one in failed} <= {"not_connected"}
        assert last["status"] == 204
        assert len(cluster.received(offer, "ABSENT")) == 1
    assert _doubtful(cluster, "ABSENT") == set()


def test_a_429_shuts_the_credential_for_as_long_as_it_says(cluster: Cluster) -> None:
    """Seconds, a date, junk and ages: nothing leaves before, and no attempt is used up."""
    for name, wait in WAITS.items():
        cluster.fault("status", partner=name, status=429, times=1, **wait)
        assert cluster.say("first", partner=name).status_code == 202
    for name in WAITS:
        until(lambda one=name: attempts(cluster, "first", one), "the 429")
        cluster.decline_all(["second", "third"], name)
    _assert_calm(cluster, "during-429")

    for name in ("SECONDS", "DATE", "JUNK"):
        until_delivered(cluster, name)
        refused, *later = cluster.received(partner=name)
        assert (refused["status"], len(later)) == (429, 3)
        assert min(one["received_at"] for one in later) >= refused["answered_at"] + 1990
        assert cluster.offer("first", partner=name)["attempts"] == 1
    _assert_shut_for_ages(cluster)


def _assert_calm(cluster: Cluster, offer: str) -> None:
    """Hold another partner's decline to arrive at the first attempt."""
    assert cluster.say(offer, partner="CALM").status_code == 202
    until_delivered(cluster, "CALM")
    assert len(cluster.received(offer, "CALM")) == 1


def _assert_shut_for_ages(cluster: Cluster) -> None:
    """Hold a `Retry-After` of years to what we clamp it to."""
    [refused] = cluster.received(partner="AGES")
    [row] = read(cluster, "SELECT MAX(shut_until) AS until FROM buckets")
    quarter = 15 * 60 * 1000
    assert quarter - 1000 < row["until"] - refused["answered_at"] <= quarter + 60_000
    assert set(reports(cluster, "AGES").values()) == {"due"}


def test_a_403_pauses_one_credential_only(cluster: Cluster) -> None:
    """Its rows wait and are kept, what is declined meanwhile too; another partner sees nothing."""
    cluster.fault("status", partner="FORBIDDEN", status=403)
    cluster.say("first", partner="FORBIDDEN")
    until(lambda: attempts(cluster, "first", "FORBIDDEN"), "the 403")
    [refused] = attempts(cluster, "first", "FORBIDDEN")
    assert (refused["outcome"], refused["report"]) == ("forbidden", "due")

    cluster.decline_all([f"later-{number}" for number in range(20)], "FORBIDDEN")
    _assert_calm(cluster, "during-403")

    assert len(cluster.received(partner="FORBIDDEN")) == 1
    assert set(reports(cluster, "FORBIDDEN").values()) == {"due"}


def test_a_poison_decline_among_many(cluster: Cluster) -> None:
    """One that always fails is tried again and again, and delays none of the others."""
    cluster.fault("status", partner="POISONED", status=500, match={"offer": "poison"})
    offers = [f"offer-{number}" for number in range(200)]

    cluster.decline_all([*offers[:100], "poison", *offers[100:]], "POISONED")

    until(lambda: cluster.delivered("POISONED") == set(offers), "all the others")
    until(lambda: len(attempts(cluster, "poison", "POISONED")) > 1, "the poison one, again")
    assert reports(cluster, "POISONED")["poison"] in ("due", "sending")
    assert all(len(cluster.received(offer, "POISONED")) == 1 for offer in offers[::50])
    cluster.heal("POISONED")
    until_delivered(cluster, "POISONED")
    assert_one_effect(cluster.received("poison", "POISONED"))


def test_a_slow_insurer_delays_no_other(cluster: Cluster) -> None:
    """While one insurer thinks, another has everything that was declined after."""
    cluster.fault("hang", partner="SLOW", seconds=3.0)
    cluster.decline_all([f"slow-{number}" for number in range(40)], "SLOW")
    until(lambda: cluster.received(partner="SLOW"), "the slow one to be asked")

    cluster.decline_all([f"quick-{number}" for number in range(40)], "CALM")

    until(all_are(cluster, "delivered", "CALM"), "the quick one's")
    assert {one["answered_at"] for one in cluster.received(partner="SLOW")} == {None}
    cluster.heal("SLOW")
    until_delivered(cluster, "SLOW")
