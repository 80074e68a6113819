"""TOK, ORG and TXT: the session token, the page's origin, and the body that carries both."""

import base64
import secrets
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from itsdangerous import URLSafeTimedSerializer

from tests.attacks.cases import Case, Part, Then, refused, taken, unread
from tests.attacks.target import OTHER_SHOP, SHOP, Target
from tests.attacks.wire import Answer

_PREFLIGHT = {
    "Content-Type": None,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}
_BITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_OFFERS = ("..", ".", "a/b", "a%2fb", "a?b", "a#b", "a\r\nX: y", "a\0", "\uff0e\uff0e", "a" * 65)


def _with(**claims: Any) -> Part:
    """Return the part that a token with *claims* is refused for them."""
    return refused("token_claims_invalid", lambda t: t.page(token=t.token(**claims)))


def _payloads(*payloads: str) -> Part:
    """Return the part that a token with another payload is refused, well signed as it is."""
    return refused(
        "token_claims_invalid",
        lambda t: [t.page(token=t.token(payload=payload.encode())) for payload in payloads],
    )


def _spelt(spelling: str, token: str) -> str:
    """Return *token* in another spelling; the letters of its mac are the last 43."""
    same = _BITS[_BITS.index(token[-1]) ^ 1]  # the last two bits of 43 letters are of no byte
    return spelling.format(token=token, body=token[:-43], mac=token[-43:], same=token[:-1] + same)


def respelt(*spellings: str) -> Part:
    """Return the part that a token is taken in its one spelling only."""
    return refused(
        "token_malformed",
        lambda t: [t.page(token=_spelt(spelling, t.token())) for spelling in spellings],
    )


def _forged(token: str) -> str:
    """Return *token* with one bit of its mac flipped."""
    kid, payload, time, mac = token.split(".")
    return f"{kid}.{payload}.{time}.{_BITS[_BITS.index(mac[0]) ^ 1]}{mac[1:]}"


def _moved(token: str) -> str:
    kid, payload, _, mac = token.split(".")
    return f"{kid}.{payload}.AAAAAA.{mac}"


def _bomb(target: Target, megabytes: int) -> bytes:
    """Return a form with so many megabytes of zeros, compressed, in the place of claims."""
    packed = zlib.compress(bytes(megabytes * 1_000_000), level=9)
    claims = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return target.page(token=f".{claims}.{secrets.token_urlsafe(4)}.{secrets.token_urlsafe(32)}")


def _retired(target: Target) -> list[Answer]:
    """A key is taken out of the settings of the running process: its tokens are dead."""

    def is_so() -> bool:
        (answer,) = target.hears(target.page(token=target.token(kid="acme-0")))
        return answer.verdicts() == {(401, "token_unknown_key")}

    with target.changed(is_so, retired=""):
        make = refused("token_unknown_key", lambda t: t.page(token=t.token(kid="acme-0")))
        return make(target)


def _disabled(target: Target) -> list[Answer]:
    """A partner is switched off while its token is out."""
    token = target.token(kid="other-1", p="OTHER", org=OTHER_SHOP)

    def say() -> bytes:
        return target.page(token=token, headers={"Origin": OTHER_SHOP})

    def is_so() -> bool:
        (answer,) = target.hears(say())
        return answer.verdicts() == {(403, "partner_disabled")}

    with target.changed(is_so, disabled="true"):
        return refused("partner_disabled", lambda _: say())(target)


def _from(*origins: str, code: str = "origin_not_allowed") -> Part:
    """Return the part that a page of one of *origins* may say nothing, and read no answer."""
    return refused(
        code,
        lambda t: [t.page(headers={"Origin": origin}) for origin in origins],
        then=_unshared,
    )


def _unshared(_: Target, answer: Answer) -> None:
    assert not [name for name, _ in answer.headers if name.startswith("access-control")], answer


def _preflight(changes: Mapping[str, str], then: Then) -> Part:
    return taken(
        lambda t: t.page(method="OPTIONS", body=b"", headers={**_PREFLIGHT, **changes}),
        status=204,
        then=then,
    )


def _shared(_: Target, answer: Answer) -> None:
    assert answer.header("access-control-allow-origin") == SHOP
    assert answer.header("access-control-allow-headers") == "content-type"
    assert answer.header("access-control-allow-methods") == "POST"


def _as_text(*texts: str) -> Part:
    """Return the part that what is not sent as a form is not looked at."""
    headers = {"Content-Type": "text/plain;charset=UTF-8"}
    return refused(
        "unsupported_media_type",
        lambda t: [
            t.page(headers=headers, body=text.replace("{token}", t.token()).encode("latin-1"))
            for text in texts
        ],
    )


def _in_the_query(target: Target) -> bytes:
    return target.page(token=None, path=f"/v1/choices?token={target.token()}")


