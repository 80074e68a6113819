"""The long run, short: clients, faults, healing, and no finding; and the long ones judged again."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from proxy.choices import Source
from proxy.ledger import Fact, Ledger
from proxy.register import Offer
from tests.faults.endurance import Plan, run
from tests.faults.judge import judge
from tests.faults.judge_figures import figures
from tests.faults.judge_history import HISTORIES, kept
from tests.faults.records import is_sealed, search
from tests.faults.shop_cluster import ENGINES
from tests.faults.shop_directed import directed

DECLINES = 120
FULL = 10_000


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_short_run_breaks_nothing(tmp_path: Path, engine: str) -> None:
    """Kills, restarts, a database that is away and an insurer that fails lose nothing."""
    made = run(Plan(engine=engine, declines=DECLINES, seed=7, short=True), tmp_path / "run")

    assert judge(made) == []
    assert int(figures(made, [])["declines acknowledged"]) >= DECLINES
    assert made.about["faults"]


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_kept_run_is_judged_again(engine: str) -> None:
    """What the documents say of the long runs follows from their records."""
    made = kept(HISTORIES / f"{engine}.tar.xz")

    assert judge(made) == []
    assert made.about["engine"] == engine
    declines = {call.id for call in made.calls if call.said["choice"] == "declined"}
    acknowledged = {call.id for call in made.calls if call.acknowledged}
    assert len(declines & acknowledged) >= FULL


def test_a_refused_message_makes_no_offer_known(tmp_path: Path) -> None:
    """An id that was used before is refused, and the offer it names now is not in the register."""
    with directed(tmp_path / "run") as stage:
        first = stage.say("declined", "directed-1", jti="a" * 22)
        again = {name: first.said[name] for name in ("id", "seq")}
        assert stage.say("declined", "directed-2", jti="b" * 22, **again).status == 422

    assert judge(stage.run) == []


Alter = Callable[[dict[str, Any]], None]
ALTERED: dict[str, Alter] = {
    "another choice": lambda fact: fact.update(choice="accepted"),
    "another time": lambda fact: fact.update(at=fact["at"] + 1),
    "another message": lambda fact: fact.update(message=str(uuid4())),
    "another purchase": lambda fact: fact.update(purchased=True),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_fact_is_seen(name: str) -> None:
    """The digest is recomputed from the design's words, not with the proxy's code."""
    key = secrets.token_bytes(32)
    offer = Offer(id=1, partner="ACME", upstream="tickets", offer="offer-1")
    fact = Fact(kind="choice.recorded", at=1, source=Source.PAGE, message=str(uuid4()), seq=1)
    _, row = Ledger(key).seal(offer, fact)
    about = {"upstream": "tickets", "offer": "offer-1"}
    assert is_sealed(row, about, key)
    assert not is_sealed(row, about | {"offer": "offer-2"}, key)

    ALTERED[name](row)

    assert not is_sealed(row, about, key)


def test_a_canary_in_an_output_is_found(tmp_path: Path) -> None:
    """Where it stands and how often, by name: the canary itself is not repeated."""
    canary = secrets.token_urlsafe(16)
    log = tmp_path / "web.log"
    log.write_text(f"one {canary}, two {canary}")

    found = search([log], {"api secret": canary, "server key": secrets.token_urlsafe(16)})

    assert found == [{"file": "web.log", "canary": "api secret", "hits": 2}]
