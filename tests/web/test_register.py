"""The calls on the real register: the web side and intake mean the same."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy import migrate
from proxy.database import Database
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.receipts import Signer
from proxy.register import Policy
from proxy.web.public import create_public
from tests.web.deployment import (
    OFFER,
    OTHER_SHOP,
    SHOP,
    Clock,
    Deployment,
    Files,
    a_configuration,
    code_of,
)
from tests.web.memory import MemoryIntake

DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)
POLICY = Policy(on_purchase=False, settle_ms=0, hold_ms=DAY_MS, implied_ms=None)


@pytest.fixture
def register(files: Files) -> Iterator[Deployment]:
    """The public listener on SQLite."""
    clock = Clock()
    database = Database(f"sqlite:///{files.folder / 'optout.db'}", clock)
    migrate.upgrade(database)
    database.start()
    intake = Intake(database, Ledger(b"the audit key of a test, 32 bytes"), lambda *_: POLICY)
    configuration = a_configuration(files)
    signer = Signer(Ed25519PrivateKey.generate(), "optout-proxy:test")
    public = create_public(configuration, intake, signer, clock)
    yield Deployment(files, configuration, MemoryIntake(), clock, public.test_client())
    database.stop()


def test_a_decline_is_kept_and_found(register: Deployment) -> None:
    """Page and server see the same offer."""
    form = register.form(purchased="1", order="ORDER-1")
    first, again = register.page(form), register.page(form)
    found = json.loads(register.get(f"/v1/offers/{OFFER}", register.bearer()).text)

    assert (first.status_code, again.status_code) == (202, 202)
    assert json.loads(again.text)["replayed"] is True
    assert json.loads(again.text)["receipt"] == json.loads(first.text)["receipt"]
    assert (found["choice"], found["order"], found["report"]) == ("declined", "ORDER-1", "due")


def test_a_changed_mind_supersedes(register: Deployment) -> None:
    """The highest seq wins, in whatever order they come."""
    now = register.clock.now
    register.page(register.form(choice="accepted", seq=str(now + 1)))
    answer = json.loads(register.page(register.form(seq=str(now))).text)

    assert (answer["choice"], answer["superseded"]) == ("accepted", True)


def test_an_id_says_one_thing(register: Deployment) -> None:
    """The same id with another choice is refused."""
    form = register.form()
    register.page(form)

    assert code_of(register.page(form | {"choice": "accepted"})) == "idempotency_key_reused"


def test_an_open_token_names_five_offers(register: Deployment) -> None:
    """The sixth is refused."""
    token = register.mint("OPEN", offer=None, origin=OTHER_SHOP, upstream="tickets")
    forms = [register.form(token=token, offer=f"o-{number}") for number in range(6)]
    codes = [code_of(register.page(form, origin=OTHER_SHOP)) for form in forms]

    assert codes == [None] * 5 + ["token_offers_exhausted"]


def test_a_batch_is_kept_line_by_line(register: Deployment) -> None:
    """A bad line spoils no other."""
    one = register.document()
    lines = [one, register.document(offer="o-2"), one | {"choice": "accepted"}, {}]
    body = "\n".join(map(json.dumps, lines)).encode()
    answer = register.server(body, path="/v1/choices/batch")
    codes = [json.loads(line).get("code") for line in answer.text.splitlines()]

    assert codes == [None, None, "idempotency_key_reused", "invalid_request"]


def test_a_session_is_given_once_per_key(register: Deployment) -> None:
    """And the offer is known as undecided."""
    wanted = {"offer": OFFER, "origin": SHOP, "metadata": {"product": "tickets"}}
    key = {"Idempotency-Key": "key-1"}
    first = register.server(wanted, path="/v1/sessions", headers=key)
    register.clock.pass_seconds(2)
    again = register.server(wanted, path="/v1/sessions", headers=key)
    other = register.server(wanted | {"ttl": 60}, path="/v1/sessions", headers=key)
    found = json.loads(register.get(f"/v1/offers/{OFFER}", register.bearer()).text)

    assert (first.status_code, again.text) == (201, first.text)
    assert code_of(other) == "idempotency_key_reused"
    assert (found["choice"], found["seq"]) == ("undecided", 0)
