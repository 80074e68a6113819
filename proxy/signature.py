"""The `Signature` scheme of the XCover API. Knows no network, no clock."""

import hmac
from base64 import b64encode
from typing import Literal
from urllib.parse import quote

Algorithm = Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"]


def authorization(
    *,
    api_key: str,
    api_secret: str,
    algorithm: Algorithm,
    headers: str | None,
    method: str,
    target: str,
    date: str,
) -> str:
    """Return the Authorization header for *date*; ValueError for a header that is not signed.

    *headers* is what the parameter of that name says, in its order; None leaves it out and signs
    the date alone. *target* is a path as sent: its escapes are signed as they are, its query not.
    """
    text = "\n".join(_line(name, method, target, date) for name in (headers or "date").split(" "))
    digest = hmac.digest(api_secret.encode(), text.encode(), algorithm.removeprefix("hmac-"))
    parameters = [("keyId", api_key), ("algorithm", algorithm)]
    if headers is not None:
        parameters.append(("headers", headers))
    parameters.append(("signature", quote(b64encode(digest), safe="")))
    return "Signature " + ",".join(f'{name}="{value}"' for name, value in parameters)


def _line(name: str, method: str, target: str, date: str) -> str:
    if name == "(request-target)":
        return f"(request-target): {method.lower()} {target.partition('?')[0]}"
    if name == "date":
        return f"date: {date}"
    raise ValueError("only `date` and `(request-target)` can be signed")
