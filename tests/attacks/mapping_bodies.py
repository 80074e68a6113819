"""BODY: documents that two readers could understand differently, or that are too much."""

import gzip
import json
from typing import Any

from tests.attacks.cases import Case, Part, refused
from tests.attacks.target import JSON, Target

_UNFIT = ("__proto__", '{"$gt":""}', "{{7*7}}", "${jndi:ldap://x}", "constructor")
_MAILS = (
    "a@b.example\r\nBcc: x",
    "\u202ea@b.example",
    "a@b@c.example",
    "a\u200b@b.example",
    "\u0430@b.example",  # a Cyrillic letter
    f"{'a' * 10_000}@b.example",
)


def documents(code: str, *bodies: bytes) -> Part:
    """Return the part that *bodies* are refused wherever a JSON document is read."""
    return refused(code, lambda t: [one for body in bodies for one in t.everywhere(body)])


def members(code: str, *values: dict[str, Any]) -> Part:
    """Return the part that a server's good message with *values* in it is refused."""
    return refused(code, lambda t: [t.server(**value) for value in values])


def _nested(bracket: str, times: int) -> bytes:
    return (bracket * times).encode()


def _large(target: Target) -> list[bytes]:
    """Return what announces more than it may, with some of it."""
    body = b"a" * 1024
    return [
        target.server(headers={"Content-Length": "16385"}, body=body),
        target.session(headers={"Content-Length": "16385"}),
        target.page(headers={"Content-Length": "4097"}, body=body),
        target.server(path="/v1/choices/batch", headers={"Content-Length": "1048577"}, body=body),
        target.batch(b"a" * 16_385),
    ]


def _million_keys(target: Target) -> bytes:
    keys = "".join(f'"k{number}":{number},' for number in range(2_000))
    return target.server(headers={"Content-Length": "12000000"}, body=b"{" + keys.encode())


def _zipped(target: Target) -> list[bytes]:
    bomb = gzip.compress(bytes(10_000_000))
    headers = {"Content-Encoding": "gzip"}
    return [
        target.server(headers=headers, body=bomb),
        target.page(headers=headers, body=bomb),
        target.server(path="/v1/choices/batch", headers=headers, body=bomb),
    ]


def _with_charset(target: Target) -> list[bytes]:
    made = []
    for charset in ("utf-7", "utf-16", "latin-1"):
        headers = {"Content-Type": f"{JSON}; charset={charset}"}
        made += [target.server(headers=headers), target.session(headers=headers)]
    return made


def _mails(target: Target) -> list[bytes]:
    target.spoken |= {mail for mail in _MAILS if mail.isascii()}
    return [target.server(partner="OPEN", customer={"email": mail}) for mail in _MAILS]


CASES: dict[str, Case] = {
    "BODY-01": documents("invalid_json", b""),
    "BODY-02": documents("invalid_request", b"null", b"[]", b'"x"', b"1", b"true"),
    "BODY-04": documents("invalid_json", b"{}x", b"{}{}"),
    "BODY-05": (
        documents("invalid_json", _nested("[", 1000), _nested('{"a":', 3000), b"[" * 16_000),
        refused("body_too_large", lambda t: t.server(body=_nested("[", 20_000))),
        refused("body_too_large", lambda t: t.batch(_nested("[", 100_000))),
    ),
    "BODY-07": documents(
        "invalid_json", b'{"x":NaN}', b'{"x":Infinity}', b'{"x":-Infinity}', b'{"x":1e400}'
    ),
    "BODY-08": documents("invalid_json", b'{"choice":"accepted","choice":"declined"}'),
    "BODY-10": (
        members(
            "invalid_request",
            {"metadata": {"product": "a\0b"}},
            {"metadata": {"a\0b": "x"}},
            {"offer": "a\0b"},
            {"choice": "declined\0"},
            {"purchased": True, "order": "A\x001"},
            {"upstream": "tickets\0"},
        ),
        refused(
            "invalid_request",
            lambda t: t.server(partner="OPEN", customer={"first_name": "a\0b"}),
        ),
    ),
    "BODY-11": members(
        "invalid_request",
        *({name: value} for name in ("seq", "at", "tries") for value in (2**63, 2**53, -1, 1.5)),
    ),
    "BODY-13": documents("invalid_json", b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xe9"}'),
    "BODY-14": refused("unsupported_media_type", _with_charset),
    "BODY-16": refused("unsupported_content_encoding", _zipped),
    "BODY-17": refused("body_too_large", _large),
    "BODY-19": refused("body_too_large", _million_keys),
    "BODY-20": (
        members(
            "invalid_request",
            {"status": "delivered"},
            {"partner_id": "OTHER"},
            {"report": "delivered"},
            {"epoch": 7},
            {"id": 1},
        ),
        refused("invalid_request", lambda t: t.page(report="delivered")),
        refused("invalid_request", lambda t: t.session(partner_code="OTHER")),
    ),
    # There is no free text to put anything in: `metadata` has its own keys and plain values.
    "BODY-22": (
        members("invalid_request", *({"reason": text} for text in _UNFIT)),
        members("invalid_request", *({"choice": text} for text in _UNFIT)),
        members("invalid_request", *({"metadata": {text: "x"}} for text in _UNFIT[1:4])),
        members("invalid_request", {"metadata": {"x": {"$gt": ""}}}),
    ),
    "BODY-23": (
        members("invalid_request", {"reason": "x" * 10_000}, {"metadata": {"x": "x" * 10_000}}),
        refused("invalid_request", lambda t: t.page(reason="x" * 2000)),
    ),
    # A page can not name a customer at all, so there is nobody whose name it could use.
    "BODY-25": refused(
        "invalid_request",
        lambda t: t.page(
            token=t.token(ch="a" * 64), customer=json.dumps({"email": "victim@x.example"})
        ),
    ),
    "BODY-26": refused("customer_invalid", _mails),
}
