"""What nobody may see or send who is not signed in, and what each answer carries."""

import re
import threading
from pathlib import Path

import pytest
from werkzeug.routing import Rule

from proxy.admin.access import OPEN
from proxy.admin.app import create_admin
from proxy.app import parts_of
from proxy.web.private import create_private
from tests.admin.dashboard import Dashboard, Visitor, a_dashboard

PLACES = {"row": "1", "name": "ACME", "filename": "admin.css", "kind": "html"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OWN = ("access", "account")  # rooms whose forms are about oneself
BAD_QUERIES = (
    "before=x",
    "before=0",
    "before=-1",
    f"before={'9' * 30}",
    "sort=id",
    "before=&before=",
)
EVIL = (
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example/admin/",
    "javascript:alert(1)",
    "/admin//evil.example",
    "/admin/\\evil.example",
    "/admin/%0d%0aLocation:%20https://evil.example",
    "/admin/../metrics",
    "/admin/users\r\nSet-Cookie: a=b",
    "/admin/logout",
    "/admin/login",
    "/admin/nothing",
    "/metrics",
    "",
    f"/admin/{'a' * 200}!",  # read in more than one way it would take for ever
)


def sweep(dashboard: Dashboard) -> list[str]:
    """Return every address and method at which a visitor who is not signed in sees something."""
    seen = []
    for rule in dashboard.admin.url_map.iter_rules():
        if rule.endpoint in OPEN:
            continue
        for method in sorted(rule.methods or ()):
            visitor = dashboard.visitor()
            answer = visitor.ask(method, f"/admin{_filled(rule)}")
            goes = answer.location or ""
            is_sent = answer.status_code == 302 and goes.startswith("/admin/login?next=/admin/")
            says = answer.get_json(force=True, silent=True) or {}
            if not is_sent and (answer.status_code not in (401, 403) or "ACME" in str(says)):
                seen.append(f"{method} {rule}")
    return seen


def _filled(rule: Rule) -> str:
    """Return an address of *rule*."""
    return re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda found: PLACES[found[1]], str(rule))


def test_every_address_refuses_who_is_not_signed_in(dashboard: Dashboard) -> None:
    """The list is made of the routes, so a new one is in it."""
    assert len(list(dashboard.admin.url_map.iter_rules())) > 12

    assert sweep(dashboard) == []


def test_the_sweep_sees_a_planted_address(tmp_path: Path) -> None:
    """One that is on the open list by mistake, and one that comes before the judge."""
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path}/optout.db") as dashboard:
        dashboard.admin.add_url_rule("/planted", "planted", lambda: "ACME")
        assert sweep(dashboard) == []

        dashboard.admin.before_request_funcs[None].insert(0, lambda: "ACME")

        assert "GET /planted" in sweep(dashboard)


def test_an_address_that_does_not_exist_is_no_exception(dashboard: Dashboard) -> None:
    """Whoever is not signed in does not learn which addresses there are."""
    visitor = dashboard.visitor()

    assert visitor.get("/admin/nothing").location == "/admin/login?next=/admin/nothing"
    assert dashboard.signed_in().get("/admin/nothing").status_code == 404


def test_a_programme_is_told_and_not_sent(dashboard: Dashboard) -> None:
    """With the code of the closed list."""
    visitor = dashboard.visitor()
    visitor.headers = {"Accept": "application/json"}

    answer = visitor.get("/admin/account")

    assert (answer.status_code, answer.get_json(force=True)["code"]) == (401, "login_required")
    assert answer.content_type == "application/problem+json"


def test_a_form_needs_its_token(dashboard: Dashboard) -> None:
    """None, another visitor's, one of another session, one that was changed."""
    visitor, other = dashboard.signed_in("operator"), dashboard.signed_in("operator")
    own, foreign = visitor.token(), other.token()
    changed = own[:-9] + ("A" if own[-9] != "A" else "B") + own[-8:]

    statuses = [
        visitor.post("/admin/account/sign-out", token).status_code
        for token in ("", foreign, changed, "x" * 5000)
    ]

    assert statuses == [403] * 4
    assert visitor.post("/admin/account/sign-out", own).status_code == 303


