"""Who gets in, how, and for how long."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from markupsafe import escape

from proxy import passwords
from proxy.accounts import Accounts, Change
from proxy.clocks import wall
from tests.admin.dashboard import Dashboard, Person, Visitor, a_dashboard, token_in

MINUTE = 60_000


def test_password_and_code_open_the_door(dashboard: Dashboard) -> None:
    """Neither alone does."""
    visitor, person = dashboard.visitor(), dashboard.person("operator")
    assert visitor.get("/admin/account").location == "/admin/login?next=/admin/account"

    asked = visitor.post(
        "/admin/login", name=person.name, password=person.password, next="/admin/account"
    )
    assert (asked.status_code, asked.location) == (303, "/admin/totp?next=/admin/account")
    assert visitor.get("/admin/account").status_code == 302

    entered = visitor.post("/admin/totp", code=person.code(), next="/admin/account")

    assert (entered.status_code, entered.location) == (303, "/admin/account")
    assert visitor.get("/admin/account").status_code == 200


def test_a_code_comes_after_its_password(dashboard: Dashboard) -> None:
    """In the same browser, within five minutes."""
    person = dashboard.person()
    assert dashboard.visitor().get("/admin/totp").location.startswith("/admin/login")
    assert dashboard.visitor().post("/admin/totp", code=person.code()).status_code == 401

    late = dashboard.visitor()
    late.post("/admin/login", name=person.name, password=person.password)
    at = wall() - 6 * MINUTE
    dashboard.execute(
        "UPDATE admin_sessions SET data = :data",
        data=f'{{"pending": {{"name": "{person.name}", "at": {at}}}}}',
    )

    assert late.post("/admin/totp", code=person.code()).status_code == 401
    assert not is_in(late)


BAD_CODES: dict[str, Callable[[Person], str]] = {
    "two steps old": lambda person: person.code(-2),
    "two steps ahead": lambda person: person.code(2),
    "zeros": lambda _: "000000",
    "seven digits": lambda person: person.code() + "0",
    "five digits": lambda person: person.code()[:5],
    "nothing": lambda _: "",
    "other digits": lambda person: person.code().translate(
        {ord("0") + digit: 0x0660 + digit for digit in range(10)}
    ),
}


@pytest.mark.parametrize("case", BAD_CODES)
def test_another_code_is_refused(dashboard: Dashboard, case: str) -> None:
    """And the session is not opened by it."""
    visitor, person = dashboard.visitor(), dashboard.person()
    visitor.post("/admin/login", name=person.name, password=person.password)

    answer = visitor.post("/admin/totp", code=BAD_CODES[case](person))

    assert answer.status_code == 401
    assert not is_in(visitor)


def test_a_code_is_good_once(dashboard: Dashboard) -> None:
    """Not in another browser, nor after one of a later step."""
    person, first, second = dashboard.person(), dashboard.visitor(), dashboard.visitor()
    code = person.code()
    for visitor in (first, second):
        visitor.post("/admin/login", name=person.name, password=person.password)

    assert first.post("/admin/totp", code=code).status_code == 303
    assert second.post("/admin/totp", code=code).status_code == 401
    assert second.post("/admin/totp", code=person.code(1)).status_code == 303


def test_a_wrong_password_is_like_a_wrong_name(dashboard: Dashboard) -> None:
    """The answer says nothing about who has an account."""
    person, gone, visitor = dashboard.person(), dashboard.person(), dashboard.visitor()
    Accounts(dashboard.database).change(Change(do="disable", name=gone.name))
    token = visitor.token()

    def said(name: str, password: str) -> tuple[int, str]:
        fields = {"csrf_token": token, "name": name, "password": password}
        answer = visitor.ask("POST", "/admin/login", data=fields)
        page = answer.text.replace(token_in(answer.text), "")
        return answer.status_code, page.replace(f'value="{escape(name)}"', 'value=""')

    answers = {
        said(person.name, "another password, long"),
        said("nobody", "another password, long"),
        said(gone.name, gone.password),
        said("' OR 1=1 --", "x"),
        said("x" * 128, ""),
    }

    assert len(answers) == 1
    assert answers.pop()[0] == 401


@pytest.mark.parametrize("tries", [20, pytest.param(200, marks=pytest.mark.thorough)])
def test_an_unknown_name_costs_as_much_as_a_known_one(tmp_path: Path, tries: int) -> None:
    """Counted in the time that the processor works for it: what it waits for is in both cases."""
    top = 'admin_networks = ["10.0.0.0/8"]\n'
    with a_dashboard(tmp_path, f"sqlite:///{tmp_path}/optout.db", top) as dashboard:
        names = [dashboard.person().name for _ in range(tries // 4)]
        spent: dict[str, list[float]] = {"known": [], "unknown": []}
        for number in range(tries):
            for kind, name in (("known", names[number // 4]), ("unknown", f"nobody-{number}")):
                visitor = dashboard.visitor(peer=f"10.1.{number}.1")
                token = visitor.token()
                began = time.thread_time()
                answer = visitor.post("/admin/login", token, name=name, password="not this one")
                spent[kind].append(time.thread_time() - began)
                assert answer.status_code == 401

    known, unknown = (statistics.median(values) for values in spent.values())
    assert known > 0.005  # a hash that is worth its name
    assert abs(known - unknown) < 0.005


def test_failures_make_wait_but_never_for_good(dashboard: Dashboard) -> None:
    """Ten wrong passwords, then the right one: later. What waits is not counted on top."""
    person, visitor = dashboard.person(), dashboard.visitor()
    token = visitor.token()
    for _ in range(10):
        visitor.post("/admin/login", token, name=person.name, password="not this one, surely")

    answer = visitor.post("/admin/login", token, name=person.name, password=person.password)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    (row,) = dashboard.rows("SELECT failures, failed_at FROM users")
    assert row["failures"] == 4

    dashboard.execute("UPDATE users SET failures = 1000")
    waiting = visitor.post("/admin/login", token, name=person.name, password=person.password)
    assert int(waiting.headers["Retry-After"]) <= 60
    dashboard.execute("UPDATE users SET failed_at = failed_at - 60000")
    assert visitor.sign_in(person).status_code == 303
    assert dashboard.rows("SELECT failures FROM users") == [{"failures": 0}]


def test_a_right_password_does_not_buy_more_codes(dashboard: Dashboard) -> None:
    """Who has the password and guesses codes waits longer and longer, whatever they begin anew."""
    person, visitor = dashboard.person(), dashboard.visitor()
    for _ in range(4):
        visitor.post("/admin/login", name=person.name, password=person.password)
        assert visitor.post("/admin/totp", code="000000").status_code == 401
    dashboard.execute("UPDATE users SET failed_at = failed_at - 60000")

    visitor.post("/admin/login", name=person.name, password=person.password)
    refused = visitor.post("/admin/totp", code="000000")

    assert refused.status_code == 429


def test_unknown_names_wait_as_known_ones_do(dashboard: Dashboard) -> None:
    """Or the wait would tell who has an account."""
    visitor = dashboard.visitor()
    token = visitor.token()

    statuses = [
        visitor.post("/admin/login", token, name="nobody", password="whatever it is").status_code
        for _ in range(6)
    ]

    assert statuses == [401] * 4 + [429] * 2


def test_a_network_waits_whatever_names_it_tries(dashboard: Dashboard) -> None:
    """Another network does not wait for it."""
    visitor = dashboard.visitor()
    token = visitor.token()
    statuses = [
        visitor.post("/admin/login", token, name=f"name-{n}", password="x").status_code
        for n in range(22)
    ]
    person = dashboard.person()

    assert statuses == [401] * 20 + [429] * 2
    assert visitor.post("/admin/login", token, name=person.name, password="x").status_code == 429
    elsewhere = dashboard.visitor(peer="::1")
    assert elsewhere.sign_in(person).status_code == 303


def test_the_id_changes_at_sign_in(dashboard: Dashboard) -> None:
    """Who planted an id in somebody's browser has nothing of it afterwards."""
    visitor, person = dashboard.visitor(), dashboard.person()
    visitor.get("/admin/login")
    ids = [cookie_of(visitor)]
    visitor.post("/admin/login", name=person.name, password=person.password)
    ids.append(cookie_of(visitor))
    visitor.post("/admin/totp", code=person.code())
    ids.append(cookie_of(visitor))

    assert len(set(ids)) == 3
    for old in ids[:2]:
        assert not is_in(holding(dashboard, old))
    assert is_in(holding(dashboard, ids[2]))


