"""What settings become, and what they may not become."""

import pytest

from proxy.credentials import HmacCredentials, bucket_of, credentials_for
from proxy.errors import ConfigurationError
from proxy.exchange import Line, NoAnswer, Request
from proxy.oauth import OAuthCredentials
from proxy.upstreams import APIS, UnsafeUrl
from tests.upstream.builders import KEY, PASSWORD, Clock, an_upstream
from tests.upstream.raw_server import RawServer, reply

HOST = "https://h.example"


@pytest.mark.parametrize("api", APIS)
def test_each_api_has_its_credentials(api: str) -> None:
    """The row of the API says how we prove who we are."""
    credentials = credentials_for(an_upstream(HOST, api))

    kind = HmacCredentials if APIS[api].auth == "hmac" else OAuthCredentials
    assert isinstance(credentials, kind)


@pytest.mark.parametrize("api", APIS)
def test_credentials_do_not_show_themselves(api: str) -> None:
    """A log line or a traceback may print any object."""
    credentials = credentials_for(an_upstream(HOST, api))

    assert KEY not in repr(credentials)
    assert PASSWORD not in repr(credentials)


@pytest.mark.parametrize("key", ['a"b', "a b", "é", "a\tb", "x" * 513])
def test_a_key_that_no_header_carries_is_refused_at_once(key: str) -> None:
    """It is said when the program starts, not with every report."""
    with pytest.raises(ConfigurationError):
        credentials_for(an_upstream(HOST, key=key))


def test_an_api_without_its_secrets_is_refused() -> None:
    """The settings see to it; a second look costs nothing."""
    upstream = an_upstream(HOST).model_copy(update={"hmac": None})

    with pytest.raises(ConfigurationError):
        credentials_for(upstream)


def test_an_address_that_would_change_is_not_used() -> None:
    """What `requests` would make of an address must be the address."""
    request = Request(method="POST", url=f"{HOST}/a/../b", body=b"{}", until=0)

    with pytest.raises(UnsafeUrl):
        Line().ask(request)


def test_a_pace_is_shared_by_host_and_key() -> None:
    """Upstream counts by key, whatever the API, path or partner code."""
    same = {
        bucket_of(an_upstream(HOST)),
        bucket_of(an_upstream(f"{HOST.upper()}/x", "xcover-bookings", partner_code="OTHER")),
    }

    assert len(same) == 1
    assert bucket_of(an_upstream(HOST, key="other")) not in same
    assert bucket_of(an_upstream(f"{HOST}:8443")) not in same
    assert KEY not in same.pop()


LATE = {"credentials_expired": (9, 0), "timed_out": (0, 9)}


@pytest.mark.parametrize(("reason", "seconds"), LATE.items(), ids=LATE)
def test_what_is_too_late_does_not_leave(reason: str, seconds: tuple[float, float]) -> None:
    """Out of time, or with credentials that ran out on the way to the socket: nothing is sent."""
    clock = Clock()
    until, send_by = (clock() + each for each in seconds)
    with RawServer(reply(204)) as server:
        request = Request(
            method="POST", url=f"{server.url}/", body=b"{}", until=until, send_by=send_by
        )
        with pytest.raises(NoAnswer, match=reason) as caught:
            Line(clock=clock).ask(request)

    assert not caught.value.sent
    assert server.requests == []
