"""Access tokens in a whole system: bought once per process, however many senders want one.

All tests share one deployment on each engine; every one has a partner, so an insurer, of its own.
On PostgreSQL two workers deliver, each with a token of its own.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.deployment import until
from tests.faults.postgres import Postgres
from tests.faults.register import attempts, paused, reports, until_delivered
from tests.faults.special_clusters import OAuthCluster, assert_one_effect, running

# What the token endpoint may answer in the place of a token.
NO_TOKEN: dict[str, dict[str, Any]] = {
    "DOWN": {"fault": "close"},
    "CRASHING": {"fault": "status", "status": 500},
    "REFUSING": {"fault": "wrong_secret"},
    "EMPTY": {"fault": "json_fields", "drop": ["access_token"]},
    "BABBLING": {"fault": "html"},
    "MOVED": {"fault": "redirect", "status": 307},
}
# What it may say of a token's life.
LIVES: dict[str, dict[str, Any]] = {
    "ZERO": {"set": {"expires_in": 0}},
    "NEGATIVE": {"set": {"expires_in": -1}},
    "TEXT": {"set": {"expires_in": "soon"}},
    "MISSING": {"drop": ["expires_in"]},
}
PARTNERS = ("CALM", "BURST", "FORGETFUL", "STRICT", "PAGES", "HEALED", *NO_TOKEN, *LIVES)
OFFERS = [f"offer-{number}" for number in range(40)]


@pytest.fixture(
    scope="module",
    params=[pytest.param("sqlite", marks=pytest.mark.thorough), "postgresql"],
)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OAuthCluster]:
    """Partners that report by `xone-offers`; one process delivers on SQLite, two elsewhere."""
    url = "sqlite:///optout.db"
    if request.param != "sqlite":
        server: Postgres = request.getfixturevalue("shared_postgres")
        url = server.create_database("insurers_oauth")
    folder = tmp_path_factory.mktemp("insurers-oauth")
    partners: dict[str, dict[str, str]] = {name: {} for name in PARTNERS}
    partners["STRICT"] = {"rate_per_second": "100"}  # so that its senders come one after another
    with running(OAuthCluster(folder, url, partners=partners)) as cluster:
        cluster.start()
        yield cluster


def _deliverers(cluster: OAuthCluster) -> int:
    return 1 if cluster.database.startswith("sqlite") else 2


def _assert_calm(cluster: OAuthCluster, offer: str) -> None:
    """Hold another partner's decline to arrive at the first attempt."""
    assert cluster.say(offer, partner="CALM").status_code == 202
    until_delivered(cluster, "CALM")
    assert len(cluster.received(offer, "CALM")) == 1


def test_a_burst_buys_one_token(cluster: OAuthCluster) -> None:
    """Senders that find no token wait for the one that fetches it, however long that takes."""
    cluster.spoil_tokens("hang", partner="BURST", seconds=1.0)

    cluster.decline_all(OFFERS, "BURST")

    until_delivered(cluster, "BURST")
    assert 1 <= len(cluster.token_calls("BURST")) <= _deliverers(cluster)
    assert len(cluster.received(partner="BURST")) == len(OFFERS)


def test_no_token_is_no_storm(cluster: OAuthCluster) -> None:
    """The first failure pauses the credential: its rows wait, unsent, and nobody asks again."""
    for name, rule in NO_TOKEN.items():
        cluster.spoil_tokens(**rule, partner=name)
        cluster.decline_all(OFFERS, name)
    for name in NO_TOKEN:
        until(lambda one=name: "sending" not in reports(cluster, one).values(), "the answers")
        until(lambda one=name: len(cluster.token_calls(one)), "a token call")

    for name in NO_TOKEN:  # what is declined while it is paused asks for nothing either
        cluster.decline_all(["later"], name)
    _assert_calm(cluster, "during-failures")

    for name in NO_TOKEN:
        assert set(reports(cluster, name).values()) == {"due"}
        assert 1 <= len(cluster.token_calls(name)) <= _deliverers(cluster), name
        assert cluster.received(partner=name) == []
    assert len(paused(cluster)) == len(NO_TOKEN)