def test_the_database_does_not_hold_the_id(dashboard: Dashboard) -> None:
    """Only its digest, and of a visitor who is not signed in nothing at all."""
    dashboard.visitor().get("/admin/login")
    assert dashboard.rows("SELECT * FROM admin_sessions") == []
    visitor = dashboard.signed_in()

    (row,) = dashboard.rows("SELECT * FROM admin_sessions")

    key = cookie_of(visitor)
    assert len(key) == 22
    assert key not in str(row)
    assert "csrf" not in row["data"]


SPANS = {
    "29 minutes without a page": ("seen_at", 29 * MINUTE, True),
    "31 minutes without a page": ("seen_at", 31 * MINUTE, False),
    "11 hours in all": ("created_at", 11 * 60 * MINUTE, True),
    "12 hours in all": ("created_at", 12 * 60 * MINUTE, False),
}


@pytest.mark.parametrize("case", SPANS)
def test_a_session_ends(dashboard: Dashboard, case: str) -> None:
    """By itself, whatever its cookie says."""
    column, span, stays = SPANS[case]
    visitor = dashboard.signed_in()
    dashboard.execute(f"UPDATE admin_sessions SET {column} = {column} - {span}")

    assert is_in(visitor) == stays


def test_a_page_keeps_the_session_alive_with_a_write_a_minute(dashboard: Dashboard) -> None:
    """Looking at pages does not write to the database each time."""
    visitor = dashboard.signed_in()
    (before,) = dashboard.rows("SELECT seen_at FROM admin_sessions")
    assert is_in(visitor)
    assert dashboard.rows("SELECT seen_at FROM admin_sessions") == [before]

    dashboard.execute(f"UPDATE admin_sessions SET seen_at = seen_at - {2 * MINUTE}")
    assert is_in(visitor)

    (after,) = dashboard.rows("SELECT seen_at FROM admin_sessions")
    assert after["seen_at"] >= before["seen_at"]


