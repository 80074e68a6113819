"""What a session token proves, and each way in which it does not."""

import hashlib
import random
import string
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from proxy.choices import Session
from proxy.errors import Problem
from proxy.inspection import inspect
from proxy.tokens import LONGEST, Keyring, SigningKey, admit
from tests.tokens.tools import (
    AUDIENCE,
    CLAIMS,
    IAT,
    KID,
    SECRET,
    TOKEN,
    VECTORS,
    keyring,
    sign,
    verdict,
    with_claims,
)

SAFE = string.ascii_letters + string.digits + "-_"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Every published vector has its published verdict."""
    assert verdict(case["token"], now=case["now"]) == case["expect"]


def test_what_a_token_proves() -> None:
    """Each claim arrives where the rest of the program looks for it."""
    assert keyring().verify(with_claims(r="tickets"), IAT) == Session(
        kid=KID,
        partner="ACME",
        upstream="tickets",
        offer=CLAIMS["o"],
        origin="https://shop.example",
        jti=CLAIMS["jti"],
        issued_at=IAT,
        ttl=1800,
    )


def test_it_is_what_itsdangerous_makes() -> None:
    """A partner's own TimestampSigner yields a token that verifies."""
    signer = TimestampSigner(
        SECRET, salt=b"optout.session.v1", key_derivation="hmac", digest_method=hashlib.sha256
    )
    kid_and_payload = TOKEN.rsplit(".", 2)[0]

    token = signer.sign(kid_and_payload).decode()

    assert verdict(token, now=inspect(token)["issued_at"]) == "ok"


def test_age_is_not_judged_by_verify() -> None:
    """An old token may still carry a choice that was made in time."""
    assert keyring().verify(TOKEN, IAT + 10_000_000).issued_at == IAT


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(-61, "token_not_yet_valid"), (-60, "ok"), (1860, "ok"), (1861, "token_expired")],
)
def test_the_window(seconds: int, code: str) -> None:
    """60 s on either side are forgiven, to the second."""
    assert verdict(TOKEN, now=IAT + seconds) == code


