"""ADM: the dashboard on the private listener, over the wire, as strangers and as users."""

import json
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import requests
import yaml

from tests.acceptance.deployment import PATIENCE_S
from tests.admin.dashboard import a_dashboard
from tests.attacks.cases import Case, Make, Part, refused
from tests.attacks.target import FORM, Target, assembled
from tests.attacks.wire import Answer
from tests.faults.register import read

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PLACES = {"row": "1", "name": "ANYBODY", "filename": "admin.css", "kind": "html"}
_OPEN = ("/login", "/totp", "/sso/begin", "/sso/return", "/static/admin.css")
_ROOT = Path(__file__).parents[2]
_OPEN_TO_ALL = ("/healthz", "/s/", "/.well-known/")
_JSON = {"Accept": "application/problem+json"}


@dataclass
class Guest:
    """Somebody at the dashboard, signed in or not; requests are bytes, as all attacks are."""

    target: Target
    name: str = ""
    password: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def page(self, path: str) -> requests.Response:
        """Ask for a page, as a browser does."""
        url = self.target.admin_url() + path
        headers = {"Accept": "text/html"}
        return self.session.get(url, headers=headers, timeout=PATIENCE_S, allow_redirects=False)

    def token(self, path: str = "/admin/login") -> str:
        """Return what the forms of this guest carry."""
        found = _TOKEN.search(self.page(path).text)
        assert found
        self.target.spoken.add(found[1])
        return found[1]

    def asks(self, path: str, method: str = "GET", **headers: str) -> bytes:
        """Return a request with the guest's cookie."""
        return assembled(method, path, self._good() | headers, None)

    def sends(self, path: str, **fields: str) -> bytes:
        """Return a form with the guest's cookie; it carries a token only if one is given."""
        body = urlencode(fields).encode()
        return assembled("POST", path, self._good() | {"Content-Type": FORM}, body)

    def code(self, steps: int = 0) -> str:
        """Return a one-time code, of so many steps from now."""
        return pyotp.TOTP(self.secret).at(int(time.time()) + 30 * steps)

    def gives_password(self) -> None:
        """Come as far as the code."""
        url = f"{self.target.admin_url()}/admin/login"
        given = {"csrf_token": self.token(), "name": self.name, "password": self.password}
        answer = self.session.post(url, given, timeout=PATIENCE_S, allow_redirects=False)
        assert answer.status_code == 303, answer.text

    def signs_in(self) -> "Guest":
        """Come in."""
        self.gives_password()
        url = f"{self.target.admin_url()}/admin/totp"
        given = {"csrf_token": self.token("/admin/totp"), "code": self.code()}
        answer = self.session.post(url, given, timeout=PATIENCE_S, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        self.target.spoken |= set(self.session.cookies.values())
        return self

    def _good(self) -> dict[str, str]:
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.session.cookies)
        host = urlsplit(self.target.admin_url()).netloc
        return {"Host": host, **_JSON, **({"Cookie": cookies} if cookies else {})}


def _user(target: Target, role: str = "operator") -> Guest:
    """Return a new user, made as the documents say."""
    name = f"user-{target.new_offer()}"
    status, said = target.command("users", "add", name, "--role", role, "--json")
    assert status == 0, said
    told = json.loads(said.splitlines()[-1])
    secret = parse_qs(urlsplit(told["otpauth"]).query)["secret"][0]
    target.spoken |= {told["password"], secret}
    return Guest(target, name, told["password"], secret)


def _private(code: str, make: Make) -> Part:
    return refused(code, make, private=True)


def _one(code: str, request: bytes) -> Part:
    return refused(code, lambda _: request, private=True)


def _every_route(target: Target) -> list[Answer]:
    """Nothing that the description names is open to callers without a key, but what must be."""
    described = yaml.safe_load((_ROOT / "openapi.yaml").read_text("utf-8"))["paths"]
    guarded = [path for path in described if not path.startswith(_OPEN_TO_ALL)]
    assert len(guarded) >= 4
    made = []
    for path in guarded:
        place = path.replace("{offer}", "offer-1")
        for method in described[path]:
            if method not in ("get", "post"):
                continue
            headers = {"Authorization": None}
            made.append(target.server(path=place, method=method.upper(), headers=headers))
    return refused("server_key_invalid", lambda _: made)(target)