def test_a_form_comes_from_a_page_of_ours(dashboard: Dashboard) -> None:
    """As the browser says where it comes from; one that says nothing has the token at least."""
    visitor = dashboard.signed_in("operator")
    token = {"csrf_token": visitor.token()}

    def status(**headers: str) -> int:
        return visitor.ask("POST", "/admin/nothing", headers=headers, data=token).status_code

    assert status(Sec_Fetch_Site="cross-site") == 403
    assert status(Sec_Fetch_Site="same-site") == 403
    assert status(Sec_Fetch_Site="none") == 403
    assert status(Origin="https://evil.example") == 403
    assert status(Sec_Fetch_Site="same-origin", Origin="null") == 404
    assert status(Origin="http://127.0.0.1:8081") == 404
    assert status() == 404


@pytest.mark.parametrize("place", EVIL)
def test_signing_in_leads_nowhere_else(dashboard: Dashboard, place: str) -> None:
    """What comes after it is a page of ours that exists, or the first one."""
    visitor = dashboard.signed_in()

    answer = visitor.ask("GET", "/admin/login", query_string={"next": place})

    assert (answer.status_code, answer.location) == (302, "/admin/")


def test_signing_in_leads_back(dashboard: Dashboard) -> None:
    """To the page that was asked for, with what was asked of it."""
    visitor = dashboard.signed_in()

    answer = visitor.get("/admin/login?next=/admin/activity?before=7")

    assert answer.location == "/admin/activity?before=7"


def test_a_link_from_another_site_goes_on_by_itself(dashboard: Dashboard) -> None:
    """The browser keeps the cookie back there: a page of ours asks again, and brings it along."""
    answer = dashboard.visitor().get("/admin/users?a=<b>", Sec_Fetch_Site="cross-site")

    assert answer.status_code == 200
    assert 'content="0; url=/admin/users?a=&lt;b&gt;"' in answer.text


HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


@pytest.mark.parametrize(
    "path", ["/admin/login", "/admin/users", "/admin/account", "/admin/nothing", "/admin/static/x"]
)
def test_every_answer_carries_the_headers(dashboard: Dashboard, path: str) -> None:
    """Pages, redirects and refusals; over plain http without a promise of https."""
    for visitor in (dashboard.visitor(), dashboard.signed_in()):
        headers = visitor.get(path).headers

        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "Strict-Transport-Security" not in headers


def test_the_cookie_on_this_machine(dashboard: Dashboard) -> None:
    """Without TLS a browser takes no `Secure` one everywhere, so its name promises nothing."""
    (cookie,) = dashboard.visitor().get("/admin/login").headers.getlist("Set-Cookie")

    name, *attributes = cookie.split("; ")
    assert name.startswith("optout-admin=")
    assert set(attributes) == {"HttpOnly", "Path=/admin", "SameSite=Strict"}


PROXIED = 'trusted_proxies = ["192.0.2.1"]\nadmin_networks = ["203.0.113.0/24"]\n'
OVER_TLS = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


def test_behind_a_proxy_that_speaks_tls(tmp_path: Path) -> None:
    """The cookie is bound to the host, and the browser told to come by https only."""
    top = f'{PROXIED}[admin]\nurl = "https://ops.shop.example"\n'
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path}/optout.db", top) as dashboard:
        visitor = dashboard.visitor("https://ops.shop.example", "192.0.2.1")
        visitor.headers = {**visitor.headers, **OVER_TLS}

        answer = visitor.get("/admin/login")

        (cookie,) = answer.headers.getlist("Set-Cookie")
        name, *attributes = cookie.split("; ")
        assert name.startswith("__Host-optout-admin=")
        assert set(attributes) == {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"}
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
        assert visitor.sign_in(dashboard.person()).status_code == 303
        (row,) = dashboard.rows("SELECT address FROM actions WHERE action = 'signed_in'")
        assert row["address"] == "203.0.113.9"


def test_who_may_come_is_judged_by_the_caller_and_not_by_the_proxy(tmp_path: Path) -> None:
    """Nobody else sees that there is anything; what a stranger says of itself counts nothing."""
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path}/optout.db", PROXIED) as dashboard:
        here = dashboard.visitor()
        there = {"192.0.2.1": "198.51.100.7", "198.51.100.7": "203.0.113.9"}
        for peer, says in there.items():
            visitor = dashboard.visitor(peer=peer)
            answer = visitor.ask("GET", "/admin/login", headers={"X-Forwarded-For": says})
            assert (answer.status_code, answer.content_type) == (404, "application/problem+json")

        assert here.get("/admin/login").status_code == 200
        assert "Strict" not in str(here.ask("GET", "/admin/login", headers=OVER_TLS).headers)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil"])
def test_a_name_that_is_not_ours(dashboard: Dashboard, host: str) -> None:
    """A page of somebody else's whose name points to this machine reads nothing here."""
    answer = dashboard.visitor(f"http://{host}:8081").get("/admin/login")

    assert answer.status_code == 400
    assert "host_not_allowed" in answer.text


