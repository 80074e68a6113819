"""The HMAC scheme against published and computed vectors, through the credentials in use."""

import json
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.credentials import HmacCredentials
from proxy.exchange import Request
from proxy.signature import authorization

FILE = Path(__file__).resolve().parents[1] / "vectors" / "hmac_vectors.json"
LISTS = json.loads(FILE.read_text("utf-8"))
VECTORS = {vector["name"]: vector for vector in LISTS["published"] + LISTS["computed"]}
DEFAULTS = {name: each for name, each in VECTORS.items() if each["headers_param"] is None}


def test_all_vectors_are_there() -> None:
    """A vector that is lost is noticed."""
    assert (len(LISTS["published"]), len(LISTS["computed"])) == (6, 11)


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_the_signature_is_the_published_one(vector: dict[str, Any]) -> None:
    """Every vector comes out byte for byte: query dropped, escapes and header order kept."""
    target = vector.get("prepared_url", "https://h/").split("/", 3)[3]

    header = authorization(
        api_key=vector["api_key"],
        api_secret=vector["api_secret"],
        algorithm=vector["algorithm"],
        headers=vector["headers_param"],
        method=vector["method"],
        target=f"/{target}",
        date=vector["date"],
    )

    assert header == vector["authorization"]


@pytest.mark.parametrize("vector", DEFAULTS.values(), ids=DEFAULTS)
def test_credentials_stamp_what_the_vector_says(vector: dict[str, Any]) -> None:
    """With `headers = "date"` the parameter is left out; key and date are headers too."""
    credentials = HmacCredentials(
        api_key=vector["api_key"],
        api_secret=vector["api_secret"],
        algorithm=vector["algorithm"],
        clock=parsedate_to_datetime(vector["date"]).timestamp,
    )
    request = Request(method="POST", url="https://h.example/x", body=b"{}", until=0)

    credentials.stamp(request)

    assert request.headers == {
        "Date": vector["date"],
        "X-Api-Key": vector["api_key"],
        "Authorization": vector["authorization"],
    }


def test_the_path_is_signed_where_the_setting_says_so() -> None:
    """The other form names both headers and signs the path with its prefix."""
    vector = VECTORS["offers_opt_out/hmac-sha512/(request-target)+date"]
    credentials = HmacCredentials(
        api_key=vector["api_key"],
        api_secret=vector["api_secret"],
        headers="(request-target) date",
        clock=parsedate_to_datetime(vector["date"]).timestamp,
    )
    request = Request(method="POST", url=vector["input_url"], body=b"{}", until=0)

    credentials.stamp(request)

    assert request.headers["Authorization"] == vector["authorization"]


def test_every_stamp_has_the_date_of_its_moment() -> None:
    """A retry with an old date would be refused, so nothing of a stamp is kept."""
    moments = iter([1_000_000_000.0, 1_000_000_001.0])
    credentials = HmacCredentials(api_key="k", api_secret="s", clock=lambda: next(moments))
    request = Request(method="POST", url="https://h.example/x", body=b"{}", until=0)

    credentials.stamp(request)
    first = dict(request.headers)
    credentials.stamp(request)

    assert (first["Date"], request.headers["Date"]) == (
        "Sun, 09 Sep 2001 01:46:40 GMT",
        "Sun, 09 Sep 2001 01:46:41 GMT",
    )
    assert first["Authorization"] != request.headers["Authorization"]


def test_no_other_header_is_signed() -> None:
    """A header that we would sign as empty, as other clients do, is an error."""
    with pytest.raises(ValueError, match="can be signed"):
        authorization(
            api_key="k",
            api_secret="s",
            algorithm="hmac-sha512",
            headers="date digest",
            method="POST",
            target="/",
            date="",
        )
