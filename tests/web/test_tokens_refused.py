"""Which tokens are refused, and as what."""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer

from proxy.tokens import decode_secret
from tests.web.deployment import OFFER, SHOP, Deployment, code_of


def b64(data: bytes) -> str:
    """Return the base64url of *data*, unpadded."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(
    deployment: Deployment,
    payload: bytes,
    *,
    kid: str = "acme-1",
    name: str | None = None,
    salt: bytes = b"optout.session.v1",
) -> str:
    """Sign *payload* by hand, with the key of *kid*, under the kid *name*."""
    secret = decode_secret((deployment.files.folder / kid).read_text())
    key = hmac.new(secret, salt, hashlib.sha256).digest()
    time = b64(deployment.clock.seconds.to_bytes(4, "big"))
    text = f"{name or kid}.{b64(payload)}.{time}"
    return f"{text}.{b64(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def claims(**only: Any) -> bytes:
    """Return the payload of a good token; name only what the test is about."""
    good = {
        "v": 1,
        "aud": "optout-proxy:test",
        "p": "ACME",
        "o": OFFER,
        "org": SHOP,
        "jti": "A" * 22,
        "ttl": 1800,
    }
    return json.dumps(good | only).encode()


def refused(deployment: Deployment, token: str) -> str | None:
    """Return the code that a form with *token* is refused with."""
    answer = deployment.page(deployment.form(token=token))
    assert answer.status_code in (202, 401)
    assert "WWW-Authenticate" not in answer.headers
    return code_of(answer)


def test_a_token_signed_by_hand_is_good(deployment: Deployment) -> None:
    """The tests below sign as they should."""
    assert refused(deployment, signed(deployment, claims())) is None


@pytest.mark.parametrize("path", ["/v1/choices", "/v1/choices?token={token}", "/v1/choices?x=1"])
def test_a_token_is_looked_for_in_the_form_only(deployment: Deployment, path: str) -> None:
    """Neither an address nor a cookie nor a header carries one."""
    token = deployment.mint()
    headers = {"Cookie": f"token={token}", "Authorization": f"Bearer {token}"}
    answer = deployment.page({"choice": "declined"}, path=path.format(token=token), headers=headers)

    assert (answer.status_code, code_of(answer)) == (401, "token_missing")
    assert token not in answer.text


def test_a_token_in_the_address_too_is_refused(deployment: Deployment) -> None:
    """A page that puts its token into an address must learn it."""
    token = deployment.mint()
    answer = deployment.page(deployment.form(token=token), path=f"/v1/choices?token={token}")

    assert code_of(answer) == "invalid_request"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("", id="empty"),
        pytest.param(" {token}", id="space-before"),
        pytest.param("{token}\n", id="newline-after"),
        pytest.param("\ufeff{token}", id="byte-order-mark"),
        pytest.param('"{token}"', id="quotes"),
        pytest.param("{token} {token}", id="two"),
        pytest.param("{token}=", id="padding"),
        pytest.param("{token}!!!", id="junk"),
        pytest.param("{token}é", id="accent"),
        pytest.param("{token}.x", id="five-parts"),
        pytest.param("\0", id="nul"),
    ],
)
def test_a_token_has_one_spelling(deployment: Deployment, change: str) -> None:
    """What is not to the letter a token is none."""
    token = change.format(token=deployment.mint())

    assert refused(deployment, token) == "token_malformed"


def test_a_token_has_2048_characters_at_most(deployment: Deployment) -> None:
    """A form with a longer one is still read, one of more than 4 KiB is not."""
    assert refused(deployment, "A" * 3000) == "token_malformed"
    assert code_of(deployment.page(deployment.form(token="A" * 4097))) == "body_too_large"


def test_a_stock_token_is_no_token(deployment: Deployment) -> None:
    """Itsdangerous' own serialiser signs with SHA-1."""
    secret = (deployment.files.folder / "acme-1").read_text()
    token = URLSafeTimedSerializer(secret).dumps({"p": "ACME"})

    assert refused(deployment, str(token)) == "token_malformed"


@pytest.mark.parametrize("index", [-1, -20, 12])
def test_no_character_can_be_changed(deployment: Deployment, index: int) -> None:
    """The signature covers kid, claims and time."""
    token = list(signed(deployment, claims()))
    token[index] = "A" if token[index] != "A" else "E"

    assert refused(deployment, "".join(token)) in ("token_bad_signature", "token_malformed")


