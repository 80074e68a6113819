"""The peer that is nginx: its JavaScript verifies and signs as ours does. Run in Node.js here."""

import json
import subprocess
from email.utils import formatdate
from typing import Any

import pytest
from itsdangerous.encoding import base64_encode

from proxy.signature import authorization
from tests.snippet.node import NODE, ROOT
from tests.tokens.tools import AUDIENCE, CLAIMS, KID, SECRET, VECTORS

PROGRAM = """
const [path, call, ...given] = JSON.parse(process.argv[1]);
const forward = (await import(path)).default;
console.log(JSON.stringify(forward[call](...given)));
"""
# What a claim may say is not judged there: the peer is the limit of plain proxying.
JUDGED = [case for case in VECTORS["cases"] if case["expect"] != "token_claims_invalid"]
KEY = {
    "kid": KID,
    "secret": base64_encode(SECRET).decode(),
    "audience": AUDIENCE,
    "partner": CLAIMS["p"],
}


def run(call: str, *given: object) -> Any:
    """Return what a function of the script returns."""
    told = json.dumps([str(ROOT / "bench/peers/forward.js"), call, *given])
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", PROGRAM, told],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case["name"])
def test_nginx_takes_the_tokens_that_we_take_and_no_other(case: dict[str, Any]) -> None:
    """Every published token, at its time."""
    claims = run("verify", case["token"], KEY, case["now"])

    assert (claims is not None) == (case["expect"] == "ok")


def test_nginx_reads_the_claims_that_were_signed() -> None:
    """The offer that it reports is the token's."""
    token, now = VECTORS["token"], VECTORS["iat"]

    assert run("verify", token, KEY, now) == CLAIMS


def test_nginx_signs_as_we_do() -> None:
    """The header for the insurer, to the last character."""
    date = formatdate(1_767_225_600, usegmt=True)

    signed = run("authorization", "key-1", "s3cret", date)

    assert signed == authorization(
        api_key="key-1",
        api_secret="s3cret",
        algorithm="hmac-sha256",
        headers=None,
        method="POST",
        target="/x",
        date=date,
    )
