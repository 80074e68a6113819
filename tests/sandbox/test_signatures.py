"""HMAC signatures: the published vectors, both canonical forms, and every way to be wrong."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate
from pathlib import Path
from typing import Any

import pytest

from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import Sandbox
from proxy.sandbox.signatures import Verifier
from proxy.sandbox.wire import Request
from tests.sandbox.caller import PATHS, Caller, authorization, calling

VECTORS = Path(__file__).parent.parent / "vectors" / "hmac_vectors.json"
CASES = [case for group in json.loads(VECTORS.read_text()).values() for case in group]
PATH = PATHS["xcover-offers"].format("OFFER-1")


def request_of(case: dict[str, Any]) -> Request:
    """The request that a vector describes."""
    method = "POST" if case["method"] == "(any)" else case["method"]
    target = "/x/any" if case["path"] == "(any)" else case["path"]
    headers = {"date": case["date"], "authorization": case["authorization"]}
    return Request(method=method, target=f"{target}?unsigned=1", headers=headers)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors_verify(case: dict[str, Any]) -> None:
    """Every published and computed signature is accepted with its secret, whatever the query."""
    proof = Verifier(case["api_key"], case["api_secret"]).check(request_of(case))

    assert (proof.verified, proof.why_not) == (True, None)
    assert proof.algorithm == case["algorithm"]
    assert proof.signed == (case["headers_param"] or "date")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors_fail_with_another_secret(case: dict[str, Any]) -> None:
    """No signature is accepted with another secret."""
    proof = Verifier(case["api_key"], case["api_secret"] + "x").check(request_of(case))

    assert (proof.verified, proof.why_not) == (False, "Signature string does not match!")


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha384", "hmac-sha512"])
@pytest.mark.parametrize("signed", ["", "date", "(request-target) date", "date (request-target)"])
def test_both_forms_and_three_algorithms(caller: Caller, algorithm: str, signed: str) -> None:
    """The date alone or the request line with it, the lines in the order that is named."""
    options, date = caller.sandbox.options, formatdate(usegmt=True)
    lines = {"date": f"date: {date}", "(request-target)": f"(request-target): post {PATH}"}
    content = "\n".join(lines[name] for name in (signed or "date").split())
    header = authorization(
        options.api_key, options.api_secret, content, algorithm=algorithm, signed=signed
    )

    answer = caller.post(PATH, headers={"Date": date, "Authorization": header})

    assert answer.status_code == 204


def test_refusal_is_403_as_observed(caller: Caller) -> None:
    """A wrong secret gets the recorded answer, and the reason is in the ledger only."""
    answer = caller.post(PATH, headers=caller.signature("wrong"))

    text = "You do not have permission to access this url"
    assert (answer.status_code, answer.json()) == (403, {"type": "auth_error", "message": text})
    entry = caller.sandbox.requests()[0]
    assert (entry["verified"], entry["why_not"]) == (False, "Signature string does not match!")
    assert caller.sandbox.effects() == {}


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("^Signature", "Bearer"),
        ("^Signature ", "Signature"),
        ('keyId="[^"]*"', 'keyId="unknown"'),
        ('keyId="[^"]*",', ""),
        ("hmac-sha512", "hmac-md5"),
        ("hmac-sha512", "hmac-sha1"),
        ("hmac-sha512", "none"),
        ('algorithm="[^"]*",', ""),
        ('signature="[^"]*"', 'signature=""'),
        ('signature="[^"]*"', 'signature="é"'),
        (',signature="[^"]*"', ""),
        (",signature", ',created="1",signature'),
        (",signature", ',algorithm="hmac-sha512",signature'),
        (",signature", ',headers="",signature'),
        (",signature", ',headers="(request-target)",signature'),
        (",signature", ',headers="date host-not-there",signature'),
        ('keyId="', "keyId='"),
        ("%", ""),
        ("%2B|%2F|%3D", "_"),
        ("$", ", Signature x"),
    ],
)
def test_malformed_signatures_are_refused(caller: Caller, pattern: str, replacement: str) -> None:
    """Unknown, missing, repeated and wrong parameters all end in the same 403."""
    headers = caller.signature()
    header = re.sub(pattern, replacement, headers["Authorization"])

    answer = caller.post(
        PATH, headers={**headers, "Authorization": header.encode().decode("latin-1")}
    )

    assert answer.status_code == 403
    assert caller.sandbox.requests()[0]["verified"] is False


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("^Signature", "SIGNATURE"), ("keyId", "keyid"), (",", ", ")],
)
def test_spelling_of_names_is_free(caller: Caller, pattern: str, replacement: str) -> None:
    """Scheme and parameter names are compared without case, blanks are allowed between."""
    headers = caller.signature()
    header = re.sub(pattern, replacement, headers["Authorization"])

    assert caller.post(PATH, headers={**headers, "Authorization": header}).status_code == 204


def test_lower_case_escapes_are_tolerated(caller: Caller) -> None:
    """.NET writes %3d."""
    headers = caller.signature()
    header = re.sub("%..", lambda escape: escape[0].lower(), headers["Authorization"])

    assert caller.post(PATH, headers={**headers, "Authorization": header}).status_code == 204


@pytest.mark.parametrize(
    "date",
    [
        "",
        "Thu, 4 Nov 2021 18:07:11 GMT",
        "2021-11-04T18:07:11Z",
        "Thu, 99 Nov 2021 18:07:11 GMT",
        "Thu, 04 Nov 2021 18:07:11 UTC",
    ],
)
def test_malformed_dates_are_refused(caller: Caller, date: str) -> None:
    """The date is padded RFC 822, and must be there."""
    options = caller.sandbox.options
    header = authorization(options.api_key, options.api_secret, f"date: {date}")

    answer = caller.post(PATH, headers={"Date": date, "Authorization": header})

    assert answer.status_code == 403
    assert "Date" in caller.sandbox.requests()[0]["why_not"]


@pytest.mark.parametrize("key", ["other", ""])
def test_api_key_header_must_be_the_key_id(caller: Caller, key: str) -> None:
    """X-Api-Key may be left out, as xcover-python does, but not differ."""
    headers = caller.signature()
    without = {name: headers[name] for name in ("Date", "Authorization")}

    assert caller.post(PATH, headers=without).status_code == 204
    assert caller.post(PATH, headers={**headers, "X-Api-Key": key}).status_code == 403


@pytest.mark.parametrize(
    ("minutes", "status"), [(-16, 403), (-14, 204), (0, 204), (14, 204), (16, 403)]
)
def test_clock_skew(minutes: int, status: int) -> None:
    """With a limit, a date too far off is refused; without one any date is fine."""
    options = SandboxOptions(clock_skew=timedelta(minutes=15))
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    header = authorization(options.api_key, options.api_secret, f"date: {date}")
    headers = {"Date": date, "Authorization": header}

    with calling(Sandbox(options)) as caller:
        assert caller.post(PATH, headers=headers).status_code == status
    with calling(
        Sandbox(SandboxOptions(api_key=options.api_key, api_secret=options.api_secret))
    ) as c:
        assert c.post(PATH, headers=headers).status_code == 204


def test_numeric_zone_is_a_date(caller: Caller) -> None:
    """-0000 is UTC too."""
    options, date = caller.sandbox.options, "Thu, 04 Nov 2021 18:07:11 -0000"
    header = authorization(options.api_key, options.api_secret, f"date: {date}")

    assert caller.post(PATH, headers={"Date": date, "Authorization": header}).status_code == 204


@pytest.mark.parametrize(("allowed", "status"), [(True, 204), (False, 403)])
def test_sha1_is_a_switch(*, allowed: bool, status: int) -> None:
    """The deprecated algorithm is off unless asked for."""
    with calling(Sandbox(SandboxOptions(allow_sha1=allowed))) as caller:
        headers = caller.signature(algorithm="hmac-sha1")

        assert caller.post(PATH, headers=headers).status_code == status


def test_the_path_signed_is_the_path_sent(caller: Caller) -> None:
    """Another path under the same signature is refused; its query is not signed."""
    options, date = caller.sandbox.options, formatdate(usegmt=True)
    content = f"(request-target): post {PATH}\ndate: {date}"
    header = authorization(
        options.api_key, options.api_secret, content, signed="(request-target) date"
    )
    headers = {"Date": date, "Authorization": header}

    assert caller.post(f"{PATH}?a=1", headers=headers).status_code == 204
    assert caller.post(PATH.replace("OFFER-1", "OFFER-2"), headers=headers).status_code == 403


def test_bearer_token_opens_no_hmac_call(caller: Caller) -> None:
    """One scheme's credentials are nothing to the other."""
    caller.opt_out("xone-offers")

    headers = {"Authorization": f"Bearer {caller.bearer}"}
    assert caller.post(PATH, headers=headers).status_code == 403
    assert (
        caller.post(PATHS["xone-offers"].format("A"), headers=caller.signature()).status_code == 401
    )
