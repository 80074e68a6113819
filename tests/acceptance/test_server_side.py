"""A shop without any script on its pages: its server tells everything, and nobody else does."""

import json
import random
import socket
import sqlite3
import struct
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import PATIENCE_S, Deployment, until

CARD = "4111111111111111"
LONG = b'{"offer":"' + b"x" * 16_384 + b'"}'
BATCHES = 10
LINES = 1_000
BAD = 10  # of each batch's lines
settling = pytest.mark.parametrize("deployment", [{"settle": '"2s"'}], indirect=True)
unsent = pytest.mark.parametrize("deployment", [{"settle": '"1h"'}], indirect=True)
on_purchase = pytest.mark.parametrize("deployment", [{"report_on": '"purchase"'}], indirect=True)


def a_message(offer: str, **only: Any) -> dict[str, Any]:
    """Return a decline as the shop keeps it until it is acknowledged."""
    now = int(time.time() * 1000)
    return {"offer": offer, "choice": "declined", "id": str(uuid4()), "seq": now, "at": now} | only


def purchase(offer: str, order: str = "ORDER-1") -> dict[str, Any]:
    """Return what the shop tells when the main product was bought."""
    message = a_message(offer, purchased=True, order=order)
    del message["choice"]
    return message


def tell(deployment: Deployment, message: dict[str, Any]) -> dict[str, Any]:
    """Tell one message; return the answer, which must be a 202."""
    answer = requests.post(
        f"{deployment.url}/v1/choices",
        json=message,
        headers={"Authorization": f"Bearer {deployment.server_key}"},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 202, answer.text
    said: dict[str, Any] = answer.json()
    return said


def tell_all(deployment: Deployment, lines: list[bytes]) -> list[dict[str, Any]]:
    """Tell a batch; return one answer for each line."""
    answer = requests.post(
        f"{deployment.url}/v1/choices/batch",
        data=b"".join(line + b"\n" for line in lines),
        headers={
            "Authorization": f"Bearer {deployment.server_key}",
            "Content-Type": "application/x-ndjson",
        },
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert len(said) == len(lines)
    return said


def tell_and_hang_up(deployment: Deployment, message: dict[str, Any]) -> None:
    """Send one message whole, and close the connection instead of reading the answer."""
    body = json.dumps(message).encode()
    head = (
        f"POST /v1/choices HTTP/1.1\r\nHost: 127.0.0.1:{deployment.port}\r\n"
        f"Authorization: Bearer {deployment.server_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", deployment.port)) as line:
        line.sendall(head.encode() + body)


def tell_from_page(deployment: Deployment, token: str, message: dict[str, Any]) -> None:
    """Tell a message as the script on a page does."""
    answer = requests.post(
        f"{deployment.url}/v1/choices",
        data={"token": token} | message,
        headers={"Origin": deployment.origin},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 202, answer.text


def tell_in_turn(deployment: Deployment, told: list[tuple[str, str, int]]) -> int:
    """Tell who chose what, how many ms after the returned time; all of offer-1."""
    token, now = deployment.session("offer-1"), int(time.time() * 1000)
    for writer, choice, after in told:
        message = a_message("offer-1", choice=choice, seq=now + after)
        if writer == "page":
            tell_from_page(deployment, token, message)
        else:
            tell(deployment, message)
    return now


def reported(deployment: Deployment, offer: str) -> dict[str, Any]:
    """Wait for the report; return the only opt-out that the insurer has seen."""
    until(lambda: deployment.offer(offer).get("report") == "delivered", "the delivery")
    (received,) = deployment.received(offer)
    return received


def nothing_was_sent(deployment: Deployment, offer: str) -> bool:
    """Tell whether the insurer has still not heard of *offer* after a later one came through."""
    tell(deployment, a_message("later", purchased=True, order="ORDER-LATER"))
    reported(deployment, "later")
    return deployment.received(offer) == []


def known(deployment: Deployment) -> set[str]:
    """Return every offer in the register."""
    path = deployment.folder / "optout.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {offer for (offer,) in connection.execute("SELECT offer FROM offers")}


def commits(deployment: Deployment) -> int:
    """Return SQLite's count of transactions: `iChange`, https://sqlite.org/walformat.html."""
    index = (deployment.folder / "optout.db-shm").read_bytes()
    (count,) = struct.unpack_from("=I", index, 8)
    return int(count)


def test_session_choice_and_purchase_from_the_server(deployment: Deployment) -> None:
    """The whole evening of one customer without a browser; one verified opt-out comes of it."""
    assert deployment.session("offer-1", metadata={"product": "tickets"})
    assert deployment.offer("offer-1")["choice"] == "undecided"
    declined = tell(deployment, message := a_message("offer-1"))
    bought = tell(deployment, purchase("offer-1"))
    received = reported(deployment, "offer-1")
    stands = deployment.offer("offer-1")

    assert (declined["id"], declined["choice"]) == (message["id"], "declined")
    assert (bought["choice"], bought["conflict"]) == ("declined", False)
    assert (received["verified"], received["status"]) == (True, 204)
    assert received["path"] == "/x/partners/LLODT/offers/offer-1/opt_out/"
    assert (stands["seq"], stands["purchased"], stands["order"]) == (
        message["seq"],
        True,
        "ORDER-1",
    )
    assert (stands["conflict"], stands["late"], stands["attempts"]) == (False, False, 1)


def test_an_acceptance_is_not_reported(deployment: Deployment) -> None:
    """The insurer learns of it when the insurance is bought, not from here."""
    said = tell(deployment, a_message("offer-1", choice="accepted"))

    assert (said["choice"], said["report"]) == ("accepted", "none")
    assert nothing_was_sent(deployment, "offer-1")


@settling
def test_a_decline_taken_back_in_time_is_not_reported(deployment: Deployment) -> None:
    """The customer went back to the offer before the decline had settled."""
    tell(deployment, declined := a_message("offer-1"))
    said = tell(deployment, a_message("offer-1", choice="accepted", seq=declined["seq"] + 1))

    assert (said["choice"], said["report"], said["conflict"]) == ("accepted", "cancelled", False)
    assert nothing_was_sent(deployment, "offer-1")


def test_a_decline_taken_back_too_late_is_a_conflict(deployment: Deployment) -> None:
    """The insurer has it already: nothing more is sent, and a person must look."""
    tell(deployment, declined := a_message("offer-1"))
    reported(deployment, "offer-1")
    said = tell(deployment, a_message("offer-1", choice="accepted", seq=declined["seq"] + 1))

    assert (said["choice"], said["report"], said["conflict"]) == ("accepted", "delivered", True)
    assert nothing_was_sent(deployment, "another")
    assert len(deployment.received("offer-1")) == 1


@on_purchase
def test_a_decline_is_held_until_the_purchase(deployment: Deployment) -> None:
    """Only who bought the main product has declined its insurance."""
    assert tell(deployment, a_message("offer-1"))["report"] == "held"
    assert nothing_was_sent(deployment, "offer-1")
    tell(deployment, purchase("offer-1"))

    assert reported(deployment, "offer-1")["verified"] is True


@on_purchase
def test_one_message_tells_choice_and_purchase(deployment: Deployment) -> None:
    """A shop that calls once, when the order is complete, is heard at once."""
    tell(deployment, a_message("offer-1", purchased=True, order="ORDER-1"))

    assert reported(deployment, "offer-1")["verified"] is True
    assert deployment.offer("offer-1")["order"] == "ORDER-1"


def test_a_message_repeated_after_a_lost_answer_changes_nothing(deployment: Deployment) -> None:
    """The shop can not know that it was heard, and tells it again under the same id."""
    tell_and_hang_up(deployment, message := a_message("offer-1"))
    until(lambda: deployment.offer("offer-1").get("choice") == "declined", "the decline")
    again = tell(deployment, message | {"tries": 2})
    received = reported(deployment, "offer-1")
    and_again = tell(deployment, message | {"tries": 3})

    assert (again["replayed"], and_again["replayed"]) == (True, True)
    assert (and_again["report"], and_again["conflict"]) == ("delivered", False)
    assert nothing_was_sent(deployment, "another")
    assert deployment.received("offer-1") == [received]


def test_a_proxy_killed_after_the_answer_delivers_once(deployment: Deployment) -> None:
    """202 means that it is on disk: the next process reports what this one promised."""
    deployment.sandbox.kill()  # so that no report can leave before the kill
    tell(deployment, message := a_message("offer-1"))
    deployment.proxy.kill()
    deployment.sandbox.start()
    deployment.start_proxy()
    until(lambda: deployment.received_or_none("offer-1"), "the opt-out")

    assert reported(deployment, "offer-1")["verified"] is True
    assert tell(deployment, message)["replayed"] is True


@unsent
@pytest.mark.parametrize(
    ("told", "stands", "report"),
    [
        ([("page", "declined", 0), ("server", "accepted", 1)], "accepted", "cancelled"),
        ([("server", "accepted", 1), ("page", "declined", 0)], "accepted", "none"),
        ([("page", "accepted", 0), ("server", "declined", 1)], "declined", "due"),
        ([("page", "declined", 0), ("server", "declined", 1)], "declined", "due"),
        ([("server", "declined", 1), ("page", "declined", 0)], "declined", "due"),
    ],
)
def test_page_and_server_converge(
    deployment: Deployment, told: list[tuple[str, str, int]], stands: str, report: str
) -> None:
    """In whatever order they arrive, the choice with the highest seq stands."""
    now = tell_in_turn(deployment, told)
    found = deployment.offer("offer-1")

    assert (found["choice"], found["report"], found["seq"]) == (stands, report, now + 1)
    assert found["conflict"] is False


@unsent
def test_an_acceptance_of_another_writer_is_never_dropped(deployment: Deployment) -> None:
    """The page's older acceptance comes after the server's decline: nothing is sent."""
    now = tell_in_turn(deployment, [("server", "declined", 1), ("page", "accepted", 0)])
    found = deployment.offer("offer-1")

    assert (found["choice"], found["report"], found["seq"]) == ("accepted", "cancelled", now)


def test_a_decline_told_by_page_and_server_is_reported_once(deployment: Deployment) -> None:
    """A shop may have both; the offer counts once."""
    token = deployment.session("offer-1")
    tell_from_page(deployment, token, a_message("offer-1"))
    reported(deployment, "offer-1")
    tell(deployment, a_message("offer-1", purchased=True, order="ORDER-1"))

    assert nothing_was_sent(deployment, "another")
    assert len(deployment.received("offer-1")) == 1
    assert deployment.offer("offer-1")["conflict"] is False


def test_every_line_of_a_mixed_batch_is_answered_in_its_place(deployment: Deployment) -> None:
    """Each good one is delivered, none of the bad ones is stored."""
    first = a_message("good-1")
    told: list[tuple[object, str | None]] = [
        (first, None),
        (b"{", "invalid_json"),
        (a_message("bad-1") | {"colour": "red"}, "invalid_request"),
        (a_message("bad-2", purchased=True, order=CARD), "pan_detected"),
        (a_message("bad-3", upstream="nowhere"), "invalid_request"),
        (first, None),
        (a_message("bad-4", id=first["id"]), "idempotency_key_reused"),
        (LONG, "body_too_large"),
        (b"", "invalid_json"),
        (a_message("good-2"), None),
    ]
    said = tell_all(
        deployment,
        [one if isinstance(one, bytes) else json.dumps(one).encode() for one, _ in told],
    )

    assert [line.get("code") for line in said] == [code for _, code in told]
    assert [said[at]["offer"] for at in (0, 5, 9)] == ["good-1", "good-1", "good-2"]
    assert [said[at]["replayed"] for at in (0, 5, 9)] == [False, True, False]
    for offer in ("good-1", "good-2"):
        assert reported(deployment, offer)["verified"] is True
    assert known(deployment) == {"good-1", "good-2"}
    assert len(deployment.received()) == 2


def test_a_batch_repeated_after_a_lost_answer_changes_nothing(deployment: Deployment) -> None:
    """The nightly job failed half-way and runs again, with what it had and with some more."""
    lines = [json.dumps(a_message(f"offer-{number}")).encode() for number in range(20)]
    tell_all(deployment, lines[:15])
    again = tell_all(deployment, lines)

    assert [line["replayed"] for line in again] == [True] * 15 + [False] * 5
    until(lambda: len(deployment.received()) >= 20, "every delivery")
    assert {len(deployment.received(f"offer-{number}")) for number in range(20)} == {1}


def spoiled(dice: random.Random, message: dict[str, Any]) -> tuple[bytes, str]:
    """Return a bad line made of *message*, and the code that it deserves."""
    kinds: list[tuple[object, str]] = [
        (b"{", "invalid_json"),
        (LONG, "body_too_large"),
        (message | {"colour": "red"}, "invalid_request"),
        (message | {"seq": 0}, "invalid_request"),
        (message | {"upstream": "nowhere"}, "invalid_request"),
        (message | {"purchased": True, "order": CARD}, "pan_detected"),
    ]
    line, code = dice.choice(kinds)
    return line if isinstance(line, bytes) else json.dumps(line).encode(), code


@unsent
def test_ten_thousand_choices_in_ten_batches(deployment: Deployment) -> None:
    """Each is acknowledged or refused by itself; one bad line in a hundred spoils no other."""
    dice = random.Random(20261121)
    acknowledged: set[str] = set()
    before = commits(deployment)
    for batch in range(BATCHES):
        messages = [a_message(f"offer-{batch}-{number}") for number in range(LINES)]
        bad = {at: spoiled(dice, messages[at]) for at in dice.sample(range(LINES), BAD)}
        good = {at: message for at, message in enumerate(messages) if at not in bad}
        said = tell_all(
            deployment,
            [bad[at][0] if at in bad else json.dumps(good[at]).encode() for at in range(LINES)],
        )
        assert {at: said[at]["code"] for at in bad} == {at: code for at, (_, code) in bad.items()}
        assert all(said[at]["id"] == good[at]["id"] and said[at]["receipt"] for at in good)
        acknowledged |= {said[at]["offer"] for at in good}

    # The sealer commits too, once a minute.
    assert BATCHES <= commits(deployment) - before < 2 * BATCHES
    assert len(acknowledged) == BATCHES * (LINES - BAD)
    assert known(deployment) == acknowledged