def _in_headers(target: Target) -> bytes:
    token = target.token()
    return target.page(
        token=None, headers={"Cookie": f"token={token}", "Authorization": f"Bearer {token}"}
    )


def _stock() -> str:
    return str(URLSafeTimedSerializer(secrets.token_hex()).dumps({"p": "ACME"}))


CASES: dict[str, Case] = {
    "TOK-01": refused("token_missing", lambda t: t.page(token=None)),
    "TOK-02": refused("token_malformed", lambda t: t.page(token="")),
    "TOK-04": refused("token_missing", _in_the_query),
    "TOK-05": refused("token_missing", _in_headers),
    "TOK-07": refused("token_not_yet_valid", lambda t: t.page(token=t.token(iat=62))),
    "TOK-08": taken(lambda t: t.page(token=t.token(iat=59))),  # the second may turn meanwhile
    "TOK-10": refused("token_bad_signature", lambda t: t.page(token=_forged(t.token()))),
    "TOK-11": refused("token_bad_signature", lambda t: t.page(token=_moved(t.token()))),
    "TOK-13": respelt("{token}=", "{token}!!!", "{body}é{mac}", "{body}!{mac}", "{token}\n"),
    "TOK-14": refused("token_unknown_key", lambda t: t.page(token=t.token(name="nobody-2026a"))),
    "TOK-16": _retired,
    "TOK-17": refused(
        "token_partner_mismatch", lambda t: t.page(token=t.token(kid="other-1", p="ACME"))
    ),
    "TOK-19": refused(
        "token_bad_signature",
        lambda t: [
            t.page(token=t.token(salt=salt))
            for salt in (b"optout.admin.v1", b"optout.csrf.v1", b"optout.receipt.v1", b"")
        ],
    ),
    "TOK-20": refused("token_malformed", lambda t: t.page(token=_stock())),
    "TOK-22": (
        refused("token_malformed", lambda t: _bomb(t, 1)),  # small enough to be read
        refused("body_too_large", lambda t: _bomb(t, 20)),
    ),
    "TOK-23": refused("token_malformed", lambda t: t.page(token="A" * 3000)),
    "TOK-25": _payloads(
        '{"v":1,"p":"ACME","p":"OTHER"}',
        '{"v":1,"aud":"optout-proxy:test","p":"ACME","p":"OTHER","org":"https://shop.example",'
        '"jti":"AAAAAAAAAAAAAAAAAAAAAA","ttl":1800,"o":"offer-1"}',
    ),
    "TOK-26": _payloads("[]", '"x"', "[" * 500 + "]" * 500, '{"a":' * 150 + "1" + "}" * 150),
    "TOK-28": tuple(_with(o=offer) for offer in _OFFERS),
    "TOK-29": _disabled,
    "ORG-01": refused("origin_missing", lambda t: t.page(headers={"Origin": None})),
    "ORG-02": _from("null"),
    "ORG-04": _from("https://evilshop.example", "https://shop.example.evil.com"),
    "ORG-05": _from("https://shopXexample"),
    "ORG-07": _from("https://shop.example:8443", "https://shop.example:443"),
    "ORG-08": _from("https://shop.example."),
    "ORG-10": _from("https://SHOP.EXAMPLE", "HTTPS://shop.example"),
    "ORG-11": _from("https://xn--shp-fna.example", "https://sh\xf6p.example"),
    "ORG-13": _from(f"{SHOP},https://evil.com", f"{SHOP}, https://evil.com", f"{SHOP} {SHOP}"),
    # With CR and LF together it is another header; each of them alone is no request.
    "ORG-14": unread(
        lambda t: [
            t.page(headers={"Origin": f"{SHOP}{end}X: y"}) for end in ("\n", "\r", "\r\n ", "\0")
        ]
    ),
    "ORG-16": _from(OTHER_SHOP),
    "ORG-17": _preflight({"Origin": "https://evil.com"}, _unshared),
    "ORG-19": _preflight({"Access-Control-Request-Private-Network": "true"}, _shared),
    "ORG-20": (
        taken(lambda t: t.page()),
        taken(
            lambda t: t.page(
                token=t.token(org="https://www.shop.example"),
                headers={"Origin": "https://www.shop.example"},
            )
        ),
    ),
    "TXT-01": (
        respelt(" {token}", "{token}\n", "\ufeff{token}", '"{token}"', "{token} {token}"),
        _as_text(" {token}", "{token}\n", '"{token}"', "{token} {token}"),
    ),
    "TXT-02": _as_text('{"token":"{token}","choice":"declined"}', "token={token}&choice=declined"),
    "TXT-04": _as_text("\xff\0>"),
    # As a page that goes away sends it: a beacon of a form, and nobody reads the answer.
    "TXT-05": taken(
        lambda t: t.page(
            headers={"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"},
            body=urlencode(t.fields(tries="2")).encode(),
        )
    ),
}
