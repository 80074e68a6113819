"""Single sign-on, with a provider that keeps to the specification, and with one that does not."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.admin.dashboard import Dashboard, Visitor, a_dashboard
from tests.admin.identity_provider import CLIENT_ID, IdentityProvider, a_stranger

ANN = {
    "sub": "user-1",
    "email": "ann@shop.example",
    "email_verified": True,
    "groups": ["till", "insurance-team"],
}
SETTINGS = """
[admin]
url = "http://127.0.0.1:8081"
[admin.oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{secret}"
operators = ["insurance-team", "boss@shop.example", "user-9"]
viewers = ["analysts"]
"""


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """A provider with one user."""
    provider = IdentityProvider(user=dict(ANN))
    yield provider
    provider.end()


@pytest.fixture
def dashboard(tmp_path: Path, url: str, provider: IdentityProvider) -> Iterator[Dashboard]:
    """A dashboard that leaves its users to the provider."""
    top = SETTINGS.format(issuer=provider.issuer, client=CLIENT_ID, secret=provider.client_secret)
    with a_dashboard(tmp_path, url, top) as dashboard:
        yield dashboard


def come_in(visitor: Visitor, provider: IdentityProvider, way: str = "") -> TestResponse:
    """Go the whole way that a browser goes; return what the dashboard answers at its end."""
    begun = visitor.get(f"/admin/sso/begin{way}")
    assert begun.status_code == 302, begun.text
    return arrive(visitor, provider.visit(begun.location))


def arrive(visitor: Visitor, address: str) -> TestResponse:
    """Come back from the provider's site: the session's own cookie stays at home."""
    parts = urlsplit(address)
    return visitor.get(f"{parts.path}?{parts.query}", Sec_Fetch_Site="cross-site")


def is_in(visitor: Visitor) -> bool:
    """Tell whether the visitor is signed in."""
    return visitor.get("/admin/account").status_code == 200


def test_the_provider_lets_its_users_in(dashboard: Dashboard, provider: IdentityProvider) -> None:
    """As an operator by a group; the page at the end goes on by itself, with the cookie."""
    visitor = dashboard.visitor()

    entered = come_in(visitor, provider, "?next=/admin/users")

    assert entered.status_code == 200
    assert 'http-equiv="refresh" content="0; url=/admin/users"' in entered.text
    assert "SameSite=Strict" in entered.headers.getlist("Set-Cookie")[-1]
    assert "ann@shop.example" in visitor.get("/admin/account").text
    assert dashboard.rows("SELECT name, role, password FROM users") == [
        {"name": "ann@shop.example", "role": "operator", "password": None}
    ]
    assert [row["action"] for row in dashboard.rows("SELECT action FROM actions")] == ["signed_in"]


ROLES: dict[str, tuple[dict[str, Any], str | None]] = {
    "a group of viewers": ({"groups": ["analysts"]}, "viewer"),
    "both lists": ({"groups": ["analysts", "insurance-team"]}, "operator"),
    "the address": ({"groups": [], "email": "boss@shop.example"}, "operator"),
    "the subject": ({"groups": None, "sub": "user-9"}, "operator"),
    "no list": ({"groups": ["till"]}, None),
    "no groups": ({"groups": None}, None),
    "groups that are no list": ({"groups": "insurance-team"}, None),
    "an address that is not verified": (
        {"groups": [], "email": "boss@shop.example", "email_verified": False},
        None,
    ),
    "a group that is named like an address": ({"groups": ["boss@shop.example"]}, None),
    "no name": ({"email": None}, None),
    "a name that can be none": ({"email": "ann <b>@shop.example"}, None),
}


@pytest.mark.parametrize("case", ROLES)
def test_the_groups_decide_on_the_role(
    dashboard: Dashboard, provider: IdentityProvider, case: str
) -> None:
    """Who is on neither list does not come in, and gets no account."""
    changes, role = ROLES[case]
    provider.user |= changes
    visitor = dashboard.visitor()

    answer = come_in(visitor, provider)

    assert answer.status_code == (200 if role else 401)
    assert is_in(visitor) == bool(role)
    assert [row["role"] for row in dashboard.rows("SELECT role FROM users")] == (
        [role] if role else []
    )


def test_a_role_is_that_of_today(dashboard: Dashboard, provider: IdentityProvider) -> None:
    """Who has left the group is a viewer at the next sign-in."""
    come_in(dashboard.visitor(), provider)
    provider.user["groups"] = ["analysts"]

    come_in(dashboard.visitor(), provider)

    assert dashboard.rows("SELECT role FROM users") == [{"role": "viewer"}]


Lie = Callable[[IdentityProvider], object]
LIES: dict[str, Lie] = {
    "another nonce": lambda p: p.wrong.update(nonce="another"),
    "no nonce": lambda p: p.wrong.update(nonce=None),
    "another audience": lambda p: p.wrong.update(aud="another-client"),
    "several audiences without a party": lambda p: p.wrong.update(aud=[CLIENT_ID, "another"]),
    "another party": lambda p: p.wrong.update(azp="another"),
    "another issuer": lambda p: p.wrong.update(iss="https://evil.example"),
    "no issuer": lambda p: p.wrong.update(iss=None),
    "expired": lambda p: p.wrong.update(exp=1_700_000_000),
    "no end": lambda p: p.wrong.update(exp=None),
    "not yet": lambda p: p.wrong.update(nbf=4_000_000_000),
    "no subject": lambda p: p.wrong.update(sub=None),
    "alg none": lambda p: p.header.update(alg="none"),
    "a stranger's key": lambda p: setattr(p, "signs_with", a_stranger()),
    "a key that is not published": lambda p: p.header.update(kid="unknown"),
    "metadata of another issuer": lambda p: p.metadata.update(issuer="https://evil.example"),
    "a token endpoint without TLS": lambda p: p.metadata.update(
        token_endpoint="http://evil.example/token"
    ),
    "keys elsewhere without TLS": lambda p: p.metadata.update(jwks_uri="http://evil.example/k"),
    "no token": lambda p: setattr(p, "token_status", 500),
    "a redirect": lambda p: setattr(p, "token_status", 307),
}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_lets_nobody_in(dashboard: Dashboard, provider: IdentityProvider, lie: str) -> None:
    """Each is refused with one code, and makes no account."""
    LIES[lie](provider)
    visitor = dashboard.visitor()

    begun = visitor.get("/admin/sso/begin")
    if begun.status_code == 302:
        begun = arrive(visitor, provider.visit(begun.location))

    assert (begun.status_code, "login_failed" in begun.text) == (401, True)
    assert not is_in(visitor)
    assert dashboard.rows("SELECT name FROM users") == []


def test_an_answer_is_good_for_its_own_question(
    dashboard: Dashboard, provider: IdentityProvider
) -> None:
    """Not with another state, not in another browser, not a second time, not too late."""
    one, other = dashboard.visitor(), dashboard.visitor()
    first = provider.visit(one.get("/admin/sso/begin").location)
    second = provider.visit(other.get("/admin/sso/begin").location)

    assert arrive(other, first).status_code == 401
    assert arrive(dashboard.visitor(), second).status_code == 401
    assert arrive(one, first.replace("state=", "state=x")).status_code == 401
    assert arrive(one, first.replace("state=", "state=%C3%A9")).status_code == 401
    assert arrive(one, first.partition("&")[0]).status_code == 401
    assert not is_in(one)
    assert arrive(one, first).status_code == 200
    assert arrive(one, first).status_code == 401


def test_a_code_of_another_is_not_exchanged(
    dashboard: Dashboard, provider: IdentityProvider
) -> None:
    """PKCE: a stolen code is of no use in the thief's browser, whose verifier is another."""
    victim, thief = dashboard.visitor(), dashboard.visitor()
    stolen = provider.visit(victim.get("/admin/sso/begin").location)
    own = provider.visit(thief.get("/admin/sso/begin").location)
    mixed = stolen.partition("&")[0] + "&" + own.partition("&")[2]

    assert arrive(thief, mixed).status_code == 401
    assert not is_in(thief)


def test_a_question_grows_old(dashboard: Dashboard, provider: IdentityProvider) -> None:
    """A cookie says when it was asked; one that says otherwise has another state."""
    visitor = dashboard.visitor()
    back = provider.visit(visitor.get("/admin/sso/begin").location)
    cookie = visitor.client.get_cookie("optout-sso", domain="127.0.0.1", path="/admin")
    assert cookie is not None
    key, at, *rest = cookie.value.split(".")
    older = ".".join([key, str(int(at) - 601), *rest])
    visitor.client.set_cookie("optout-sso", older, domain="127.0.0.1", path="/admin")

    answer = arrive(visitor, back)

    assert answer.status_code == 401
    assert "too long ago" in answer.text


def test_a_new_key_of_the_provider_is_found(
    dashboard: Dashboard, provider: IdentityProvider
) -> None:
    """Without a restart; the old one, published no more, counts no more."""
    old = provider.key
    come_in(dashboard.visitor(), provider)
    provider.turn_over()

    assert come_in(dashboard.visitor(), provider).status_code == 200
    assert provider.looked.count("/realms/shop/keys") == 2
    provider.signs_with = old
    provider.header["kid"] = old.kid
    assert come_in(dashboard.visitor(), provider).status_code == 401


def test_a_disabled_user_stays_out(dashboard: Dashboard, provider: IdentityProvider) -> None:
    """Whatever the provider says."""
    visitor = dashboard.visitor()
    come_in(visitor, provider)
    dashboard.execute("UPDATE users SET disabled_at = 1")

    assert not is_in(visitor)
    assert come_in(visitor, provider).status_code == 401
    assert not is_in(visitor)


def test_an_account_with_a_password_is_not_the_providers(
    dashboard: Dashboard, provider: IdentityProvider
) -> None:
    """The provider can not open what it has not made."""
    dashboard.person("operator", name="ann@shop.example")

    assert come_in(dashboard.visitor(), provider).status_code == 401


def test_who_confirms_is_asked_again(dashboard: Dashboard, provider: IdentityProvider) -> None:
    """With prompt and max_age; a provider that did not ask anew is not believed."""
    visitor = dashboard.visitor()
    come_in(visitor, provider)
    page = visitor.get("/admin/confirm?next=/admin/users").text
    assert "again=yes" in page

    assert come_in(visitor, provider, "?again=yes").status_code == 200
    assert (provider.asked[-1]["prompt"], provider.asked[-1]["max_age"]) == ("login", "0")
    provider.wrong["auth_time"] = 1_700_000_000
    assert come_in(visitor, provider, "?again=yes").status_code == 401
    del provider.wrong["auth_time"]
    provider.user["auth_time"] = None
    assert come_in(visitor, provider, "?again=yes").status_code == 401


def test_a_provider_that_hangs_holds_two_threads_only(tmp_path: Path) -> None:
    """The private listener has four, and a monitor asks it whether the process is ready."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as held:
        issuer = f"http://127.0.0.1:{silent.getsockname()[1]}"
        top = SETTINGS.format(issuer=issuer, client=CLIENT_ID, secret="x" * 32)
        dashboard = held.enter_context(a_dashboard(tmp_path, f"sqlite:///{tmp_path}/x.db", top))
        pool = held.enter_context(ThreadPoolExecutor(2))
        waiting = [pool.submit(dashboard.visitor().get, "/admin/sso/begin") for _ in range(2)]
        peers = [silent.accept()[0] for _ in waiting]

        third = dashboard.visitor().get("/admin/sso/begin")

        assert third.status_code == 401
        assert not any(answer.done() for answer in waiting)
        for peer in peers:
            peer.close()
        assert [answer.result().status_code for answer in waiting] == [401, 401]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_who_fails_often_waits(dashboard: Dashboard) -> None:
    """Each failure is kept: nobody may fill the list of actions."""
    statuses = [dashboard.visitor().get("/admin/sso/return").status_code for _ in range(30)]

    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429


def test_without_a_provider_there_is_nothing(tmp_path: Path) -> None:
    """Both addresses are 404, and the sign-in page does not speak of it."""
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path}/optout.db") as dashboard:
        visitor = dashboard.visitor()

        assert visitor.get("/admin/sso/begin").status_code == 404
        assert visitor.get("/admin/sso/return?code=x&state=y").status_code == 404
        assert "organisation" not in visitor.get("/admin/login").text


def test_authlib_is_loaded_where_it_is_needed() -> None:
    """A service without single sign-on does not pay for it."""
    code = "import sys, proxy.serve; print(sorted({'authlib', 'joserfc'} & sys.modules.keys()))"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ
    )

    assert found.stdout.strip() == "[]"
