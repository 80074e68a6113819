"""The five opt-out calls: paths to the slash, bodies, answers, and what they change."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import HMAC_APIS, OAUTH_APIS, PATHS, Caller, calling

STATUS = {"xone-offers": 200, "xone-quotes": 200}
CUSTOMER = {
    "first_name": "A",
    "last_name": "B",
    "country": "GB",
    "email": "a@b.example",
    "phone": "1",
    "address1": "x",
    "address2": "y",
    "city": "z",
    "region": "r",
    "postcode": "p",
}


@pytest.mark.parametrize("api", PATHS)
def test_opt_out_is_answered_as_documented(caller: Caller, api: str) -> None:
    """Every API takes an empty object with its own success code."""
    answer = caller.opt_out(api)

    assert answer.status_code == STATUS.get(api, 204)
    assert caller.sandbox.effects() == {"OFFER-1": 1}
    assert caller.sandbox.requests(offer="OFFER-1")[0]["api"] == api


@pytest.mark.parametrize("api", HMAC_APIS)
def test_204_is_empty(caller: Caller, api: str) -> None:
    """A 204 has the recorded headers and neither body nor Content-Type nor Content-Length."""
    answer = caller.opt_out(api)

    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Connection"] == "keep-alive"
    assert {"Date", "Server", "Strict-Transport-Security", "X-Frame-Options"} <= set(answer.headers)
    assert not {"Content-Type", "Content-Length"} & set(answer.headers)
    assert answer.content == b""


def test_quotes_answer_tells_when(caller: Caller) -> None:
    """The older Elements call returns the quote with the time of the opt-out."""
    data = caller.opt_out("xone-quotes", "483d2530-5d7a-4fce-b6ca-8f888c237340").json()["data"]

    assert data["id"] == "483d2530-5d7a-4fce-b6ca-8f888c237340"
    assert data["opted_out_at"] == data["updated_at"]
    assert data["provider_reference"].endswith("-INS")


@pytest.mark.parametrize("path", PATHS.values())
def test_wrong_slash_is_404_and_no_redirect(caller: Caller, path: str) -> None:
    """One slash more or less is another address, not a hint where to go."""
    right = path.format("OFFER-1")
    wrong = right.removesuffix("/") if right.endswith("/") else f"{right}/"

    answer = caller.post(wrong)

    assert answer.status_code == 404
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/partners/LLODT/offers/OFFER-1/opt_out/",
        "/x/api/partners/LLODT/offers/OFFER-1/opt-out",
        "//x/partners/LLODT/offers/OFFER-1/opt_out/",
        "/x/partners/LLODT/offers/A/B/opt_out/",
    ],
)
def test_other_paths_are_404(caller: Caller, path: str) -> None:
    """HMAC calls lie under /x, OAuth calls at the root, and nothing is normalized."""
    with_session = HTTPConnection(urlsplit(caller.sandbox.url).netloc, timeout=10)
    with_session.request("POST", path, "{}", caller.credentials(path))
    status = with_session.getresponse().status
    with_session.close()

    assert status == 404
    assert caller.sandbox.effects() == {}


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
def test_wrong_method_is_405(caller: Caller, api: str, method: str) -> None:
    """Only POST opts out; the answer says so."""
    answer = caller.opt_out(api, method=method)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_options_names_the_methods(caller: Caller) -> None:
    """OPTIONS needs no signature."""
    answer = caller.post(PATHS["xcover-offers"].format("A"), headers={}, method="OPTIONS")

    assert (answer.status_code, answer.headers["Allow"]) == (200, "POST, OPTIONS")


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("xcover-offers", ""),
        ("xcover-offers", '{"partner_metadata": {}}'),
        ("xcover-bookings", '{"partner_metadata": {"a": "x", "b": 1, "c": 1.5, "d": true}}'),
        ("xcover-bookings", '{"partner_metadata": {"extras_purchased": null}}'),
        ("xone-offers", '{"customer": {}}'),
        ("xone-offers", json.dumps({"customer": CUSTOMER})),
        ("xone-quotes", json.dumps({"customer": {**CUSTOMER, "date_of_birth": "1990-01-31"}})),
    ],
)
def test_documented_bodies_are_taken(caller: Caller, api: str, body: str) -> None:
    """Flat metadata, and the ten fields of a customer, are acceptable."""
    assert caller.opt_out(api, body=body).ok


@pytest.mark.parametrize(
    ("api", "body", "errors"),
    [
        ("xcover-offers", '{"malformed": 1}', {"malformed": "Unexpected field"}),
        ("xcover-bookings", '{"offer_id": "A"}', {"offer_id": "Unexpected field"}),
        (
            "xcover-renewals",
            '{"partner_metadata": {}}',
            {"partner_metadata": "Unexpected field"},
        ),
        (
            "xcover-offers",
            '{"partner_metadata": {"a": [1], "b": 1}}',
            {"partner_metadata": {"a": ["Not a valid scalar."]}},
        ),
        (
            "xcover-offers",
            '{"partner_metadata": 1}',
            {"partner_metadata": ["Expected a dictionary of items."]},
        ),
        (
            "xcover-offers",
            "[]",
            {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]},
        ),
        ("xone-offers", "[]", {"body": ["The body must be an object."]}),
        ("xone-offers", '{"offer": 1}', {"offer": ["The offer field is prohibited."]}),
        (
            "xone-offers",
            '{"customer": []}',
            {"customer": ["The customer field must be an object."]},
        ),
        (
            "xone-offers",
            '{"customer": {"date_of_birth": "1990-01-31"}}',
            {"customer.date_of_birth": ["The customer.date_of_birth field is prohibited."]},
        ),
        (
            "xone-quotes",
            '{"customer": {"date_of_birth": "31.1.1990"}}',
            {
                "customer.date_of_birth": [
                    "The customer.date_of_birth field must match the format Y-m-d."
                ]
            },
        ),
        (
            "xone-quotes",
            '{"customer": {"email": null}}',
            {"customer.email": ["The customer.email field must be a string."]},
        ),
    ],
)
def test_other_fields_are_422(
    caller: Caller, api: str, body: str, errors: dict[str, object]
) -> None:
    """What the documents do not name is refused by field, and has no effect."""
    answer = caller.opt_out(api, body=body)

    assert (answer.status_code, answer.json()["errors"]) == (422, errors)
    assert caller.sandbox.effects() == {}


def test_lenient_sandbox_takes_any_field() -> None:
    """Custom fields exist in some integrations; then the strictness can be switched off."""
    with calling(Sandbox(SandboxOptions(strict_bodies=False))) as caller:
        assert caller.opt_out(body='{"custom": [1]}').status_code == 204


@pytest.mark.parametrize("api", ["xcover-offers", "xone-offers"])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"quotes": ', "unexpected end of data: line 1 column 12 (char 11)"),
        (b'{"a": NaN}', "unexpected character: NaN"),
        (b'{"a": "\xff"}', "str is not valid UTF-8: line 1 column 8"),
        (b"[" * 100_000, "recursion limit reached"),
        (b"{'a': 1}", "line 1 column 2 (char 1)"),
    ],
)
def test_bad_json_is_400(caller: Caller, api: str, body: bytes, why: str) -> None:
    """What is not JSON is refused in the recorded words."""
    answer = caller.opt_out(api, body=body)

    assert answer.status_code == 400
    assert answer.json()["message"].startswith("JSON parse error - ")
    assert answer.json()["message"].endswith(why)


def test_other_media_types_are_415(caller: Caller) -> None:
    """A form is no JSON body."""
    headers = {**caller.signature(), "Content-Type": "application/x-www-form-urlencoded"}

    answer = caller.post(PATHS["xcover-offers"].format("A"), headers=headers, body="a=1")

    assert answer.status_code == 415


@pytest.mark.parametrize("offer", ["A_1", "a%2Fb", "x" * 65, "é"])
def test_malformed_ids_are_unknown(caller: Caller, offer: str) -> None:
    """An id is letters, digits and hyphens."""
    answer = caller.opt_out(offer=offer)

    assert answer.status_code == 404
    assert answer.json() == {"type": "api_error", "message": "Quote package does not exist"}


@pytest.mark.parametrize(
    ("offer", "status"),
    [
        ("OFFER-1", 404),
        ("PYWUR-TAPHT-INS", 204),
        ("1d29230f-92f5-4bb6-887d-3a6b0d1969d1", 204),
    ],
)
def test_strict_ids(offer: str, status: int) -> None:
    """With strict ids only the two observed formats exist."""
    with calling(Sandbox(SandboxOptions(strict_ids=True))) as caller:
        assert caller.opt_out(offer=offer).status_code == status


def test_unknown_offers_are_404() -> None:
    """With a list of known offers, others do not exist."""
    with calling(Sandbox(SandboxOptions(known_offers=frozenset({"A"})))) as caller:
        assert [caller.opt_out(offer=offer).status_code for offer in "AB"] == [204, 404]


@pytest.mark.parametrize("path", PATHS.values())
def test_other_partners_are_404(caller: Caller, path: str) -> None:
    """Credentials open one partner."""
    assert caller.post(path.format("A").replace("LLODT", "E3CCM")).status_code == 404


@pytest.mark.parametrize("offer", ["OFFER-1", "PYWUR-TAPHT-INS"])
def test_status_becomes_opted_out(caller: Caller, offer: str) -> None:
    """The package is opted out; its quotes and its time of change are untouched."""
    path = f"/x/partners/LLODT/quotes/{offer}/"
    before = caller.post(path, method="GET", body="null").json()

    caller.opt_out(offer=offer)

    after = caller.post(path, method="GET", body="null").json()
    assert (before["status"], after["status"]) == ("RECEIVED", "OPTED_OUT")
    assert after == {**before, "status": "OPTED_OUT"}
    assert [quote["status"] for quote in after["quotes"]] == ["RECEIVED"]


def test_booked_offer_stays_booked(caller: Caller) -> None:
    """An opt-out of a confirmed offer is accepted and changes nothing of the booking."""
    assert caller.post("/x/partners/LLODT/bookings/OFFER-1/").status_code == 201

    assert caller.opt_out().status_code == 204
    assert caller.status() == "CONFIRMED"
    assert caller.sandbox.bookings() == ["OFFER-1"]


def test_second_booking_is_422(caller: Caller) -> None:
    """An offer is booked once."""
    answers = [caller.post("/x/partners/LLODT/bookings/OFFER-1/") for _ in "12"]

    assert [answer.status_code for answer in answers] == [201, 422]
    assert answers[1].json()["errors"][0].startswith("Booking already exists for fast_quote_id")


def test_rate_limit() -> None:
    """Above the rate the documented text is answered, with a Retry-After."""
    with calling(Sandbox(SandboxOptions(rate_per_second=2), clock=lambda: 1_800_000_000_000)) as c:
        answers = [c.opt_out(offer=offer) for offer in "ABC"]

    text = "Request was throttled. Expected available in 1 second."
    assert [answer.status_code for answer in answers] == [204, 204, 429]
    assert (answers[2].json()["message"], answers[2].headers["Retry-After"]) == (text, "1")


def test_rate_limit_slides() -> None:
    """A call is allowed again as soon as an old one has left the window."""
    times = iter(range(0, 1_000_000, 100))
    with calling(Sandbox(SandboxOptions(rate_per_second=0.5), clock=lambda: next(times))) as c:
        statuses = [c.opt_out(offer=f"A{number}").status_code for number in range(8)]

    assert statuses[0] == 204
    assert set(statuses[1:]) == {204, 429}


@pytest.mark.parametrize("api", OAUTH_APIS)
def test_oauth_refusals_have_a_message(caller: Caller, api: str) -> None:
    """The OAuth APIs say what is wrong in `message` alone."""
    caller.sandbox.fault("status", status=404, times=1)

    assert caller.opt_out(api).json() == {"message": "Not Found."}