def test_a_signature_for_another_purpose_is_wrong(deployment: Deployment) -> None:
    """One salt per purpose."""
    token = signed(deployment, claims(), salt=b"optout.admin.v1")

    assert refused(deployment, token) == "token_bad_signature"


def test_an_unknown_key_is_named_as_such(deployment: Deployment) -> None:
    """A retired key can be told from a forged signature."""
    assert refused(deployment, signed(deployment, claims(), name="acme-0")) == "token_unknown_key"


def test_a_key_speaks_for_its_partner_only(deployment: Deployment) -> None:
    """Another partner's key opens nothing here."""
    token = signed(deployment, claims(), kid="open-1")

    assert refused(deployment, token) == "token_partner_mismatch"


def test_a_token_for_another_deployment_is_refused(deployment: Deployment) -> None:
    """Staging tokens do not work in production."""
    assert refused(deployment, signed(deployment, claims(aud="x"))) == "token_wrong_audience"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"[]", id="list"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b'{"v":1,"p":"ACME","p":"OTHER"}', id="repeated-claim"),
        pytest.param(b"[" * 500 + b"]" * 500, id="deep"),
        pytest.param(claims(v=True), id="version-true"),
        pytest.param(claims(v=2), id="version-2"),
        pytest.param(claims(ttl=59), id="short"),
        pytest.param(claims(ttl=86_401), id="long"),
        pytest.param(claims(ttl=1e3), id="ttl-float"),
        pytest.param(claims(jti="x"), id="jti-short"),
        pytest.param(claims(r="nowhere"), id="upstream-unknown"),
        pytest.param(claims(org="http://shop.example"), id="origin-http"),
        pytest.param(claims(exp=1), id="claim-unknown"),
        pytest.param(
            json.dumps({k: v for k, v in json.loads(claims()).items() if k != "o"}).encode(),
            id="no-offer-where-pages-may-not-name-it",
        ),
    ],
)
def test_a_signed_claim_is_judged_too(deployment: Deployment, payload: bytes) -> None:
    """Even the holder of a key can not say what makes no sense."""
    assert refused(deployment, signed(deployment, payload)) == "token_claims_invalid"


@pytest.mark.parametrize(
    "offer", ["..", ".", "a/b", "a%2fb", "a?b", "A#frag", "a\r\nX: y", "a\0", "\uff0e\uff0e", ""]
)
def test_a_token_can_not_aim_at_another_path(deployment: Deployment, offer: str) -> None:
    """`A#frag` would turn the opt-out into a purchase."""
    assert refused(deployment, signed(deployment, claims(o=offer))) == "token_claims_invalid"


@pytest.mark.parametrize(("ahead", "code"), [(60, None), (61, "token_not_yet_valid")])
def test_a_partners_clock_may_be_a_minute_ahead(
    deployment: Deployment, ahead: int, code: str | None
) -> None:
    """Clocks differ."""
    token = deployment.mint(now=deployment.clock.seconds + ahead)

    assert refused(deployment, token) == code


@pytest.mark.parametrize(("age", "code"), [(1860, None), (1861, "token_expired")])
def test_a_session_ends_a_minute_after_its_ttl(
    deployment: Deployment, age: int, code: str | None
) -> None:
    """A choice made after the end does not count."""
    token = deployment.mint()
    deployment.clock.pass_seconds(age)

    assert refused(deployment, token) == code


def test_a_disabled_partners_tokens_are_refused(deployment: Deployment) -> None:
    """A suspended partner is told so, not that its token is bad."""
    form = deployment.form()
    deployment.change(disabled="true")

    assert code_of(deployment.page(form)) == "partner_disabled"


def test_a_new_key_counts_at_once_and_the_old_no_more(deployment: Deployment) -> None:
    """Settings are in force when they are reloaded, in the middle of everything."""
    form = deployment.form()
    secret = deployment.files.folder / "acme-1"
    secret.write_text(f"ots_test_{secrets.token_urlsafe(32)}")
    deployment.change()

    assert code_of(deployment.page(form)) == "token_bad_signature"
    assert deployment.page(deployment.form()).status_code == 202


def test_an_unfit_secret_changes_nothing(deployment: Deployment) -> None:
    """The old settings stay in force while the new ones can not be."""
    secret = deployment.files.folder / "acme-1"
    form = deployment.form()
    secret.write_text("ots_test_short")

    assert deployment.configuration.reload() is False
    assert deployment.page(form).status_code == 202