def test_old_sessions_are_removed(dashboard: Dashboard) -> None:
    """By the next one that begins."""
    dashboard.signed_in()
    dashboard.execute(f"UPDATE admin_sessions SET seen_at = seen_at - {31 * MINUTE}")

    dashboard.signed_in()

    assert len(dashboard.rows("SELECT * FROM admin_sessions")) == 1


def test_signing_out_ends_the_session_and_not_only_its_cookie(dashboard: Dashboard) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    visitor = dashboard.signed_in()
    copy = holding(dashboard, cookie_of(visitor))
    assert is_in(copy)

    assert visitor.post("/admin/logout").location == "/admin/login"

    assert not is_in(visitor)
    assert not is_in(copy)
    assert dashboard.rows("SELECT * FROM admin_sessions") == []


def test_signing_out_everywhere(dashboard: Dashboard) -> None:
    """Ends every browser's session, and nobody else's."""
    person, other = dashboard.person(), dashboard.signed_in()
    one, two = dashboard.visitor(), dashboard.visitor()
    one.sign_in(person)
    two.post("/admin/login", name=person.name, password=person.password)
    two.post("/admin/totp", code=person.code(1))
    assert is_in(two)

    one.post("/admin/account/sign-out")

    assert [is_in(visitor) for visitor in (one, two, other)] == [False, False, True]


