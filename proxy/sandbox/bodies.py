"""Which bodies the opt-out calls take. Knows their fields, not what becomes of them."""

import re
from typing import Any

from proxy.sandbox import answers
from proxy.sandbox.routes import Call
from proxy.sandbox.wire import Answer, NotJson, Request, read_json

_CUSTOMER = frozenset(
    {"first_name", "last_name", "country", "email", "phone"}
    | {"address1", "address2", "city", "region", "postcode"}
)
_DATE_OF_BIRTH = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def refused(call: Call, request: Request, *, strict: bool) -> Answer | None:
    """Return why the body of *request* is refused, None if it is acceptable.

    No body at all is one: the published document says that none is needed.
    """
    if not request.body:
        return None
    if request.media_type != "application/json":
        text = f'Unsupported media type "{request.media_type}" in request.'
        return answers.refusal(call, 415, text)
    try:
        content = read_json(request.body)
    except NotJson as error:
        return answers.refusal(call, 400, f"JSON parse error - {error}")
    if not strict:
        return None
    errors = (_xcover_errors if call.scheme == "hmac" else _xone_errors)(call, content)
    return answers.refusal(call, 422, errors=errors) if errors else None


def _xcover_errors(call: Call, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        kind = type(content).__name__
        return {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}
    known = set() if call.name == "xcover-renewals" else {"partner_metadata"}
    if unknown := {name: "Unexpected field" for name in content if name not in known}:
        return unknown
    metadata = content.get("partner_metadata", {})
    if not isinstance(metadata, dict):
        return {"partner_metadata": ["Expected a dictionary of items."]}
    complex_ones = [name for name, value in metadata.items() if isinstance(value, dict | list)]
    return (
        {"partner_metadata": {name: ["Not a valid scalar."] for name in complex_ones}}
        if (complex_ones)
        else {}
    )


def _xone_errors(call: Call, content: Any) -> dict[str, list[str]]:
    if not isinstance(content, dict):
        return {"body": ["The body must be an object."]}
    if unknown := [name for name in content if name != "customer"]:
        return {name: [f"The {name} field is prohibited."] for name in unknown}
    customer = content.get("customer", {})
    if not isinstance(customer, dict):
        return {"customer": ["The customer field must be an object."]}
    errors = {}
    for name, value in customer.items():
        if text := _customer_error(call, name, value):
            errors[f"customer.{name}"] = [f"The customer.{name} field {text}."]
    return errors


def _customer_error(call: Call, name: str, value: Any) -> str | None:
    birth = name == "date_of_birth" and call.name == "xone-quotes"
    if name not in _CUSTOMER and not birth:
        return "is prohibited"
    if not isinstance(value, str):
        return "must be a string"
    if birth and not _DATE_OF_BIRTH.fullmatch(value):
        return "must match the format Y-m-d"
    return None
