"""What a partner's server may say, and that only it may."""

import json

import pytest

from proxy.choices import Choice, Source
from tests.web.deployment import OFFER, SHOP, START, Deployment, code_of


def test_a_servers_decline_is_recorded(deployment: Deployment) -> None:
    """A shop may report without a script on the page."""
    metadata = {"product": "tickets", "seats": 2, "price": 12.5, "vip": False, "note": None}
    answer = deployment.server(
        deployment.document(tries=2, purchased=True, order="ORDER-1", metadata=metadata)
    )

    assert answer.status_code == 202
    assert json.loads(answer.text)["offer"] == OFFER
    (message,) = deployment.intake.messages
    assert (message.partner, message.upstream, message.offer) == ("ACME", "tickets", OFFER)
    assert (message.choice, message.seq, message.at) == (Choice.DECLINED, START, START)
    assert (message.writer, message.source, message.tries) == ("server", Source.SERVER, 2)
    assert (message.purchased, message.order) == (True, "ORDER-1")
    assert (message.metadata, message.customer) == (metadata, {})


def test_a_purchase_needs_no_choice(deployment: Deployment) -> None:
    """The server tells that the main product was bought."""
    answer = deployment.server(deployment.document(choice=None, purchased=True))

    assert answer.status_code == 202


def test_the_upstream_is_named_where_there_are_several(deployment: Deployment) -> None:
    """A partner with three upstreams says which one it means."""
    named = deployment.server(deployment.document(upstream="quotes"), partner="OPEN")
    unnamed = deployment.server(deployment.document(), partner="OPEN")

    assert named.status_code == 202
    assert deployment.intake.messages[0].upstream == "quotes"
    assert code_of(unnamed) == "invalid_request"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="no-key"),
        pytest.param("Bearer wrong", id="wrong"),
        pytest.param("Bearer osk_test_wrong", id="unknown"),
        pytest.param("Basic {key}", id="other-scheme"),
        pytest.param("{key}", id="no-scheme"),
        pytest.param("Bearer {key}x", id="longer"),
        pytest.param("Bearer {short}", id="truncated"),
        pytest.param("Bearer {key} {key}", id="two"),
        pytest.param("Bearer {key},Bearer {key}", id="joined"),
        pytest.param("Bearer sha256:{hash}", id="the-hash"),
        pytest.param("Bearer {token}", id="a-session-token"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/choices", "/v1/choices/batch", "/v1/sessions"])
def test_only_the_whole_key_opens(deployment: Deployment, path: str, header: str | None) -> None:
    """Nothing else that a thief could have is a key; the body is not even parsed."""
    key = deployment.files.keys["ACME"]
    words = {"key": key, "short": key[:-1], "token": deployment.mint(), "hash": "0" * 64}
    sent = {"Authorization": header.format(**words)} if header is not None else {}
    answer = deployment.client.post(
        path,
        data=b"not json",
        headers={"Content-Type": "application/json"} | sent,
        base_url="https://proxy.example",
    )

    assert (answer.status_code, code_of(answer)) == (401, "server_key_invalid")


@pytest.mark.parametrize(
    "marker",
    [
        {"Origin": SHOP},
        {"Origin": "null"},
        {"Referer": f"{SHOP}/cart"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-CH-UA": '"Chromium"'},
    ],
)
@pytest.mark.parametrize("path", ["/v1/choices", "/v1/choices/batch", "/v1/sessions"])
def test_a_key_in_a_page_does_not_work(
    deployment: Deployment, path: str, marker: dict[str, str]
) -> None:
    """Whoever puts the server key into a page learns it at the first try."""
    answer = deployment.server(path=path, headers=marker)

    assert (answer.status_code, code_of(answer)) == (403, "browser_not_allowed")
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


def test_the_fetch_of_node_is_no_browser(deployment: Deployment) -> None:
    """Node.js sends `Sec-Fetch-Mode: cors` and nothing else of that kind."""
    assert deployment.server(headers={"Sec-Fetch-Mode": "cors"}).status_code == 202


def test_a_disabled_partner_says_nothing(deployment: Deployment) -> None:
    """Switched off is switched off for the server too."""
    deployment.change(disabled="true")

    assert code_of(deployment.server()) == "partner_disabled"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "invalid_json", id="empty"),
        pytest.param(b"{}x", "invalid_json", id="garbage-after"),
        pytest.param(b"{}{}", "invalid_json", id="two-documents"),
        pytest.param(b"{'a':1}", "invalid_json", id="quotes"),
        pytest.param(b'{"seq":NaN}', "invalid_json", id="nan"),
        pytest.param(b'{"seq":-Infinity}', "invalid_json", id="infinity"),
        pytest.param(b'{"seq":1e400}', "invalid_json", id="too-large-a-float"),
        pytest.param(b'{"seq":1,"seq":2}', "invalid_json", id="repeated-key"),
        pytest.param(b'{"metadata":{"a":1,"a":2}}', "invalid_json", id="repeated-key-inside"),
        pytest.param(b"[" * 1000 + b"]" * 1000, "invalid_json", id="deep"),
        pytest.param(b"[" * 8000, "invalid_json", id="deep-and-open"),
        pytest.param(b'{"a":' * 1500 + b"1" + b"}" * 1500, "invalid_json", id="deep-objects"),
        pytest.param(b'{"id":"\xff"}', "invalid_json", id="no-utf-8"),
        pytest.param(b'{"id":"\xc0\xaf"}', "invalid_json", id="overlong"),
        pytest.param(b'{"id":"\xe9"}', "invalid_json", id="latin-1"),
        pytest.param(b'\xef\xbb\xbf{"id":"x"}', "invalid_json", id="byte-order-mark"),
        pytest.param('{"id":"x"}'.encode("utf-16"), "invalid_json", id="utf-16"),
        pytest.param(b'{"id":"\\ud800"}', "invalid_json", id="half-a-surrogate"),
        pytest.param(b"null", "invalid_request", id="null"),
        pytest.param(b"[]", "invalid_request", id="list"),
        pytest.param(b'"x"', "invalid_request", id="text"),
        pytest.param(b"1", "invalid_request", id="number"),
        pytest.param(b"true", "invalid_request", id="boolean"),
        pytest.param(b"{}", "invalid_request", id="nothing"),
        pytest.param(b'{"id":"a\\u0000b"}', "invalid_request", id="nul"),
        pytest.param(b'{"reason":"price"}', "invalid_request", id="unknown-field"),
        pytest.param(b'{"__proto__":{}}', "invalid_request", id="prototype"),
    ],
)
def test_json_is_read_in_one_way_only(deployment: Deployment, body: bytes, code: str) -> None:
    """What two readers could understand differently is refused."""
    answer = deployment.server(body)

    assert (answer.status_code, code_of(answer)) == (400, code)


