"""The table of upstream calls, and what is built from it."""

import json
from urllib.parse import urlsplit
from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests import Request

from proxy.upstreams import (
    APIS,
    CUSTOMER_FIELDS,
    NAMESPACE,
    Api,
    UnsafeUrl,
    body_for,
    idempotency_key,
    url_for,
)

OFFER = "1d29230f-92f5-4bb6-887d-3a6b0d1969d1"
CUSTOMER = {name: f"the {name}" for name in (*CUSTOMER_FIELDS, "date_of_birth", "password")}

URLS = {
    "xcover-offers": f"https://api.xcover.com/x/partners/LLODT/offers/{OFFER}/opt_out/",
    "xcover-bookings": f"https://api.xcover.com/x/partners/LLODT/bookings/{OFFER}/opt_out",
    "xone-offers": f"https://api.xone.xcover.com/api/partners/LLODT/offers/{OFFER}/opt-out",
    "xone-quotes": f"https://api.xone.xcover.com/api/partners/LLODT/quotes/{OFFER}/opt-out",
    "xcover-renewals": f"https://api.xcover.com/x/partners/LLODT/renewals/{OFFER}/opt_out/",
}
SUCCESS = {
    "xcover-offers": {204},
    "xcover-bookings": {204},
    "xone-offers": {200, 204},
    "xone-quotes": {200, 204},
    "xcover-renewals": {202, 204},
}


@pytest.mark.parametrize(("name", "url"), URLS.items(), ids=URLS)
def test_addresses_are_those_of_the_documents(name: str, url: str) -> None:
    """Every path is the published one, to the last slash."""
    api = APIS[name]

    built = url_for(api, base_url=api.base_url, partner_code="LLODT", offer=OFFER)

    assert (api.method, built) == ("POST", url)


def test_rows_say_what_the_documents_say() -> None:
    """Success, moment of the report and pace are those of the table."""
    assert {name: set(api.success) for name, api in APIS.items()} == SUCCESS
    assert {api.rate for api in APIS.values()} == {10.0}
    assert {name for name, api in APIS.items() if api.report_on == "purchase"} == {
        "xone-offers",
        "xone-quotes",
    }
    assert all((api.auth == "oauth") == name.startswith("xone") for name, api in APIS.items())


@pytest.mark.parametrize("base", ["https://h.example/x/", "https://H.example/x"])
def test_a_base_url_is_joined_once(base: str) -> None:
    """A final slash or capitals in the host make no second address."""
    url = url_for(APIS["xcover-bookings"], base_url=base, partner_code="P", offer="A-1")

    assert url == "https://h.example/x/partners/P/bookings/A-1/opt_out"


HOSTILE_IDS = [
    "A#frag",
    "A?x=1",
    "..",
    ".",
    "../../../evil",
    "%2e%2e",
    "a/b",
    "a%2Fb",
    "a\\b",
    "A;x",
    "A\n",
    "A ",
    "",
    "é",
    "\uff21",  # a wide A
    "{offer}",
    "{partner_code}",
    "a" * 65,
    "A\x00",
    "A_B",
]


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=ascii)
def test_a_hostile_id_never_becomes_an_address(api: Api, hostile: str) -> None:
    """A decline must never become a purchase, nor any other call."""
    with pytest.raises(UnsafeUrl):
        url_for(api, base_url=api.base_url, partner_code="LLODT", offer=hostile)
    with pytest.raises(UnsafeUrl):
        url_for(api, base_url=api.base_url, partner_code=hostile, offer=OFFER)


HOSTILE_BASES = [
    "api.xcover.com/x",
    "ftp://api.xcover.com/x",
    "http://api.xcover.com/x",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "https://",
    "https:///x",
    "https://user@api.xcover.com",
    "https://user:word@api.xcover.com",
    "https://api.xcover.com\\@evil.example",
    "https://api.xcover.com?x",
    "https://api.xcover.com#x",
    "https://api.xcover.com/x?y",
    "https://api.xcover.com/x#y",
    "https://api.xcover.com/x/..",
    "https://api.xcover.com/./x",
    "https://api.xcover.com//x",
    "https://api.xcover.com/x//",
    "https://api.xcover.com/%2e%2e",
    "https://api.xcover.com/x y",
    "https://api.xcover.com/x\n",
    "https://api.xcover.com:99999",
    "https://api.xcover.com:0",
    "https://api.xcover.com:x",
    "https://[::1",
    "https://[1:2]",
    "https://é.example",
    "https://a b.example",
]


@pytest.mark.parametrize("base", HOSTILE_BASES, ids=ascii)
def test_a_base_url_that_could_mean_two_things_is_refused(base: str) -> None:
    """Only https to one plain host and path, or http to this machine, is used."""
    with pytest.raises(UnsafeUrl):
        url_for(APIS["xcover-offers"], base_url=base, partner_code="LLODT", offer=OFFER)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]"])