def test_without_tls_a_password_is_not_taken(dashboard: Dashboard) -> None:
    """But on this machine, where nobody listens in."""
    person = dashboard.person()
    visitor = dashboard.visitor("http://10.1.2.3:8081")
    page = visitor.get("/admin/login")
    assert "no TLS" in page.text

    answer = visitor.post("/admin/login", name=person.name, password=person.password)

    assert answer.status_code == 401
    for base in ("http://localhost:8081", "http://[::1]:8081"):
        assert dashboard.visitor(base).sign_in(dashboard.person()).status_code == 303


def test_a_viewer_may_look_only(dashboard: Dashboard) -> None:
    """Every form but those about oneself is an operator's."""
    viewer = dashboard.signed_in("viewer")
    token = viewer.token()
    forms = [
        f"/admin{_filled(rule)}"
        for rule in dashboard.admin.url_map.iter_rules()
        if "POST" in (rule.methods or ())
        and rule.endpoint.split(".")[0] not in ("access", "account")
    ]

    refused = {path: viewer.post(path, token) for path in forms}

    assert len(forms) >= 4
    assert {path: answer.status_code for path, answer in refused.items()} == dict.fromkeys(
        forms, 403
    )
    assert all("role_not_allowed" in answer.text for answer in refused.values())


def test_bad_queries_are_refused(dashboard: Dashboard) -> None:
    """With one code, and never with a broken page."""
    visitor = dashboard.signed_in()

    for query in (
        "before=x",
        "before=0",
        "before=-1",
        "before=9" * 9,
        f"before={'9' * 5_000}",
        "sort=id",
        "before=1&before=2",
    ):
        answer = visitor.get(f"/admin/activity?{query}")
        assert (answer.status_code, "invalid_request" in answer.text) == (400, True), query


def test_everything_is_written_down(dashboard: Dashboard) -> None:
    """Who came in, who did not, who left; of an unknown name not the name: it may be a password."""
    visitor, person = dashboard.visitor(), dashboard.person()
    visitor.post("/admin/login", name="oops-my-password", password="whatever it is")
    visitor.post("/admin/login", name=person.name, password="not this one, surely")
    visitor.post("/admin/login", name=person.name, password=person.password)
    visitor.post("/admin/totp", code="000000")
    visitor.post("/admin/totp", code=person.code())
    page = visitor.get("/admin/activity").text
    visitor.post("/admin/logout")

    told = dashboard.rows('SELECT "user", action, address FROM actions ORDER BY id')

    assert [(row["user"], row["action"]) for row in told] == [
        ("command line", "user_added"),
        ("unknown user", "sign_in_failed"),
        (person.name, "sign_in_failed"),
        (person.name, "password_accepted"),
        (person.name, "code_failed"),
        (person.name, "signed_in"),
        (person.name, "signed_out"),
    ]
    assert {row["address"] for row in told[1:]} == {"127.0.0.1"}
    assert "sign in failed" in page
    assert "oops" not in page


def test_a_session_is_good_in_every_process(dashboard: Dashboard) -> None:
    """And so is the token of a form, whichever process has shown it."""
    other = create_private(
        dashboard.service.configuration, list, dict, admin=create_admin(parts_of(dashboard.service))
    )
    visitor = dashboard.signed_in()
    token = visitor.token()
    visitor.client.application = other

    assert visitor.get("/admin/account").status_code == 200
    assert visitor.post("/admin/account/sign-out", token).status_code == 303


def test_a_code_that_two_use_at_once_lets_one_in(dashboard: Dashboard) -> None:
    """Compared and spent in one write, whichever process it comes to."""
    other = create_private(
        dashboard.service.configuration, list, dict, admin=create_admin(parts_of(dashboard.service))
    )
    person = dashboard.person()
    visitors = [dashboard.visitor(), Dashboard(dashboard.service, dashboard.admin, other).visitor()]
    tokens = []
    for visitor in visitors:
        visitor.post("/admin/login", name=person.name, password=person.password)
        tokens.append(visitor.token())
    code, statuses, barrier = person.code(), [], threading.Barrier(2)

    def enter(visitor: Visitor, token: str) -> None:
        barrier.wait()
        statuses.append(visitor.post("/admin/totp", token, code=code).status_code)

    threads = [
        threading.Thread(target=enter, args=pair) for pair in zip(visitors, tokens, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [303, 401]
