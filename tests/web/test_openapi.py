"""openapi.yaml says what the code does."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.errors import CODES
from proxy.web.messages import FORM_FIELDS, JSON_FIELDS
from tests.web.deployment import OFFER, Deployment

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi.yaml").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    (path, method.upper()): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def raised() -> set[str]:
    """Return every code that the web side names where it makes a problem."""
    calls = [
        node
        for path in (ROOT / "proxy/web").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem"
    ]
    values = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    return {str(value) for value in values}


def test_the_table_of_codes_is_the_closed_list() -> None:
    """Status and retry of every code, and no code besides."""
    expected = {
        name: {"status": code.status, "x-retry": "retry" if code.retry else "final"}
        for name, code in CODES.items()
    }

    assert DOCUMENT["x-problem-codes"] == expected
    assert list(DOCUMENT["x-problem-codes"]) == sorted(CODES)


@pytest.mark.parametrize("call", OPERATIONS, ids=" ".join)
def test_each_code_of_a_call_has_its_status(call: tuple[str, str]) -> None:
    """A caller that knows the statuses knows them all, and each comes from a code."""
    operation = OPERATIONS[call]
    statuses = {str(CODES[code].status) for code in operation["x-codes"]}
    refusals = {status for status in operation["responses"] if status >= "400"}

    assert operation["x-codes"] == sorted(set(operation["x-codes"]))
    assert statuses | ({"422"} & refusals) == refusals


def test_what_the_code_raises_is_documented() -> None:
    """No refusal surprises a caller."""
    documented = {code for operation in OPERATIONS.values() for code in operation["x-codes"]}

    assert raised() <= documented


def test_every_call_is_documented(deployment: Deployment) -> None:
    """And nothing is that is not there."""
    rules = deployment.client.application.url_map.iter_rules()
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert served == set(OPERATIONS)


def test_the_messages_have_the_documented_fields() -> None:
    """What is not documented is refused."""
    assert set(SCHEMAS["PageMessage"]["properties"]) == FORM_FIELDS
    assert set(SCHEMAS["ServerMessage"]["properties"]) == JSON_FIELDS


def test_the_answers_have_the_documented_members(deployment: Deployment) -> None:
    """Recorded, Offer, Session and Problem, to the last member."""
    said = {
        "Recorded": deployment.page(),
        "Offer": deployment.get(f"/v1/offers/{OFFER}", deployment.bearer()),
        "Session": deployment.server(
            {"offer": OFFER, "origin": "https://shop.example"}, path="/v1/sessions"
        ),
        "Problem": deployment.server(b"{}"),
    }
    members = {name: set(json.loads(answer.text)) for name, answer in said.items()}

    assert members == {name: set(SCHEMAS[name]["properties"]) for name in said}
