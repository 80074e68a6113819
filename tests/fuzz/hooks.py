"""What the schema fuzzer is told: who it is, what only a deployment knows, and more to check.

Loaded by Schemathesis. A generated value is replaced only where the document says that it must be
a deployment's own: the token, the origin, the upstream. What makes a case a bad one stays.
"""

import atexit
import json
import os
import random
import re
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, TypeGuard
from uuid import UUID

import schemathesis
import yaml
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response
from schemathesis.checks import CheckContext
from schemathesis.core.parameters import ParameterLocation

from proxy.tokens import LONGEST
from tests.fuzz.deployment import KID, keyring

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
CODES: dict[str, Any] = DOCUMENT["x-problem-codes"]
OWN: dict[str, str] = json.loads(os.environ["FUZZ_DEPLOYMENT"])
KEYS = keyring(OWN["secret"])
UPSTREAM = "tickets"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
LINES = ("application/x-ndjson", "application/jsonl")
# Well-formed, and refused for what no schema says: chance made a card number, an id came twice.
BY_CONTENT = {"pan_detected", "idempotency_key_reused"}
DICE = random.Random(os.environ.get("FUZZ_DICE"))  # no two runs on one service make the same ids
SEEN: Counter[str] = Counter()

_OFFER = re.compile("[A-Za-z0-9-]{1,64}")
_UUID = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
_PRINTED = re.compile("[!-~]{1,255}")


def message() -> dict[str, Any]:
    """Return a message that a server may send."""
    now = time.time_ns() // 1_000_000
    offer, choice = f"line-{DICE.randrange(50)}", DICE.choice(["undecided", "declined", "accepted"])
    return {"offer": offer, "choice": choice, "id": fresh_id(), "seq": now, "at": now}


def fresh_id() -> str:
    """Return an id that no other message has."""
    return str(UUID(int=DICE.getrandbits(128), version=4))


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
_CHANGED = st.dictionaries(
    st.sampled_from(["offer", "choice", "id", "seq", "at", "order", "purchased", "metadata", "x"]),
    _SCALARS,
    max_size=2,
)
_LINE = _CHANGED.map(lambda changed: json.dumps(message() | changed).encode()) | st.binary(
    max_size=20
).map(lambda raw: raw.replace(b"\n", b""))
schemathesis.openapi.media_type(
    LINES[0], st.lists(_LINE, min_size=1, max_size=8).map(lambda lines: b"\n".join([*lines, b""]))
)
schemathesis.openapi.media_type(
    LINES[1], st.lists(_LINE, min_size=1, max_size=8).map(lambda lines: b"\n".join([*lines, b""]))
)
schemathesis.openapi.format(
    "line", st.text(st.characters(categories=["L", "M", "N", "P", "S"], include_characters=" "))
)
schemathesis.openapi.format("date", st.dates(date(1900, 1, 1)).map(str))


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Make the case this deployment's."""
    if _fits(_NAME, case.query.get("upstream")):
        case.query["upstream"] = UPSTREAM
    if case.media_type == FORM:
        case.headers["Origin"] = OWN["origin"]
    if _fits(_PRINTED, case.headers.get("Idempotency-Key")) and DICE.random() < 0.9:
        case.headers["Idempotency-Key"] = fresh_id()
    if isinstance(case.body, dict):
        case.body = _proven(_owned(case.body), case.media_type)


def _owned(body: dict[str, Any]) -> dict[str, Any]:
    own = {name: _whole(value) for name, value in body.items()}
    if _fits(_UUID, body.get("id")):
        own["id"] = body["id"] if DICE.random() < 0.1 else fresh_id()
    if _fits(_NAME, body.get("upstream")):
        own["upstream"] = UPSTREAM
    if isinstance(body.get("origin"), str):
        own["origin"] = OWN["origin"]
    return own


def _proven(body: dict[str, Any], media: str | None) -> dict[str, Any]:
    """Return *body* with a token that proves it, nine times out of ten."""
    token, offer = body.get("token"), body.get("offer")
    if not isinstance(token, str) or len(token) > LONGEST:
        return body
    if token.startswith(f"{KID}."):  # of an earlier answer: it names its offer, and is for a form
        return {
            name: body[name] for name in body if name != ("offer" if media == FORM else "token")
        }
    if DICE.random() < 0.1:
        return body
    named: str = offer if isinstance(offer, str) and _fits(_OFFER, offer) else "an-offer"
    return body | {"token": minted(named)}


def _whole(value: object) -> object:
    """Return 5 for 5.0: to a schema they are the same, and the document says which one it takes."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def minted(offer: str) -> str:
    """Return a token for *offer*."""
    now = int(time.time())
    return KEYS.mint("ACME", offer=offer, origin=OWN["origin"], upstream=UPSTREAM, now=now)


def _fits(pattern: "re.Pattern[str]", value: object) -> TypeGuard[str]:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    """Count what was answered."""
    code = _problem(response).get("code", "")
    SEEN[f"{case.operation.label} {response.status_code} {code}".rstrip()] += 1


@schemathesis.hook
def filter_failure(
    _context: HookContext, failure: Any, case: Case[Any], response: Response
) -> bool:
    """Forgive a good case its refusal where it is for the content, as the document says."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    return _problem(response).get("code") not in BY_CONTENT and _is_lined(case.body)


def _is_lined(body: object) -> bool:
    """Tell whether the texts of *body* are of format `line`, which Schemathesis can not judge."""
    members = body.values() if isinstance(body, dict) else ()
    return all(
        text.isprintable()
        for member in members
        if isinstance(member, dict)
        for text in member.values()
        if isinstance(text, str)
    )


def _problem(response: Response) -> dict[str, Any]:
    kind = response.headers.get("content-type", [""])[0]
    return dict(response.json()) if kind == "application/problem+json" else {}


@schemathesis.check
def refusals_are_documented(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """A code is one of the call's, with its status; no answer is stored or sniffed."""
    problem = _problem(response)
    if problem:
        call = case.operation.definition.raw
        assert problem["code"] in call["x-codes"], problem["code"]
        wanted = CODES[problem["code"]]["status"]
        assert response.status_code in {wanted, 422 if "origin" in problem["code"] else wanted}
    if response.status_code != 200 or case.path.startswith("/v1/"):
        assert response.headers["cache-control"] == ["no-store"]
    assert response.headers["x-content-type-options"] == ["nosniff"]


@schemathesis.check
def each_line_has_its_answer(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """A batch is answered line by line."""
    if case.path != "/v1/choices/batch" or response.status_code != 200:
        return
    sent = response.request.body or b""
    told = (sent.encode() if isinstance(sent, str) else sent).removesuffix(b"\n").split(b"\n")
    answered = [json.loads(line) for line in response.text.splitlines()]
    assert len(answered) == len(told)
    for said in answered:
        assert said.get("code") in CODES if "code" in said else "receipt" in said
    meta = case.meta
    if case.media_type == JSON and meta and meta.is_negative_at(ParameterLocation.BODY):
        assert all("code" in said for said in answered)


@atexit.register
def tell() -> None:
    """Write down what was counted."""
    Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps(SEEN))