def test_http_is_for_this_machine(host: str) -> None:
    """A sandbox on a loopback host needs no certificate."""
    url = url_for(APIS["xone-offers"], base_url=f"http://{host}:81", partner_code="P", offer="A")

    assert url == f"http://{host}:81/api/partners/P/offers/A/opt-out"


TEMPLATES = ["opt_out", "@evil.example/{offer}", "/a/../{offer}", "/{offer}?x", "/{offer}#x", "//x"]


@pytest.mark.parametrize("path", [*TEMPLATES, "/a/{other}", "/a%2F/{offer}", "/.{offer}/.."])
def test_a_path_from_the_configuration_is_held_to_the_same(path: str) -> None:
    """A custom API can not say one thing and mean another."""
    api = Api(
        name="custom", path=path, auth="hmac", body="empty", success=frozenset({204}), base_url=""
    )

    with pytest.raises(UnsafeUrl):
        url_for(api, base_url="https://h.example", partner_code="P", offer="A")


SPICE = st.text(st.sampled_from("Aa0-._~/\\?#%@:&;[]{} \t\r\n\x00é"), max_size=20)


@given(
    api=st.sampled_from(list(APIS.values())),
    base=st.one_of(st.just("https://h.example/x"), SPICE.map(lambda tail: f"https://h{tail}")),
    partner_code=st.one_of(st.just("LLODT"), SPICE, st.text(max_size=5)),
    offer=st.one_of(st.just(OFFER), SPICE, st.text(max_size=5)),
)
def test_what_is_built_is_what_is_sent(api: Api, base: str, partner_code: str, offer: str) -> None:
    """Whatever the parts, the address is refused, or `requests` sends exactly what was meant."""
    try:
        url = url_for(api, base_url=base, partner_code=partner_code, offer=offer)
    except UnsafeUrl:
        return

    sent = Request("POST", url).prepare()
    tail = api.path.format(partner_code=partner_code, offer=offer)
    assert sent.url == url
    assert sent.path_url == urlsplit(base).path.removesuffix("/") + tail
    assert urlsplit(url).netloc == base.removeprefix("https://").partition("/")[0].lower()


def test_the_idempotency_key_is_the_documented_one() -> None:
    """The key is a UUIDv5 over five lines, the same on every machine and for ever."""
    key = idempotency_key(
        audience="optout-proxy:prod", partner="ACME", upstream="tickets", offer=OFFER, epoch=2
    )

    assert str(NAMESPACE) == "874222ec-3546-4aa9-b274-4a7869069003"
    assert key == str(uuid5(NAMESPACE, f"optout-proxy:prod\nACME\ntickets\n{OFFER}\n2"))
    assert key == "2b241e98-2d40-5fad-bf40-af0585e0024a"


BODIES = {
    "empty": ("xcover-renewals", {"a": 1}, CUSTOMER, {}),
    "no metadata": ("xcover-offers", {}, CUSTOMER, {}),
    "metadata": (
        "xcover-bookings",
        {"a": 1, "b": "x", "c": None, "d": True, "e": 0.5},
        {},
        {"partner_metadata": {"a": 1, "b": "x", "c": None, "d": True, "e": 0.5}},
    ),
    "not flat": (
        "xcover-offers",
        {"list": [1], "table": {}, "nan": float("nan"), "kept": "x"},
        {},
        {"partner_metadata": {"kept": "x"}},
    ),
    "customer": (
        "xone-offers",
        {"a": 1},
        CUSTOMER,
        {"customer": {name: CUSTOMER[name] for name in CUSTOMER_FIELDS}},
    ),
    "date of birth": (
        "xone-quotes",
        {},
        {"date_of_birth": "1990-01-31", "email": None, "city": "Bonn"},
        {"customer": {"date_of_birth": "1990-01-31", "city": "Bonn"}},
    ),
    "no customer": ("xone-offers", {}, {"date_of_birth": "1990-01-31"}, {}),
}


@pytest.mark.parametrize(("api", "metadata", "customer", "expected"), BODIES.values(), ids=BODIES)
def test_a_body_holds_only_what_the_api_takes(
    api: str, metadata: dict[str, object], customer: dict[str, object], expected: object
) -> None:
    """Everything else is left out, so nothing of a shop's reaches upstream by mistake."""
    body = body_for(APIS[api], metadata=metadata, customer=customer)

    assert json.loads(body) == expected
    assert body.isascii()


def test_a_body_is_compact() -> None:
    """No byte is spent on blanks, and names outside ASCII survive."""
    body = body_for(APIS["xone-offers"], metadata={}, customer={"city": "Köln", "region": "NW"})

    assert body == '{"customer":{"city":"K\\u00f6ln","region":"NW"}}'
