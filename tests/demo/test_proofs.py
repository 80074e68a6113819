"""The proofs: judged from what the proxy answered and what the insurer received."""

from typing import Any

import click
import pytest

from proxy.demo.proofs import Proof, Said, judge, table
from proxy.demo.witnesses import Answer, Received, read

TOKEN = "lamplight-1.eyJhdWQiOiJvcHRvdXQtcHJveHk6ZGVtbyJ9.aVW5AA.mac-ends-with-123456"


def said(api: str = "xcover-offers", status: int = 202, body: Any = None) -> Said:
    """A decline that the proxy answered with *status*."""
    return Said(api=api, offer="K3VQW-7HTPA-INS", token=TOKEN, answer=Answer(status, body))


def received(**given: Any) -> Received:
    """A line of the sandbox's list for the same offer, but for *given*."""
    entry = {
        "api": "xcover-offers",
        "offer": "K3VQW-7HTPA-INS",
        "method": "POST",
        "path": "/x/partners/LLODT/offers/K3VQW-7HTPA-INS/opt_out/",
        "algorithm": "hmac-sha512",
        "verified": True,
        "why_not": None,
        "idempotency_key": "5f0c1a52-6dc6-5a6a-9f4a-0b6f6a1f2a77",
        "status": 204,
    }
    return read(entry | given)


REFUSED = received(verified=False, why_not="the signature does not match", status=403)
NO_TOKEN = received(api=None, offer=None, path="/api/oauth/token", algorithm=None, status=401)


def test_a_verified_request_is_a_proof() -> None:
    """202 from the proxy, and the insurer verified the request and took it."""
    assert judge(said(), [received()]) == Proof(said=said(), received=received())


@pytest.mark.parametrize(
    ("one", "requests", "fault"),
    [
        (
            said(status=401, body={"code": "token_expired"}),
            [],
            "the proxy answered 401 token_expired",
        ),
        (said(status=0), [], "the proxy did not answer"),
        (said(), [REFUSED], "the insurer answered 403: the signature does not match"),
        (
            said("xcover-renewals"),
            [received(offer="other", verified=False, why_not="no match", status=403)],
            "not sent: its credentials wait since xcover-offers was refused (403: no match)",
        ),
        (
            said("xone-quotes"),
            [NO_TOKEN],
            "not sent: the insurer refused the client id and secret (401)",
        ),
        (said(), [], "nothing arrived within 8 s"),
        (said(), [received(status=None)], "nothing arrived within 8 s"),
    ],
    ids=["refused", "silent", "signature", "paused", "client", "nothing", "unanswered"],
)
def test_a_fault_says_why(one: Said, requests: list[Received], fault: str) -> None:
    """Each way not to arrive has its own words."""
    assert judge(one, requests).fault == fault


def test_another_partners_refusal_is_no_excuse() -> None:
    """A refused HMAC request says nothing about an API that uses OAuth."""
    refused = received(offer="other", verified=False, why_not="no match", status=403)

    assert judge(said("xone-offers"), [refused]).fault.startswith("nothing arrived")


def test_the_table_is_aligned() -> None:
    """Three lines per API under one head, and every answer in the same column."""
    proofs = [
        Proof(said=said(), received=received()),
        Proof(said=said("xone-quotes"), received=None, fault="why"),
    ]

    head, *lines = click.unstyle(table(proofs)).splitlines()

    what, answer = head.index("What"), head.index("Answer")
    assert [line[:what].split() for line in lines] == [
        ["xcover-offers", "token"],
        ["insurer"],
        ["✓", "verified"],
        ["xone-quotes", "token"],
        ["insurer"],
        ["✗", "failed"],
    ]
    assert [line[answer:] for line in lines if line[what:].startswith(("lampl", "POST"))] == [
        "202",
        "204",
        "202",
    ]
    assert lines[2][what:] == "HMAC hmac-sha512, key 5f0c1a52-6dc6-5a6a-9f4a-0b6f6a1f2a77"
    assert lines[5][what:] == "see below"