def test_a_life_that_makes_no_sense_is_a_short_one(cluster: OAuthCluster) -> None:
    """A token whose life is nonsense is used all the same, for a while, and not bought anew."""
    for name, fields in LIVES.items():
        cluster.spoil_tokens("json_fields", partner=name, **fields)
        cluster.decline_all(OFFERS, name)
    for name in LIVES:
        until_delivered(cluster, name)
        cluster.decline_all(["later"], name)
        until_delivered(cluster, name)
        assert 1 <= len(cluster.token_calls(name)) <= _deliverers(cluster), name


def test_a_forgotten_token_is_replaced_once(cluster: OAuthCluster) -> None:
    """Whoever is refused waits for one new token and sends again, within the same attempt."""
    cluster.say("first", partner="FORGETFUL")
    until_delivered(cluster, "FORGETFUL")
    bought = len(cluster.token_calls("FORGETFUL"))
    cluster.fault("expire_tokens", partner="FORGETFUL", times=1)

    cluster.decline_all(OFFERS, "FORGETFUL")

    until_delivered(cluster, "FORGETFUL")
    # A worker that had no token yet buys its first one beside what replaces the others'.
    assert bought < len(cluster.token_calls("FORGETFUL")) <= bought + _deliverers(cluster) * 2 - 1
    for offer in OFFERS:
        sent = cluster.received(offer, "FORGETFUL")
        assert [one["status"] for one in sent][:-1] in ([], [401])
        assert_one_effect(sent)
        assert cluster.offer(offer, partner="FORGETFUL")["attempts"] == 1


def test_tokens_that_are_always_refused_are_no_storm(cluster: OAuthCluster) -> None:
    """A new token that is refused too pauses the credential; none is bought for every row."""
    cluster.fault("wrong_secret", partner="STRICT")

    cluster.decline_all(OFFERS, "STRICT")

    until(lambda: attempts(cluster, OFFERS[0], "STRICT"), "a refusal")
    until(lambda: "sending" not in reports(cluster, "STRICT").values(), "every answer")
    _assert_calm(cluster, "during-refusals")
    assert set(reports(cluster, "STRICT").values()) == {"due"}
    assert len(cluster.token_calls("STRICT")) <= 2 * _deliverers(cluster)


def test_a_success_is_judged_by_its_status(cluster: OAuthCluster) -> None:
    """A cut document or none is a success; a page in its place is not, and is asked for again."""
    rules: dict[str, dict[str, Any]] = {
        "cut": {"fault": "bad_json"},
        "empty": {"fault": "status", "status": 200, "body": "", "effect": True},
        "bare": {"fault": "status", "status": 204, "effect": True},
        "page": {"fault": "html"},
    }
    for offer, rule in rules.items():
        cluster.fault(**rule, partner="PAGES", match={"offer": offer}, times=1)

    cluster.decline_all(list(rules), "PAGES")

    until_delivered(cluster, "PAGES")
    assert [len(cluster.received(offer, "PAGES")) for offer in rules] == [1, 1, 1, 2]
    first, second = attempts(cluster, "page", "PAGES")
    assert (first["outcome"], second["report"]) == ("answer_is_html", "delivered")
    for offer in rules:
        assert_one_effect(cluster.received(offer, "PAGES"))


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_a_token_endpoint_comes_back(cluster: OAuthCluster) -> None:
    """One that hangs is asked once at a time; the probe after it works again delivers all."""
    cluster.spoil_tokens("hang", partner="HEALED", seconds=300.0)
    cluster.decline_all(OFFERS, "HEALED")
    until(lambda: attempts(cluster, OFFERS[0], "HEALED"), "the deadline")
    until(lambda: "sending" not in reports(cluster, "HEALED").values(), "the pause")
    asked = len(cluster.token_calls("HEALED"))
    assert asked <= _deliverers(cluster)

    cluster.heal("HEALED")

    until_delivered(cluster, "HEALED")
    assert len(cluster.token_calls("HEALED")) <= asked + _deliverers(cluster)
    for offer in OFFERS:
        assert_one_effect(cluster.received(offer, "HEALED"))