def _addresses() -> list[tuple[str, str]]:
    """Return method and path of every route of the dashboard, made of the routes themselves."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/optout.db"
        with a_dashboard(Path(folder), file) as dashboard:
            rules = list(dashboard.admin.url_map.iter_rules())
    return [
        (method, re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda found: _PLACES[found[1]], str(rule)))
        for rule in rules
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _every_admin_route(target: Target) -> list[Answer]:
    """A stranger is told to sign in, or sent there, and on the public listener there is nothing."""
    guest = Guest(target)
    heard: list[Answer] = []
    public: list[bytes] = []
    routes = _addresses()
    assert len(routes) > 20
    for method, path in routes:
        if path in _OPEN:
            continue
        heard += _one("login_required", guest.asks(f"/admin{path}", method))(target)
        public += [target.get(f"/admin{path}", method)]
        page = guest.page(f"/admin{path}")
        if method == "GET":
            assert (page.status_code, "ACME" in page.text) == (302, False)
            assert page.headers["Location"].startswith("/admin/login?next=/admin/")
    return heard + refused("not_found", lambda _: public)(target)


def _without_its_token(target: Target) -> list[Answer]:
    """No token, somebody else's, and a page of another site's: nothing is requeued."""
    user = _user(target).signs_in()
    foreign = _user(target).signs_in().token("/admin/confirm")
    paths = ("/admin/deliveries/1/requeue", "/admin/dead-letters/requeue", "/admin/logout")
    before = read(target, "SELECT count(*) AS requeued FROM facts WHERE kind = 'report.requeued'")
    heard = _private(
        "csrf_failed",
        lambda _: [
            user.sends(path, **given)
            for path in paths
            for given in ({}, {"csrf_token": foreign}, {"csrf_token": "x"})
        ],
    )(target)
    after = read(target, "SELECT count(*) AS requeued FROM facts WHERE kind = 'report.requeued'")
    assert before == after
    assert user.page("/admin/account").status_code == 200
    return heard


def _brute_force(target: Target) -> list[Answer]:
    """Ten wrong passwords, then the right one: it has to wait, for a minute at most."""
    user = _user(target)
    token = user.token()
    wrong = [
        user.sends("/admin/login", csrf_token=token, name=user.name, password=f"guess {number}")
        for number in range(10)
    ]
    heard = _private("login_failed", lambda _: wrong[:4])(target)
    right = user.sends("/admin/login", csrf_token=token, name=user.name, password=user.password)
    late = _private("login_throttled", lambda _: [*wrong[4:], right])(target)
    assert all(1 <= int(answer.header("retry-after") or 0) <= 60 for answer in late)
    return heard + late


def _enumeration(target: Target) -> list[Answer]:
    """A name that is there and one that is not are refused in the same words."""
    user = _user(target)
    token = user.token()
    heard = _private(
        "login_failed",
        lambda _: [
            user.sends("/admin/login", csrf_token=token, name=name, password="not the password")
            for name in (user.name, "nobody-at-all")
        ],
    )(target)
    bodies = [{**answer.json(), "request_id": ""} for answer in heard]
    assert bodies[0] == bodies[1]
    assert heard[0].headers[0] == heard[1].headers[0]
    return heard


def _codes(target: Target) -> list[Answer]:
    """A code that was used, one of two steps ago, zeros, seven digits."""
    user = _user(target).signs_in()
    used = user.code()
    again = Guest(target, user.name, user.password, user.secret)
    again.gives_password()
    token = again.token("/admin/totp")
    heard: list[Answer] = []
    for code in (used, user.code(-2), "000000", used + "0"):
        request = again.sends("/admin/totp", csrf_token=token, code=code)
        heard += _one("totp_failed", request)(target)
    assert again.page("/admin/account").status_code == 302
    return heard


def _elsewhere(target: Target) -> list[Answer]:
    """Whatever `next` says, who is signed in is sent to a page of ours."""
    user = _user(target).signs_in()
    for place in ("//evil.com", "/\\evil.com", "https:evil.com", "%0d%0aLocation:evil.com"):
        answer = user.page(f"/admin/login?next={place}")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/"), place
    return []


def _framed(target: Target) -> list[Answer]:
    """No page of the dashboard can be shown in a frame."""
    user = _user(target).signs_in()
    for path in ("/admin/", "/admin/login", "/admin/nothing"):
        headers = user.page(path).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
    return []


def _injected(target: Target) -> list[Answer]:
    """SQL in a filter is a value that is not on the list."""
    user = _user(target).signs_in()
    queries = (
        "sort=id;drop%20table&page=-1&q='%20or%201=1--",
        "sort=id%3Bdrop%20table",
        "page=-1",
        "since=2026-01-01'--",
        "report=dead'%20or%201=1--",
    )
    paths = ("/admin/deliveries", "/admin/activity")
    requests_ = [user.asks(f"{path}?{query}") for path in paths for query in queries]
    return _private("invalid_request", lambda _: requests_)(target)


def _masked(target: Target) -> list[Answer]:
    """A partner's page shows no secret whole, nor do the pages of what was done."""
    user = _user(target).signs_in()
    for path in ("/admin/partners/ACME", "/admin/partners", "/admin/activity", "/admin/users"):
        answer = user.page(path)
        assert answer.status_code == 200, path
        shown = [word for word in target.secrets if word in answer.text]
        assert not shown, path
    return []


CASES: dict[str, Case] = {
    "ADM-01": (_every_route, _every_admin_route),
    "ADM-02": _without_its_token,
    "ADM-04": _brute_force,
    "ADM-05": _enumeration,
    "ADM-07": _codes,
    "ADM-08": _elsewhere,
    "ADM-11": _framed,
    "ADM-13": _injected,
    "ADM-14": _masked,
}
