"""What else can be said in a form, in JSON or in a batch: a second table, by what is tried."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.attacks.cases import Case, Part, refused, taken, unread
from tests.attacks.mapping_bodies import documents, members
from tests.attacks.mapping_register import unknown_keys
from tests.attacks.target import FORM, OTHER_SHOP, SHOP, Target
from tests.attacks.wire import Answer

_CARD = "4111111111111111"
_NUMBERS = (
    "1e3",
    "+1",
    "-1",
    "0x1",
    " 1",
    "1 ",
    "1.0",
    "01",
    "1_000",
    "\u0661",
    "9" * 16,
    "NaN",
    "",
)
_WRONG_SEQS: tuple[object, ...] = (True, 1.0, 1e3, "1", [1], {}, 0, -1, 10**100)
_MEDIA = (
    "multipart/form-data; boundary=x",
    f"{FORM}; charset=latin-1",
    f"{FORM}; charset=utf-8; charset=utf-16",
    f"{FORM}; boundary=x",
    f"{FORM},application/json",
    "application/json+x",
    "text/html",
    "*/*",
    "",
)


def fields(code: str, **values: tuple[str, ...]) -> Part:
    """Return the part that a good form is refused for each of the *values* of a field."""
    wrong: list[dict[str, Any]] = [{name: one} for name, them in values.items() for one in them]
    return refused(code, lambda t: [t.page(**one) for one in wrong])


def _forms(code: str, change: Callable[[str], str]) -> Part:
    """Return the part that a good form is refused in the spelling that *change* gives it."""
    return refused(code, lambda t: t.page(body=change(urlencode(t.fields())).encode("latin-1")))


def _ending(*ends: str) -> Part:
    """Return the part that a form is refused for each of *ends*, the value of its last field."""
    return refused(
        "invalid_request",
        lambda t: [
            t.page(body=f"{urlencode(t.fields())}&order={end}".encode("latin-1")) for end in ends
        ],
    )


def _line(target: Target) -> bytes:
    return json.dumps(target.members()).encode()


def _mixed_batch(target: Target) -> list[Answer]:
    """A bad line spoils no other, and is answered in its own place."""
    good = [_line(target) for _ in range(3)]
    bad = [b"", b"\xef\xbb\xbf{}", b"{}", good[0] + good[1], b"\x0b", b"a" * 16_385]
    lines = [good[0], bad[0], bad[1], good[1], *bad[2:], good[2]]
    (answer,) = target.hears(target.batch(*lines), seconds=60.0)
    said = [one.get("code", one.get("choice")) for one in answer.lines()]
    assert answer.status == 200
    assert said == [
        "declined",
        "invalid_json",
        "invalid_json",
        "declined",
        "invalid_request",
        "invalid_json",
        "invalid_json",
        "body_too_large",
        "declined",
    ]
    return [answer]


def _separated(*separators: bytes) -> Part:
    """Return the part that nothing but a newline ends a line of a batch."""
    return refused(
        "invalid_json",
        lambda t: [t.batch(separator.join((_line(t), _line(t)))) for separator in separators],
    )


def _anothers(target: Target) -> list[Answer]:
    """What one partner made known, another can neither read nor change."""
    offer = target.new_offer()
    first = taken(lambda t: t.server(offer=offer))(target)
    return first + refused(
        "not_found",
        lambda t: [
            t.get(f"/v1/offers/{offer}", Authorization=t.bearer("OTHER")),
            t.get(f"/v1/offers/{offer}?upstream=elements", Authorization=t.bearer("OPEN")),
        ],
    )(target)


def _exhausted(target: Target) -> list[Answer]:
    """A token without an offer names five, and no sixth however it is spelt."""
    shop = "https://open.example"
    token = target.token(kid="open-1", p="OPEN", org=shop, o=None)

    def say(offer: str) -> bytes:
        return target.page(token=token, offer=offer, headers={"Origin": shop})

    heard = taken(lambda t: [say(t.new_offer()) for _ in range(5)])(target)
    heard += refused("token_offers_exhausted", lambda t: say(t.new_offer()))(target)
    return heard + refused("invalid_request", lambda _: [say(bad) for bad in ("..", "a/b", "")])(
        target
    )


def _cards(target: Target) -> list[bytes]:
    full_width = "".join(chr(ord(digit) + 0xFEE0) for digit in _CARD)
    target.spoken |= {_CARD, full_width}
    return [
        target.page(purchased="1", order=_CARD),
        target.page(
            purchased="1", order=f"ORDER-{_CARD[:4]}-{_CARD[4:8]}-{_CARD[8:12]}-{_CARD[12:]}"
        ),
        target.server(metadata={"note": full_width}),
        target.server(metadata={"note": int(_CARD)}),
        target.server(metadata={"note": " ".join(_CARD[n : n + 4] for n in range(0, 16, 4))}),
    ]


def _as_each_other(target: Target) -> list[bytes]:
    """Return calls with a proof of the other kind: a token for a key, a key for a token."""
    return [
        target.server(headers={"Authorization": f"Bearer {target.token()}"}),
        target.server(headers={"Authorization": None}, body=b'{"token":"x"}'),
    ]


ATTEMPTS: dict[str, Case] = {
    "a field under two spellings": _forms("invalid_request", lambda form: f"{form}&%74oken=x"),
    "a field twice": _forms("invalid_request", lambda form: f"{form}&choice=accepted"),
    "a field without a value": _forms("invalid_request", lambda form: f"{form}&purchased"),
    "a field without a name": _forms("invalid_request", lambda form: f"{form}&=x"),
    "a separator too many": _forms("invalid_request", lambda form: f"{form}&&tries=1"),
    "another separator": _forms("invalid_request", lambda form: f"{form};tries=1"),
    "broken escapes": _ending("%", "%2", "%g1", "%u0041", "%%41", "\xe9", "a b", "a\x00", "a\r\nb"),
    "escapes that are no UTF-8": _ending(
        "%ff", "%C0%AE", "%E0%80%AF", "%ED%A0%80", "%F5%80%80%80", "%80"
    ),
    "escapes of controls": fields(
        "invalid_request",
        id=("\0", "a\r\nb", "{" + "0" * 36 + "}", "urn:uuid:00000000-0000-4000-8000-000000000000"),
        choice=("declined\0", "declined\n", " declined", "DECLINED", "\ufeffdeclined", ""),
        tries=("1\0", "0", "1000"),
    ),
    "controls in an order": refused(
        "invalid_request",
        lambda t: [
            t.page(purchased="1", order=order)
            for order in ("A\0", "A\r\nX: y", "A B", "\x1b[2J", "\u202eA", "", "A" * 65)
        ],
    ),
    "numbers in a form that are none": fields("invalid_request", seq=_NUMBERS, at=_NUMBERS[:6]),
    "numbers in JSON that are none": members(
        "invalid_request",
        *({"seq": value} for value in _WRONG_SEQS),
        {"metadata": {"x": 10**400}},
        {"purchased": 1},
        {"purchased": "true"},
        {"tries": 1000},
    ),
    "numbers that no reader holds": documents(
        "invalid_json",
        b'{"seq":' + b"9" * 5_000 + b"}",
        b'{"seq":1e999999}',
        b'{"seq":-1e400}',
        b'{"seq":0x10}',
        b'{"seq":+1}',
        b'{"seq":01}',
        b'{"seq":1.}',
        b'{"seq":-}',
    ),
    "a key twice, however spelt or deep": documents(
        "invalid_json",
        b'{"choice":"accepted","\\u0063hoice":"declined"}',
        b'{"metadata":{"a":1,"a":2}}',
        b'{"metadata":[{"a":1,"a":1}]}',
    ),
    "halves of surrogate pairs": documents(
        "invalid_json",
        b'{"metadata":{"a":"\\ud800"}}',
        b'{"metadata":{"\\udfff":1}}',
        b'{"offer":"\\ude00\\ud83d"}',
        b'{"metadata":{"a":"\xed\xa0\x80"}}',
    ),
    "other encodings of JSON": documents(
        "invalid_json",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-be"),
        "{}".encode("utf-32"),
        b"\0{}",
        b"{}\0",
    ),
    "JSON that some readers take": documents(
        "invalid_json",
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b'{"a":1}//x',
        b'{"a":"\t"}',
        b'{"a":"\\x41"}',
        b'{"a":undefined}',
        b'{"a":1;"b":2}',
        b'\x0c{"a":1}',
    ),
    "depth of 33": documents(
        "invalid_json",
        b'{"metadata":' * 33 + b"1" + b"}" * 33,
        b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    ),
    "good lines and bad ones": _mixed_batch,
    "lines that end with CR and LF": taken(
        lambda t: t.batch(_line(t), _line(t), end=b"\r\n"), status=202
    ),
    "lines that end with anything else": _separated(
        b"\r", b"\x0b", b"\x0c", b"\x85", b"\xe2\x80\xa8", b"\0", b" "
    ),
    "a thousand lines and one": refused(
        "body_too_large", lambda t: t.batch(*(b"{}" for _ in range(1_001)))
    ),
    "a token's claims in the form": refused(
        "invalid_request",
        lambda t: [
            t.page(p="OTHER"),
            t.page(aud="x"),
            t.page(org=SHOP),
            t.page(upstream="tickets"),
        ],
    ),
    "an offer that is not the token's": refused(
        "offer_mismatch", lambda t: [t.page(offer=offer) for offer in ("other-1", "A#frag", "\0")]
    ),
    "more offers than a token may name": _exhausted,
    "another partner's offer": _anothers,
    "an upstream of another partner": refused(
        "invalid_request",
        lambda t: [t.server(upstream=name) for name in ("elements", "", "../x", "TICKETS")],
    ),
    "one proof in the place of the other": refused("server_key_invalid", _as_each_other),
    "a server key in a form": refused(
        "token_malformed", lambda t: t.page(token=t.partners["ACME"].server_key)
    ),
    "a server key, nearly": unknown_keys(
        "{key} x",
        "{key}=",
        "Bearer" + " " * 2_000 + "x",
        "Bearer osk_" + "a" * 5_000,
        "Bearer osk_",
    ),
    "a server key in the address": refused(
        "invalid_request",
        lambda t: t.server(path=f"/v1/choices?key={t.partners['ACME'].server_key}"),
    ),
    "an idempotency key that is none": (
        refused(
            "invalid_request",
            lambda t: [
                t.session(headers={"Idempotency-Key": key})
                for key in ("a b", "\xe9", "k" * 256, "")
            ],
        ),
        unread(lambda t: t.session(headers={"Idempotency-Key": "a\nX: y"})),
    ),
    "other media types": refused(
        "unsupported_media_type",
        lambda t: (
            [t.page(headers={"Content-Type": media}) for media in _MEDIA]
            + [t.server(path="/v1/sessions", headers={"Content-Type": FORM})]
        ),
    ),
    "other codings": refused(
        "unsupported_content_encoding",
        lambda t: [
            t.page(headers={"Content-Encoding": coding})
            for coding in ("identity", "br", "deflate", "", "gzip, gzip")
        ],
    ),
    "a page that one navigates to": refused(
        "fetch_context_not_allowed", lambda t: t.page(headers={"Sec-Fetch-Mode": "navigate"})
    ),
    "a cookie, and a wish for HTML": (
        taken(lambda t: t.page(headers={"Cookie": "session=admin; token=x"})),
        refused("token_missing", lambda t: t.page(token=None, headers={"Accept": "text/html"})),
    ),
    "a card number, however grouped": refused("pan_detected", _cards),
    "a session for another partner's page": refused(
        "origin_not_allowed", lambda t: t.session(origin=OTHER_SHOP), status=422
    ),
    "an offer of a session that climbs": refused(
        "invalid_request",
        lambda t: [t.session(offer=offer) for offer in ("..", "a/b", "A#frag", "", 1, None, ["a"])],
    ),
}
