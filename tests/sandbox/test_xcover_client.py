"""The insurer's own client, xcover-python 0.1.2, unmodified, against the sandbox."""

from importlib import import_module
from typing import Any

import pytest

from proxy.sandbox.options import SandboxOptions
from tests.sandbox.caller import Caller

xcover = import_module("xcover.xcover")
config = import_module("xcover.config")
exceptions = import_module("xcover.exceptions")

OFFER = "1d29230f-92f5-4bb6-887d-3a6b0d1969d1"
ALGORITHMS = ["hmac-sha256", "hmac-sha384", "hmac-sha512"]


def client(caller: Caller, **changes: Any) -> Any:
    """The real client with the sandbox's credentials; its base URL needs the final slash."""
    options: SandboxOptions = caller.sandbox.options
    settings = {
        "partner_code": options.partner,
        "base_url": f"{caller.sandbox.xcover_url}/",
        "auth_api_key": options.api_key,
        "auth_api_secret": options.api_secret,
        "auth_algorithm": "hmac-sha512",
        "headers": "(request-target) date",
        "http_timeout": 10,
    }
    return xcover.XCover(config.XCoverConfig(**{**settings, **changes}))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("headers", ["(request-target) date", "date"])
def test_opt_out_is_accepted(caller: Caller, algorithm: str, headers: str) -> None:
    """The right secret opts out, and the package's status tells so."""
    real = client(caller, auth_algorithm=algorithm, headers=headers)
    before = real.get_quote(OFFER)["status"]

    assert real.opt_out(OFFER) is True
    assert (before, real.get_quote(OFFER)["status"]) == ("RECEIVED", "OPTED_OUT")
    assert caller.sandbox.effects() == {OFFER: 1}


def test_wrong_secret_is_refused(caller: Caller) -> None:
    """Another secret opts nothing out."""
    with pytest.raises(exceptions.XCoverHttpException, match="403"):
        client(caller, auth_api_secret="wrong").opt_out(OFFER)

    assert client(caller).get_quote(OFFER)["status"] == "RECEIVED"
    assert caller.sandbox.effects() == {}


def test_metadata_is_accepted(caller: Caller) -> None:
    """The documented field passes, another one does not."""
    client(caller).opt_out(OFFER, {"partner_metadata": {"extras_purchased": True}})

    with pytest.raises(exceptions.XCoverHttpException, match="422"):
        client(caller).opt_out(OFFER, {"malformed_payload": True})


def test_renewal_opt_out_is_accepted(caller: Caller) -> None:
    """The only place where the renewals call is written down is this client."""
    assert client(caller).renewal_opt_out("PYWUR-TAPHT-INS") is True
    assert caller.sandbox.requests()[0]["api"] == "xcover-renewals"


def test_each_call_has_a_key_of_its_own(caller: Caller) -> None:
    """The client makes one up per call, so a second opt-out is no replay."""
    assert [client(caller).opt_out(OFFER) for _ in "12"] == [True, True]
    assert caller.sandbox.effects() == {OFFER: 2}


def test_missing_final_slash_of_the_base_url_is_noticed(caller: Caller) -> None:
    """The client then drops the prefix, and the insurer has nothing there."""
    with pytest.raises(exceptions.XCoverHttpException, match="404"):
        client(caller, base_url=caller.sandbox.xcover_url).opt_out(OFFER)


def test_decline_that_becomes_a_purchase_is_noticed(caller: Caller) -> None:
    """An id with a fragment makes the client call the address that books."""
    client(caller).opt_out(f"{OFFER}/#")

    assert caller.sandbox.bookings() == [OFFER]
    assert caller.sandbox.effects() == {}
