"""One attempt over a real socket: what is sent, and what each answer means."""

import json
from dataclasses import dataclass

import pytest

from proxy import __version__
from proxy.choices import Kind, Outcome
from proxy.credentials import credentials_for
from proxy.sender import Sender
from proxy.upstreams import APIS, idempotency_key
from tests.upstream.builders import KEY, PASSWORD, Clock, a_delivery, an_upstream
from tests.upstream.raw_server import RawServer, Received, reply

OFFER = "1d29230f-92f5-4bb6-887d-3a6b0d1969d1"


def _send(sender: Sender, server: RawServer, api: str = "xcover-offers") -> Outcome:
    upstream = an_upstream(server.url, api)
    return sender.send(a_delivery(), upstream, credentials_for(upstream))


def test_the_request_is_what_upstream_documents(sender: Sender) -> None:
    """Path, body and headers are upstream's; nothing else of ours goes along."""
    with RawServer(reply(204)) as server:
        upstream = an_upstream(f"{server.url}/x")
        body = '{"partner_metadata":{"a":1}}'

        sender.send(a_delivery(offer=OFFER, body=body), upstream, credentials_for(upstream))

        [request] = server.requests
    assert (request.method, request.target) == (
        "POST",
        f"/x/partners/LLODT/offers/{OFFER}/opt_out/",
    )
    assert request.body == body.encode()
    assert request.headers.pop("date").endswith(" GMT")
    assert request.headers.pop("authorization").startswith(f'Signature keyId="{KEY}",')
    assert request.headers == {
        "host": server.url.removeprefix("http://"),
        "x-api-key": KEY,
        "x-idempotency-key": idempotency_key(
            audience="optout-proxy:test",
            partner="ACME",
            upstream="tickets",
            offer=OFFER,
            epoch=1,
        ),
        "user-agent": f"optout-proxy/{__version__}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }


@dataclass(frozen=True)
class Row:
    """One row of the table of outcomes."""

    answer: bytes
    kind: Kind
    reason: str
    unknown: bool = False
    wait: float | None = None


ROWS = {
    "204": Row(reply(204), Kind.DELIVERED, "delivered"),
    "409": Row(reply(409), Kind.REPEATED, "repeated"),
    "429": Row(reply(429, Retry_After="7"), Kind.THROTTLED, "throttled", wait=7),
    "429 without a word": Row(reply(429), Kind.THROTTLED, "throttled"),
    "401": Row(reply(401), Kind.SETUP, "unauthorized"),
    "403": Row(reply(403, Retry_After="7"), Kind.FORBIDDEN, "forbidden"),
    "400": Row(reply(400), Kind.PERMANENT, "refused"),
    "404": Row(reply(404), Kind.PERMANENT, "offer_not_found"),
    "410": Row(reply(410), Kind.PERMANENT, "offer_gone"),
    "422": Row(reply(422), Kind.PERMANENT, "refused"),
    "408": Row(reply(408), Kind.TRANSIENT, "request_timeout"),
    "423": Row(reply(423), Kind.TRANSIENT, "locked", unknown=True),
    "425": Row(reply(425), Kind.TRANSIENT, "too_early"),
    "500": Row(reply(500), Kind.TRANSIENT, "upstream_error", unknown=True),
    "502": Row(reply(502), Kind.TRANSIENT, "upstream_error", unknown=True),
    "503": Row(reply(503, Retry_After="30"), Kind.TRANSIENT, "upstream_unavailable", wait=30),
    "504": Row(reply(504), Kind.TRANSIENT, "upstream_error", unknown=True),
    "599": Row(reply(599), Kind.TRANSIENT, "upstream_error", unknown=True),
    "200": Row(reply(200, b"{}"), Kind.PERMANENT, "unexpected_status"),
    "202": Row(reply(202), Kind.PERMANENT, "unexpected_status"),
    "206": Row(reply(206), Kind.PERMANENT, "unexpected_status"),
    "301": Row(reply(301), Kind.PERMANENT, "redirected"),
    "304": Row(reply(304), Kind.PERMANENT, "redirected"),
    "402": Row(reply(402), Kind.PERMANENT, "unexpected_status"),
    "405": Row(reply(405), Kind.PERMANENT, "unexpected_status"),
    "418": Row(reply(418), Kind.PERMANENT, "unexpected_status"),
    "600": Row(reply(600), Kind.PERMANENT, "unexpected_status"),
    "999": Row(reply(999), Kind.PERMANENT, "unexpected_status"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_status_has_its_outcome(sender: Sender, row: Row) -> None:
    """Kind, reason, doubt and wait are those of the table."""
    with RawServer(row.answer) as server:
        outcome = _send(sender, server)

    assert (outcome.kind, outcome.reason) == (row.kind, row.reason)
    assert (outcome.unknown, outcome.retry_after) == (row.unknown, row.wait)
    assert outcome.status == int(row.answer.split()[1])


@pytest.mark.parametrize(
    ("api", "status"),
    [(api.name, status) for api in APIS.values() for status in api.success if api.auth == "hmac"],
)
def test_each_api_has_its_success(sender: Sender, api: str, status: int) -> None:
    """What one API calls done, another does not."""
    with RawServer(reply(status)) as server:
        outcome = _send(sender, server, api)

    assert outcome == Outcome(kind=Kind.DELIVERED, reason="delivered", status=status)


def test_one_connection_serves_many_reports(sender: Sender) -> None:
    """A thread keeps its connection, whatever the answers, as long as they are whole."""
    script = [reply(204), reply(404, b"{}"), reply(503, b"<html>"), reply(409), reply(204)]
    with RawServer(*script) as server:
        upstream = an_upstream(server.url)
        credentials = credentials_for(upstream)

        outcomes = [sender.send(a_delivery(), upstream, credentials) for _ in script]

    assert [outcome.status for outcome in outcomes] == [204, 404, 503, 409, 204]
    assert server.connections == 1


def test_a_connection_closed_while_idle_is_no_doubt(sender: Sender) -> None:
    """Upstream may let go of an idle connection: the next report takes a new one."""
    with RawServer(reply(204)) as server:
        upstream = an_upstream(server.url)
        credentials = credentials_for(upstream)
        sender.send(a_delivery(), upstream, credentials)
        server.hang_up()

        outcome = sender.send(a_delivery(), upstream, credentials)

    assert outcome.kind is Kind.DELIVERED
    assert server.connections == 2


def test_an_old_connection_is_not_trusted() -> None:
    """After a minute, something on the way may have forgotten it without a word."""
    clock = Clock()
    sender = Sender(audience="a", monotonic=clock)
    with RawServer(reply(204)) as server:
        _send(sender, server)
        clock.ahead += 61

        _send(sender, server)

    assert server.connections == 2


def test_an_error_is_told_in_upstreams_words(sender: Sender) -> None:
    """A dead letter says why, in one printable line."""
    body = b'{"type":"api_error","message":"Quote package\\ndoes not\\u202e exist"}'
    with RawServer(reply(404, body)) as server:
        outcome = _send(sender, server)

    assert outcome.detail == "Quote package\\ndoes not\\u202e exist"


def _echo(request: Received) -> bytes:
    words = [*request.headers.values(), request.body.decode(), PASSWORD, KEY]
    return json.dumps({"message": f"not acceptable: {' '.join(words)}"}).encode()


def test_an_echo_gives_nothing_away(sender: Sender) -> None:
    """What upstream repeats of our secrets, or of the customer, is not kept."""
    with RawServer(lambda request, _: reply(422, _echo(request))) as server:
        upstream = an_upstream(server.url)
        body = '{"customer":{"email":"ada@example.org","city":"Bonn"},"n":1}'

        outcome = sender.send(a_delivery(body=body), upstream, credentials_for(upstream))

    assert outcome.detail.startswith("not acceptable: ")
    hidden = (KEY, PASSWORD, "signature=", "example.org", "Bonn")
    assert not [word for word in hidden if word in outcome.detail]


def test_what_can_not_be_an_id_never_leaves(sender: Sender) -> None:
    """The last look at an id is here; such a report is dead, not retried."""
    with RawServer(reply(204)) as server:
        upstream = an_upstream(server.url)

        outcome = sender.send(a_delivery(offer="A#frag"), upstream, credentials_for(upstream))

    assert outcome == Outcome(kind=Kind.PERMANENT, reason="offer_malformed")
    assert server.connections == 0


def test_an_unsafe_address_is_a_matter_of_setup(sender: Sender) -> None:
    """The settings refuse such a base; if one comes here all the same, rows wait."""
    upstream = an_upstream("https://h.example")
    moved = upstream.model_copy(update={"base_url": "http://h.example"})

    outcome = sender.send(a_delivery(), moved, credentials_for(upstream))

    assert (outcome.kind, outcome.reason) == (Kind.SETUP, "unsafe_url")


def test_a_refused_key_is_not_tried_again(sender: Sender) -> None:
    """Another signature of the same key would be refused as well."""
    with RawServer(reply(401)) as server:
        _send(sender, server)

    assert len(server.requests) == 1
