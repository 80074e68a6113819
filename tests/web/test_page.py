"""What a page may say."""

import json

import pytest

from proxy.choices import Choice, Source
from proxy.errors import StorageUnavailable
from proxy.receipts import Signer, verify
from tests.web.deployment import OFFER, OTHER_SHOP, START, Deployment, code_of

LIFE = 1_800 + 60  # seconds of a token with its leeway


def test_a_decline_is_recorded_and_answered(deployment: Deployment, signer: Signer) -> None:
    """202 carries the register's state and a receipt that anyone can verify."""
    answer = deployment.page(form := deployment.form())

    assert answer.status_code == 202
    said = json.loads(answer.text)
    receipt = said.pop("receipt")
    assert said == {
        "id": form["id"],
        "offer": OFFER,
        "choice": "declined",
        "report": "due",
        "replayed": False,
        "superseded": False,
        "conflict": False,
    }
    assert verify(receipt, signer.public_keys())["offer"] == OFFER


def test_a_message_holds_what_the_page_said(deployment: Deployment) -> None:
    """Every field reaches the register as it was sent; the writer is the token's jti."""
    token = deployment.mint(jti="A" * 22)
    deployment.page(
        deployment.form(token=token, at=str(START - 7), tries="3", purchased="1", order="O/1#")
    )

    (message,) = deployment.intake.messages
    assert (message.partner, message.upstream, message.offer) == ("ACME", "tickets", OFFER)
    assert (message.choice, message.seq, message.at) == (Choice.DECLINED, START, START - 7)
    assert (message.writer, message.source, message.tries) == ("A" * 22, Source.PAGE, 3)
    assert (message.purchased, message.order, message.late) == (True, "O/1#", False)


def test_the_id_is_kept_in_lower_case(deployment: Deployment) -> None:
    """One id has one spelling, so that a replay is known whoever sends it."""
    form = deployment.form(id="ABCDEF00-0000-4000-8000-000000000001")
    deployment.page(form)

    answer = deployment.page(form | {"id": form["id"].lower()})

    assert answer.status_code == 202
    assert json.loads(answer.text)["replayed"] is True


def test_a_replay_is_answered_like_the_first(deployment: Deployment) -> None:
    """The same id with a fresh token, another `at` and more tries is the same message."""
    first = deployment.form()
    deployment.page(first)
    deployment.clock.pass_seconds(5)

    answer = deployment.page(
        first | {"token": deployment.mint(), "at": str(deployment.clock.now), "tries": "2"}
    )

    assert json.loads(answer.text)["replayed"] is True
    assert len(deployment.intake.messages) == 1


def test_the_same_id_can_not_say_something_else(deployment: Deployment) -> None:
    """An id that was used for another choice is refused."""
    form = deployment.form()
    deployment.page(form)

    assert code_of(deployment.page(form | {"choice": "accepted"})) == "idempotency_key_reused"


def test_a_purchase_needs_no_choice(deployment: Deployment) -> None:
    """The confirmation page tells that the main product was bought, and nothing else."""
    answer = deployment.page(deployment.form(choice=None, purchased="1", order="ORDER-1"))

    assert answer.status_code == 202
    (message,) = deployment.intake.messages
    assert (message.choice, message.purchased, message.order) == (None, True, "ORDER-1")


def test_another_offer_than_the_token_names_is_refused(deployment: Deployment) -> None:
    """A token speaks of its own offer."""
    assert deployment.page(deployment.form(offer=OFFER)).status_code == 202
    assert code_of(deployment.page(deployment.form(offer="another"))) == "offer_mismatch"


def test_a_page_of_an_open_partner_names_the_offer(deployment: Deployment) -> None:
    """Where offers are made in the browser, the token may leave the offer to the page."""
    token = deployment.mint("OPEN", offer=None, origin=OTHER_SHOP, upstream="elements")
    answer = deployment.page(deployment.form(token=token, offer="o-1"), origin=OTHER_SHOP)

    assert answer.status_code == 202
    (message,) = deployment.intake.messages
    assert (message.offer, message.upstream, message.open_token) == ("o-1", "elements", True)


def test_an_open_token_without_offer_says_nothing(deployment: Deployment) -> None:
    """Somebody must name the offer."""
    token = deployment.mint("OPEN", offer=None, origin=OTHER_SHOP, upstream="elements")
    answer = deployment.page(deployment.form(token=token), origin=OTHER_SHOP)

    assert code_of(answer) == "invalid_request"


def test_an_open_token_names_five_offers_at_most(deployment: Deployment) -> None:
    """A stolen open token does not decline everything."""
    token = deployment.mint("OPEN", offer=None, origin=OTHER_SHOP, upstream="elements")
    forms = [deployment.form(token=token, offer=f"o-{number}") for number in range(6)]
    codes = [code_of(deployment.page(form, origin=OTHER_SHOP)) for form in forms]

    assert codes == [None] * 5 + ["token_offers_exhausted"]


def test_a_clock_that_is_wrong_does_not_matter_in_the_session(deployment: Deployment) -> None:
    """Within the token's life nobody judges when the page says that it was."""
    assert deployment.page(deployment.form(at="0")).status_code == 202


def test_a_choice_made_in_time_may_arrive_late(deployment: Deployment) -> None:
    """A phone that was offline for hours still reports, and it is marked."""
    form = deployment.form(purchased="1", order="ORDER-1")
    deployment.clock.pass_seconds(LIFE + 3600)

    assert deployment.page(form).status_code == 202
    (message,) = deployment.intake.messages
    assert (message.late, message.choice) == (True, Choice.DECLINED)
    assert (message.purchased, message.order) == (False, None)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        pytest.param(LIFE + 60, {"choice": None, "purchased": "1"}, id="purchase-only"),
        pytest.param(LIFE + 60, {"at": str(START + (LIFE + 30) * 1000)}, id="made-too-late"),
        pytest.param(LIFE + 60, {"at": str(START - 61_000)}, id="made-before-the-token"),
        pytest.param(LIFE + 86_401, {}, id="beyond-late"),
    ],
)
def test_what_is_too_late_is_expired(
    deployment: Deployment, after: int, change: dict[str, str | None]
) -> None:
    """After the session only a choice made in it counts, for a day, and never a purchase."""
    form = deployment.form(**change)
    deployment.clock.pass_seconds(after)

    assert code_of(deployment.page(form)) == "token_expired"
    assert deployment.intake.messages == []


def test_a_form_ignores_a_server_key(deployment: Deployment) -> None:
    """A page proves itself by its token alone; no ambient authority helps or harms it."""
    answer = deployment.page(headers=deployment.bearer() | {"Cookie": "token=x"})

    assert answer.status_code == 202


def test_storage_that_fails_asks_to_try_again(deployment: Deployment) -> None:
    """What is not on disk is not acknowledged."""
    deployment.intake.failure = StorageUnavailable()
    answer = deployment.page()

    assert (answer.status_code, code_of(answer)) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "2"


def test_a_surprise_says_nothing(deployment: Deployment) -> None:
    """A bug of ours shows no trace of itself to the caller."""
    deployment.intake.failure = RuntimeError("jane@shop.example")
    answer = deployment.page()

    assert (answer.status_code, code_of(answer)) == (500, "internal_error")
    assert "jane" not in answer.text
    assert "Traceback" not in answer.text