def test_a_disabled_user_is_out_at_once(dashboard: Dashboard) -> None:
    """The session goes with the same commit, and one that stayed would not count."""
    person, visitor = dashboard.person(), dashboard.visitor()
    visitor.sign_in(person)
    dashboard.execute("UPDATE users SET disabled_at = 1")
    assert not is_in(visitor)
    dashboard.execute("UPDATE users SET disabled_at = NULL")
    assert is_in(visitor)

    Accounts(dashboard.database).change(Change(do="disable", name=person.name))
    Accounts(dashboard.database).change(Change(do="enable", name=person.name))

    assert not is_in(visitor)


def test_a_new_password(dashboard: Dashboard) -> None:
    """Signs out the other browsers; the old one is worth nothing."""
    person, visitor, other = dashboard.person(), dashboard.visitor(), dashboard.visitor()
    visitor.sign_in(person)
    other.post("/admin/login", name=person.name, password=person.password)
    other.post("/admin/totp", code=person.code(1))
    new = "five words that nobody says"

    short = visitor.post("/admin/account/password", password="too short", again="too short")
    differ = visitor.post("/admin/account/password", password=new, again=new + "!")
    done = visitor.post("/admin/account/password", password=new, again=new)

    assert [short.status_code, differ.status_code, done.status_code] == [422, 422, 303]
    assert "The password is changed" in visitor.get("/admin/account").text
    assert not is_in(other)
    for password, status in ((person.password, 401), (new, 303)):
        fresh = dashboard.visitor()
        assert fresh.post("/admin/login", name=person.name, password=password).status_code == status


def test_a_new_password_ends_what_the_old_one_had_begun(dashboard: Dashboard) -> None:
    """Whoever was asked for the code only has to begin again."""
    person, visitor = dashboard.person(), dashboard.visitor()
    visitor.post("/admin/login", name=person.name, password=person.password)
    new = passwords.hashed(passwords.fresh())
    assert Accounts(dashboard.database).change_password(person.name, new, keep="another")

    assert visitor.post("/admin/totp", code=person.code()).status_code == 401
    assert not is_in(visitor)


def test_what_can_not_be_taken_back_wants_a_fresh_proof(dashboard: Dashboard) -> None:
    """After five minutes: password and another code, and then back to the page it was on."""
    person, visitor = dashboard.person(), dashboard.visitor()
    visitor.sign_in(person)
    new = "five words that nobody says"
    dashboard.execute(
        "UPDATE admin_sessions SET data = replace(data, :now, :before)",
        now='"confirmed_at": 1',  # all times of this century begin so
        before='"confirmed_at": ',
    )

    asked = visitor.post("/admin/account/password", password=new, again=new)
    assert (asked.status_code, asked.location) == (303, "/admin/confirm?next=/admin/account")
    programme = Visitor(visitor.client)
    token = visitor.token()
    programme.headers = {"Accept": "application/json"}
    refused = programme.post("/admin/account/password", token, password=new, again=new)
    assert (refused.status_code, refused.get_json(force=True)["code"]) == (403, "reauth_required")

    wrong = visitor.post("/admin/confirm", password=person.password, code=person.code())
    assert wrong.status_code == 401  # it has been used to sign in
    right = visitor.post(
        "/admin/confirm", password=person.password, code=person.code(1), next="/admin/account"
    )
    assert (right.status_code, right.location) == (303, "/admin/account")
    assert visitor.post("/admin/account/password", password=new, again=new).status_code == 303


def is_in(visitor: Visitor) -> bool:
    """Tell whether the visitor is signed in."""
    return visitor.get("/admin/account").status_code == 200


def cookie_of(visitor: Visitor) -> str:
    """Return the id that the visitor's browser holds."""
    cookie = visitor.client.get_cookie("optout-admin", domain="127.0.0.1", path="/admin")
    assert cookie is not None
    return cookie.value


def holding(dashboard: Dashboard, key: str) -> Visitor:
    """Return a browser that somebody put an id into."""
    visitor = dashboard.visitor()
    visitor.client.set_cookie("optout-admin", key, domain="127.0.0.1", path="/admin")
    return visitor