MALFORMED = {
    "empty": "",
    "a line feed after it": f"{TOKEN}\n",
    "a space before it": f" {TOKEN}",
    "three parts": TOKEN.rsplit(".", 1)[0],
    "five parts": f"{TOKEN}.x",
    "no kid": TOKEN.replace(KID, ""),
    "a long kid": TOKEN.replace(KID, "k" * 33),
    "a kid beyond ASCII": TOKEN.replace("acme", "äcme"),
    "padding": f"{TOKEN}=",
    "other base64": TOKEN.replace("_", "/"),
    "a mac too short": TOKEN[:-1],
    "a mac too long": f"{TOKEN}A",
    "a long payload": f"{KID}.{'A' * 1401}.aVW5AA.{'A' * 43}",
    "a payload of no length": f"{KID}.AAAAA.aVW5AA.{'A' * 43}",
    "a time of another spelling": TOKEN.replace(".aVW5AA.", ".aVW5AB."),
    "a mac of another spelling": f"{TOKEN[:-1]}B",
    "a payload of another spelling": TOKEN.replace("MX0.", "MX1."),
    "too long": f"{KID}.{'A' * LONGEST}.aVW5AA.{'A' * 43}",
    "3 KB": "A" * 3000,
    "a surrogate": f"{TOKEN[:-1]}\ud800",
    "full-width dots": TOKEN.replace(".", "\uff0e"),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_other_texts_are_malformed(token: str) -> None:
    """There is one spelling of a token, judged before any key is used."""
    assert verdict(token) == "token_malformed"


def test_the_four_spellings_of_a_mac() -> None:
    """The two spare bits of the last character admit one spelling."""
    codes = {verdict(TOKEN[:-1] + last) for last in SAFE}

    assert codes == {"ok", "token_malformed", "token_bad_signature"}
    assert sum(verdict(TOKEN[:-1] + last) == "ok" for last in string.ascii_letters) == 1


def test_a_token_of_another_library_is_malformed() -> None:
    """The serializer's own form, with SHA-1 or compressed, has no kid."""
    assert verdict(str(URLSafeTimedSerializer(SECRET).dumps(CLAIMS))) == "token_malformed"
    assert verdict(str(URLSafeTimedSerializer(SECRET).dumps("x" * 900))) == "token_malformed"


def test_another_purpose_is_a_bad_signature() -> None:
    """A signature under another salt is not one for sessions."""
    token = sign(b"{}", salt=b"optout.admin.v1")

    assert verdict(token) == "token_bad_signature"


def test_the_kid_is_signed() -> None:
    """Another partner's kid on a good token does not verify."""
    ring = Keyring(
        [
            SigningKey(kid=KID, partner="ACME", secret=SECRET),
            SigningKey(kid="other", partner="OTHER", secret=b"x" * 32),
        ],
        AUDIENCE,
    )

    assert verdict(TOKEN.replace(KID, "other"), ring) == "token_bad_signature"


def test_a_partner_speaks_for_itself() -> None:
    """The key decides whose token it is; the claim must agree."""
    assert verdict(TOKEN, keyring(partner="OTHER")) == "token_partner_mismatch"


BAD_CLAIMS: dict[str, list[Any]] = {
    "v": [0, 2, 1.0, True, "1", None],
    "aud": [None, 1, ["optout-proxy:prod"]],
    "p": [None, 1, ["ACME"]],
    "o": ["", "..", ".", "a/b", "a%2fb", "a?b", "a#b", "a\r\nX: y", "a\x00", "\uff0e", "a_b",
          "a" * 65, "a\n", 5, None, ["a"]],
    "org": ["http://shop.example", "https://shop.example/", "https://Shop.example", "null", "*",
            "https://shop.example:0", "https://u@shop.example", "https://shop.example\n",
            "//shop.example", "http://127.0.0.1.example", "http://localhost.example",
            f"https://{'a' * 300}.example", "", None, 5],
    "jti": ["", "short", "a" * 21, "a" * 44, "a" * 21 + "=", "a" * 22 + "\n", None, 5],
    "ttl": [0, 59, 86401, 1800.0, 1800.5, True, "1800", None, -1800, 10**30],
    "r": ["", "a b", "a\n", "../x", "a" * 65, 5, None],
    "ch": ["", "x" * 42, "X" * 64, 5, None],
}  # fmt: skip
CASES = [(name, value) for name, values in BAD_CLAIMS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{n}={v!r:.30}" for n, v in CASES])
def test_a_claim_of_another_kind(name: str, value: object) -> None:
    """A genuine signature does not excuse a claim."""
    assert verdict(with_claims(**{name: value})) == "token_claims_invalid"


GOOD_CLAIMS: dict[str, list[Any]] = {
    "o": ["a", "A-1", "a" * 64],
    "org": ["https://shop.example", "https://shop.example:8443", "http://localhost",
            "http://127.0.0.1:3000", "http://[::1]:3000", "https://xn--bcher-kva.example"],
    "jti": ["a" * 22, "-_" * 16, "a" * 43],
    "ttl": [60, 1800, 86400],
    "r": ["tickets", "Tickets_2-b"],
    "ch": ["x" * 43, "0a" * 32],
}  # fmt: skip
GOOD = [(name, value) for name, values in GOOD_CLAIMS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), GOOD, ids=[f"{n}={v!r:.40}" for n, v in GOOD])
def test_a_claim_at_its_edge(name: str, value: object) -> None:
    """What the rules allow is accepted."""
    assert verdict(with_claims(**{name: value})) == "ok"


@pytest.mark.parametrize("name", ["v", "aud", "p", "o", "org", "jti", "ttl"])
def test_a_claim_that_is_missing(name: str) -> None:
    """Nothing is assumed."""
    assert verdict(with_claims(name)) == "token_claims_invalid"


@pytest.mark.parametrize("name", ["exp", "rail", "O", "", "customer"])
def test_a_claim_that_is_unknown(name: str) -> None:
    """It may be a limit that we would not keep."""
    assert verdict(with_claims(**{name: "x"})) == "token_claims_invalid"


PAYLOADS = {
    "array": b"[]",
    "text": b'"x"',
    "number": b"12",
    "null": b"null",
    "nested": b"[" * 500 + b"]" * 500,
    "an object in a claim": b'{"v":{"v":{}}}',
    "no JSON": b"{]",
    "two": b"{}{}",
    "UTF-16": '{"v":1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"v":"\xff"}',
    "spaces": b"  ",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_of_another_kind(payload: bytes) -> None:
    """Whatever a key holder signs, the answer is a refusal and never a fault of ours."""
    assert verdict(sign(payload)) == "token_claims_invalid"


def test_the_page_may_name_the_offer() -> None:
    """Without `o` only where the partner's `open_offers` is on."""
    session = keyring(open_offers=True).verify(with_claims("o"), IAT)

    assert session.offer is None


@pytest.mark.parametrize(
    ("names", "claim", "code"),
    [
        ({"a"}, {}, "ok"),
        ({"a"}, {"r": "a"}, "ok"),
        ({"a"}, {"r": "b"}, "token_claims_invalid"),
        ({"a", "b"}, {}, "token_claims_invalid"),
        ({"a", "b"}, {"r": "b"}, "ok"),
    ],
)
def test_the_upstream_is_the_partners(names: set[str], claim: dict[str, str], code: str) -> None:
    """It is named unless there is one, and it is one of the partner's."""
    assert verdict(with_claims(**claim), keyring(upstreams=frozenset(names))) == code


def test_the_order_of_judgement() -> None:
    """Audience before partner, partner before ttl, ttl before time."""
    wrong = {"aud": "x", "p": "OTHER", "ttl": 59}

    assert verdict(with_claims(**wrong), now=0) == "token_wrong_audience"
    assert verdict(with_claims(**wrong | {"aud": AUDIENCE}), now=0) == "token_partner_mismatch"
    assert verdict(with_claims(ttl=59), now=0) == "token_claims_invalid"
    assert verdict(TOKEN, now=0) == "token_not_yet_valid"


def test_a_detail_names_the_claim_and_no_value() -> None:
    """Whoever issues tokens finds the fault; nothing that was sent is repeated."""
    with pytest.raises(Problem) as refused:
        keyring().verify(with_claims(o="<script>"), IAT)

    assert refused.value.detail == "claim `o`"


@given(st.text(max_size=300))
def test_any_text_is_refused_with_a_code(text: str) -> None:
    """No text raises anything else."""
    assert verdict(text).startswith("token_")


@given(st.binary(max_size=200))
def test_any_signed_payload_is_refused_with_a_code(payload: bytes) -> None:
    """Nor does any payload under a good signature."""
    assert verdict(sign(payload)) in {"token_claims_invalid", "token_malformed"}


def test_200_000_mutants() -> None:
    """No change of one to four characters of a good token is accepted."""
    dice = random.Random(20260101)
    ring = keyring()

    accepted = [token for token in mutants(dice, 200_000) if verdict(token, ring) == "ok"]

    assert accepted == []


def mutants(dice: random.Random, count: int) -> set[str]:
    """Return *count* texts that differ from the good token; half of them have its shape."""
    found: set[str] = set()
    while len(found) < count:
        text = TOKEN
        letters, lengths = dice.choice(((SAFE, (1,)), (SAFE + ".=!é\n", (0, 1, 2))))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(text))
            new = "".join(dice.choices(letters, k=dice.choice(lengths)))
            text = text[:at] + new + text[at + 1 :]
        found |= {text} - {TOKEN}
    return found


def session(ttl: int = 1800) -> Session:
    """Return the session of the vectors."""
    return keyring().verify(with_claims(ttl=ttl), IAT)


END = (IAT + 1800 + 60) * 1000
LATE = timedelta(hours=24)
DAY = 86_400_000


@pytest.mark.parametrize("at_ms", [0, END, 2**53])
@pytest.mark.parametrize("now_ms", [IAT * 1000, END])
def test_in_time_the_customers_clock_is_not_judged(at_ms: int, now_ms: int) -> None:
    """While the token lives, `at` is only a remark."""
    assert admit(session(), at_ms=at_ms, now_ms=now_ms, late=LATE) is False


@pytest.mark.parametrize("at_ms", [(IAT - 60) * 1000, IAT * 1000, END])
@pytest.mark.parametrize("now_ms", [END + 1, END + DAY])
def test_a_choice_made_in_time_may_arrive_late(at_ms: int, now_ms: int) -> None:
    """It is marked: what depends on it knows that the page sent it afterwards."""
    assert admit(session(), at_ms=at_ms, now_ms=now_ms, late=LATE) is True


@pytest.mark.parametrize(
    ("at_ms", "now_ms"),
    [
        ((IAT - 60) * 1000 - 1, END + 1),
        (END + 1, END + 1),
        (IAT * 1000, END + DAY + 1),
        (IAT, END + 1),
    ],
    ids=["before the token", "after its end", "too late", "seconds for milliseconds"],
)
def test_any_other_is_expired(at_ms: int, now_ms: int) -> None:
    """Outside of the token's life, or later than the partner waits."""
    with pytest.raises(Problem, match="token_expired"):
        admit(session(), at_ms=at_ms, now_ms=now_ms, late=LATE)


def test_no_patience() -> None:
    """A partner may want no late choice at all."""
    with pytest.raises(Problem, match="token_expired"):
        admit(session(), at_ms=IAT * 1000, now_ms=END + 1, late=timedelta())


def test_a_genuine_token_fails_the_stock_rule_of_time() -> None:
    """Why the signature's own time rule is not used: it knows no leeway."""
    signer = TimestampSigner(
        SECRET, salt=b"optout.session.v1", key_derivation="hmac", digest_method=hashlib.sha256
    )

    with pytest.raises(BadSignature):
        signer.unsign(TOKEN, max_age=1)
