"""Many choices of a partner's server at once."""

import json
from typing import Any

import pytest

from proxy.errors import StorageUnavailable
from tests.web.deployment import Deployment, code_of

PATH = "/v1/choices/batch"


def lines(*documents: object) -> bytes:
    """Return *documents* as JSON lines; bytes are taken as they are."""
    return b"".join(
        (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in documents
    )


def send(deployment: Deployment, body: bytes, media: str = "application/x-ndjson") -> Any:
    """Send a batch."""
    return deployment.server(body, path=PATH, headers={"Content-Type": media})


def test_each_line_has_its_answer(deployment: Deployment) -> None:
    """The answers stand in the order of the lines; a bad line spoils no other."""
    one, two = deployment.document(), deployment.document(offer="o-2", choice="accepted")
    answer = send(deployment, lines(one, b"{", {"x": 1}, two, one | {"choice": "accepted"}))

    assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson")
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("code") for line in said] == [
        None,
        "invalid_json",
        "invalid_request",
        None,
        "idempotency_key_reused",
    ]
    assert (said[0]["id"], said[0]["choice"]) == (one["id"], "declined")
    assert (said[3]["offer"], said[3]["choice"]) == ("o-2", "accepted")
    assert said[1]["status"] == 400
    assert len(deployment.intake.messages) == 2


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_json_lines_have_several_names(deployment: Deployment, media: str) -> None:
    """No media type for them is registered."""
    assert send(deployment, lines(deployment.document()), media).status_code == 200


def test_the_last_line_may_be_open(deployment: Deployment) -> None:
    """A file need not end with a newline; Windows writes two characters."""
    body = lines(deployment.document(), deployment.document()).replace(b"\n", b"\r\n")
    answer = send(deployment, body.rstrip())

    assert [json.loads(line).get("code") for line in answer.text.splitlines()] == [None, None]


def test_an_empty_line_is_a_bad_line(deployment: Deployment) -> None:
    """Every line has an answer, so that they can be matched by their number."""
    answer = send(deployment, lines(deployment.document(), b"", deployment.document()))
    codes = [json.loads(line).get("code") for line in answer.text.splitlines()]

    assert codes == [None, "invalid_json", None]


def test_a_thousand_lines_are_taken(deployment: Deployment) -> None:
    """1,000 lines are the limit."""
    documents = [deployment.document(offer=f"o-{number}") for number in range(1000)]

    assert len(send(deployment, lines(*documents)).text.splitlines()) == 1000
    assert len(deployment.intake.messages) == 1000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "invalid_json", id="nothing"),
        pytest.param(b"{}\n" * 1001, "body_too_large", id="many-lines"),
        pytest.param(b" " * (2**20 + 1), "body_too_large", id="large"),
    ],
)
def test_a_batch_has_its_bounds(deployment: Deployment, body: bytes, code: str) -> None:
    """What is too much is refused whole, before any line of it is recorded."""
    assert code_of(send(deployment, body)) == code


def test_a_long_line_is_a_bad_line(deployment: Deployment) -> None:
    """A line is as long as a single call may be."""
    answer = send(deployment, lines(b'"' + b"x" * 16_384 + b'"', deployment.document()))
    codes = [json.loads(line).get("code") for line in answer.text.splitlines()]

    assert codes == ["body_too_large", None]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_media_are_refused(deployment: Deployment, media: str) -> None:
    """What a page could send without asking is no batch."""
    answer = send(deployment, lines(deployment.document()), media)

    assert code_of(answer) == "unsupported_media_type"


def test_a_batch_is_stored_whole_or_not_at_all(deployment: Deployment) -> None:
    """Storage that fails is told once, for the whole call."""
    deployment.intake.failure = StorageUnavailable()

    assert code_of(send(deployment, lines(deployment.document()))) == "storage_unavailable"


def test_a_query_is_refused(deployment: Deployment) -> None:
    """What stands in an address ends in somebody's log."""
    answer = deployment.server(b"{}", path=f"{PATH}?key=x")

    assert code_of(answer) == "invalid_request"
