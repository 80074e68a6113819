"""The register that the snippet's properties are judged by is the proxy's own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy import migrate
from proxy.choices import Choice, Message, Source
from proxy.database import Database
from proxy.errors import Problem
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.register import Offer, Policy
from tests.snippet.node import node

POLICY = Policy(on_purchase=False, settle_ms=0, hold_ms=0, implied_ms=None)
Form = dict[str, str]


class Clock:
    """The time at which the next message arrives."""

    now = 0

    def __call__(self) -> int:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still unless the test sets it."""
    return Clock()


@pytest.fixture
def intake(tmp_path: Path, clock: Clock) -> Iterator[Intake]:
    """The door to a register in a file."""
    database = Database(f"sqlite:///{tmp_path / 'optout.db'}", clock, server_time=False)
    migrate.upgrade(database)
    database.start()
    yield Intake(database, Ledger(b"audit key of a test, 32 bytes at least"), lambda *_: POLICY)
    database.stop()


def message_of(form: Form, partner: str) -> Message:
    """Return what a page's form says."""
    return Message(
        partner=partner,
        upstream="now",
        offer=form["offer"],
        choice=Choice(form["choice"]) if "choice" in form else None,
        id=form["id"],
        seq=int(form["seq"]),
        at=int(form["at"]),
        writer=form["token"],
        source=Source.PAGE,
        purchased="purchased" in form,
        order=form.get("order"),
        tries=int(form["tries"]),
    )


def record(intake: Intake, form: Form, partner: str) -> str:
    """Record *form*; return what became of it, in the model's words."""
    try:
        recorded = intake.record(message_of(form, partner))
    except Problem:
        return "reused"
    return "replayed" if recorded.replayed else "stored"


def shown(offer: Offer | None) -> dict[str, Any]:
    """Return what the model knows of an offer as well."""
    assert offer is not None
    row: dict[str, Any] = {"choice": str(offer.choice), "purchased": offer.purchased}
    return row | {"seq": offer.seq, "message": offer.message, "order": offer.order}


def test_the_model_is_the_register(workshop: Path, intake: Intake, clock: Clock) -> None:
    """The same messages at the same times end in the same rows."""
    script = workshop.parents[1] / "tests/snippet/arrivals.mjs"
    lines = node(script, folder=workshop).splitlines()

    for number, line in enumerate(lines):
        story, partner = json.loads(line), f"P{number}"
        for arrival in story["arrivals"]:
            clock.now = arrival["now"]
            assert record(intake, arrival["form"], partner) == arrival["result"], line
        for name, row in story["ends"].items():
            held = shown(intake.find(partner, "now", name))
            blank = {"message": None, "order": None}
            kept = {key: row[key] for key in row if key not in ("writer", "sent")}
            assert held == blank | kept, line
    assert len(lines) == 300