@pytest.mark.parametrize(
    "name", ["token", "status", "partner", "partner_id", "report", "writer", "late", "epoch", "ttl"]
)
def test_a_server_sets_only_what_is_its_own(deployment: Deployment, name: str) -> None:
    """No field of ours can be assigned from outside."""
    assert code_of(deployment.server(deployment.document() | {name: 1})) == "invalid_request"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"a": {}}, id="nested"),
        pytest.param({"a": []}, id="list"),
        pytest.param({"a": "x" * 201}, id="long"),
        pytest.param({"a": "x\ny"}, id="two-lines"),
        pytest.param({"a": "\0"}, id="nul"),
        pytest.param({"a": "\u202ex"}, id="direction-override"),
        pytest.param({"a": "\u200bx"}, id="invisible"),
        pytest.param({"a": "\x1b[2J"}, id="escape-sequence"),
        pytest.param({"a": 2**53}, id="large"),
        pytest.param({"a": 1e300}, id="large-fraction"),
        pytest.param({"a": 2**63}, id="larger-than-a-column"),
        pytest.param({"a": -(2**53)}, id="small"),
        pytest.param({"": 1}, id="empty-key"),
        pytest.param({"a b": 1}, id="key-with-space"),
        pytest.param({"x" * 41: 1}, id="long-key"),
        pytest.param({"é": 1}, id="key-beyond-ascii"),
        pytest.param({f"k{number}": 1 for number in range(21)}, id="many"),
    ],
)
def test_metadata_is_flat_and_small(deployment: Deployment, metadata: object) -> None:
    """It goes to the insurer, to exports and to a page."""
    answer = deployment.server(deployment.document(metadata=metadata))

    assert code_of(answer) == "invalid_request"


@pytest.mark.parametrize("metadata", [{}, {"a": ""}, {"product": "Ålesund → Bergen ✈"}])
def test_metadata_may_be_any_printable_text(
    deployment: Deployment, metadata: dict[str, str]
) -> None:
    """Names of products are written in every script."""
    assert deployment.server(deployment.document(metadata=metadata)).status_code == 202
    assert deployment.intake.messages[0].metadata == metadata
