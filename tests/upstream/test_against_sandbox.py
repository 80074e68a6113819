"""Every API against the insurer's double, which checks signatures, tokens, paths and bodies."""

from collections.abc import Iterator

import pytest

from proxy.choices import Kind
from proxy.credentials import credentials_for
from proxy.sandbox.serve import Sandbox
from proxy.sender import Sender
from proxy.settings_upstreams import UpstreamSetting
from proxy.upstreams import APIS, body_for
from tests.upstream.builders import a_delivery, an_upstream

CUSTOMER = {"email": "ada@example.org", "date_of_birth": "1990-01-31"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give the insurer's double, listening."""
    with Sandbox() as sandbox:
        yield sandbox


def _upstream(sandbox: Sandbox, api: str) -> UpstreamSetting:
    options = sandbox.options
    is_hmac = APIS[api].auth == "hmac"
    return an_upstream(
        sandbox.xcover_url if is_hmac else sandbox.xone_url,
        api,
        key=options.api_key if is_hmac else options.client_id,
        secret=options.api_secret if is_hmac else options.client_secret,
        partner_code=options.partner,
    )


@pytest.mark.parametrize("api", APIS)
def test_every_api_takes_a_report(sandbox: Sandbox, sender: Sender, api: str) -> None:
    """Signature, path and body pass a strict insurer; the same key again is a repeat."""
    upstream = _upstream(sandbox, api)
    credentials = credentials_for(upstream)
    body = body_for(APIS[api], metadata={"product": "tickets"}, customer=CUSTOMER)
    delivery = a_delivery(body=body)

    outcomes = [sender.send(delivery, upstream, credentials) for _ in range(2)]

    assert [outcome.kind for outcome in outcomes] == [Kind.DELIVERED, Kind.REPEATED]
    assert sandbox.effects() == {delivery.offer: 1}


ALGORITHMS = ["hmac-sha256", "hmac-sha384", "hmac-sha512"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("headers", ["date", "(request-target) date"])
def test_every_form_of_signature_is_taken(
    sandbox: Sandbox, sender: Sender, algorithm: str, headers: str
) -> None:
    """Three algorithms and both lists of headers verify."""
    upstream = _upstream(sandbox, "xcover-offers")
    assert upstream.hmac is not None
    setting = upstream.hmac.model_copy(update={"algorithm": algorithm, "headers": headers})
    upstream = upstream.model_copy(update={"hmac": setting})

    outcome = sender.send(a_delivery(), upstream, credentials_for(upstream))

    assert outcome.kind is Kind.DELIVERED


def test_a_lost_answer_is_found_again(sandbox: Sandbox, sender: Sender) -> None:
    """The report had its effect and we can not know; the same key tells, and does nothing twice."""
    upstream = _upstream(sandbox, "xcover-offers")
    credentials = credentials_for(upstream)
    delivery = a_delivery()
    sandbox.fault("lost_answer", times=1)

    lost, found = (sender.send(delivery, upstream, credentials) for _ in range(2))

    assert (lost.kind, lost.unknown) == (Kind.TRANSIENT, True)
    assert found.kind is Kind.REPEATED
    assert sandbox.effects() == {delivery.offer: 1}


def test_a_token_that_ran_out_upstream_is_replaced(sandbox: Sandbox, sender: Sender) -> None:
    """Upstream may forget a token before its time."""
    upstream = _upstream(sandbox, "xone-offers")
    credentials = credentials_for(upstream)
    sender.send(a_delivery(), upstream, credentials)
    sandbox.fault("expire_tokens", times=1, api="xone-offers")

    outcome = sender.send(a_delivery(), upstream, credentials)

    assert outcome.kind is Kind.DELIVERED
