"""The accounts as the command line makes and ends them, with and without a running `serve`."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.accounts import Accounts, Change
from proxy.cli import main
from proxy.control import Control, socket_path
from proxy.passwords import SHORTEST, fault, fresh, hashed, is_outdated, matches
from tests.admin.dashboard import Dashboard, Person
from tests.settings.shell import run


@pytest.fixture
def config(dashboard: Dashboard) -> Path:
    """The settings of the dashboard, whose `serve` answers commands on SQLite."""
    return dashboard.service.configuration.current.folder / "optout.toml"


def made(output: str) -> Person:
    """Return the user that the command has told of."""
    told = json.loads(output)
    asked = parse_qs(urlsplit(told["otpauth"]).query)
    return Person(told["name"], told.get("password", ""), asked["secret"][0])


def test_what_is_printed_opens_the_door(dashboard: Dashboard, config: Path) -> None:
    """Password and secret, of `add` and of `reset`; the ones before open nothing."""
    added = run(main, "users", "add", "ann", "--role", "operator", "--json", "--config", config)
    assert added.exit_code == 0, added.output
    first = made(added.stdout)
    assert dashboard.visitor().sign_in(first).status_code == 303

    renewed = made(run(main, "users", "reset", "ann", "--json", "--config", config).stdout)

    assert dashboard.visitor().sign_in(renewed).status_code == 303
    old = dashboard.visitor().post("/admin/login", name="ann", password=first.password)
    assert old.status_code == 401


def test_a_reset_ends_every_session(dashboard: Dashboard, config: Path) -> None:
    """And forgets what failed."""
    person, visitor = dashboard.person(name="ann"), dashboard.visitor()
    visitor.sign_in(person)
    dashboard.execute("UPDATE users SET failures = 50")

    assert run(main, "users", "reset", "ann", "--config", config).exit_code == 0

    assert visitor.get("/admin/account").status_code == 302
    assert dashboard.rows("SELECT failures FROM users") == [{"failures": 0}]


def test_disable_and_enable(dashboard: Dashboard, config: Path) -> None:
    """The password stays what it was; both are written down."""
    person, visitor = dashboard.person(name="ann"), dashboard.visitor()
    visitor.sign_in(person)

    assert run(main, "users", "disable", "ann", "--config", config).exit_code == 0
    assert visitor.get("/admin/account").status_code == 302
    refused = dashboard.visitor().post("/admin/login", name="ann", password=person.password)
    assert refused.status_code == 401
    assert run(main, "users", "enable", "ann", "--config", config).exit_code == 0

    entered = dashboard.visitor().post("/admin/login", name="ann", password=person.password)
    assert entered.status_code == 303
    told = dashboard.rows("SELECT action, subject FROM actions WHERE subject = 'ann' ORDER BY id")
    assert [row["action"] for row in told] == ["user_added", "user_disabled", "user_enabled"]


def test_the_list(dashboard: Dashboard, config: Path) -> None:
    """Says who, as what, since when, and whether they may; no hash, no secret."""
    dashboard.person("operator", name="ann")
    Accounts(dashboard.database).change(Change(do="disable", name="ann"))

    line = run(main, "users", "list", "--config", config).stdout
    row = json.loads(run(main, "users", "list", "--json", "--config", config).stdout)

    assert line.startswith("ann ")
    assert "operator" in line
    assert row.keys() == {"name", "role", "comes_by", "created_at", "disabled_at"}
    assert row["disabled_at"] is not None


REFUSED = {
    "a name twice": ("add ann --role viewer", 1, "There is a user of this name already."),
    "an odd name": ("add a/b --role viewer", 2, "A name has 1 to 128"),
    "a role that is none": ("add ben --role admin", 2, "'admin' is not one of"),
    "no role": ("add ben", 2, "--role"),
    "nobody to disable": ("disable ben", 1, "There is no such user."),
    "nobody to reset": ("reset ben", 1, "There is no such user."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_why(dashboard: Dashboard, config: Path, case: str) -> None:
    """In one sentence, and nothing is changed."""
    words, status, sentence = REFUSED[case]
    dashboard.person(name="ann")
    before = dashboard.rows("SELECT * FROM users")

    result = run(main, "users", *words.split(), "--config", config)

    assert (result.exit_code, sentence in result.output) == (status, True), result.output
    assert dashboard.rows("SELECT * FROM users") == before


def test_one_from_single_sign_on_has_no_password_to_reset(
    dashboard: Dashboard, config: Path
) -> None:
    """It would be a second door."""
    Accounts(dashboard.database).change(Change(do="add", name="ann"))

    result = run(main, "users", "reset", "ann", "--config", config)

    assert "single sign-on" in result.output
    assert result.exit_code == 1


def test_a_chosen_password_comes_by_standard_input(dashboard: Dashboard, config: Path) -> None:
    """It is printed nowhere; a short one is refused before anything is made."""
    chosen = "five words that nobody says"
    words = ("users", "add", "ann", "--role", "viewer", "--ask", "--json", "--config", config)

    short = run(main, *words, input="too short\n")
    done = run(main, *words, input=f"{chosen}\n")

    assert (short.exit_code, done.exit_code) == (2, 0)
    assert chosen not in done.output
    person = made(done.stdout)
    assert dashboard.visitor().sign_in(Person("ann", chosen, person.secret)).status_code == 303


def test_a_terminal_is_asked_without_an_echo(tmp_path: Path) -> None:
    """Twice; the picture for the camera comes after it. There is no database before."""
    assert run(main, "init", tmp_path / "new").exit_code == 0
    config, chosen = tmp_path / "new" / "optout.toml", "five words that nobody says"
    ours, theirs = pty.openpty()
    command = ["users", "add", "ann", "--role", "viewer", "--ask", "--config", str(config)]
    child = subprocess.Popen(
        [sys.executable, "-m", "proxy", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = read_until(ours, b"Password:")
    os.write(ours, f"{chosen}\n".encode())
    said += read_until(ours, b"confirmation:")
    os.write(ours, f"{chosen}\n".encode())
    said += read_until(ours, None)

    assert child.wait(60) == 0
    os.close(ours)
    assert chosen.encode() not in said
    assert b"ann: added as viewer." in said
    assert "▀".encode() in said


def read_until(terminal: int, end: bytes | None) -> bytes:
    """Return what is written to *terminal*, up to *end* or to its last byte."""
    said = b""
    while end is None or end not in said:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        said += piece
    return said


def test_the_running_service_is_asked_on_sqlite(tmp_path: Path) -> None:
    """SQLite has one writer: the command does not touch the file while it is served."""
    assert run(main, "init", tmp_path / "new").exit_code == 0
    config = tmp_path / "new" / "optout.toml"
    assert run(main, "users", "add", "ann", "--role", "viewer", "--config", config).exit_code == 0
    asked: list[bytes] = []

    class Overheard(Control):
        def answer(self, line: bytes) -> dict[str, object]:
            asked.append(line)
            return {"refused": None}

    parts = {"dead_letters": None, "conflicts": None, "intake": None}
    control = Overheard(socket_path(tmp_path / "new" / "optout.db"), **parts)  # type: ignore[arg-type]
    control.start()
    try:
        result = run(main, "users", "reset", "ann", "--json", "--config", config)
    finally:
        control.stop()

    person = made(result.stdout)
    (line,) = asked
    assert json.loads(line)["change"]["do"] == "reset"
    assert person.password.encode() not in line
    assert person.secret.encode() not in line


def test_passwords() -> None:
    """What one may be, and what is kept of it."""
    password = fresh()
    kept = hashed(password)

    assert fault(password, "ann") is None
    assert len(password) > SHORTEST
    assert kept.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert matches(kept, password)
    assert not matches(kept, password + "x")
    assert not matches(None, password)
    assert not matches("not a hash", password)
    assert not is_outdated(kept)
    assert is_outdated(kept.replace("t=1", "t=2"))
    for poor in ("x" * 14, "x" * 30, "ab" * 20, "x" * 257, "annabelle1234567"):
        assert fault(poor, "anna")


def test_a_hash_of_other_days_is_renewed(dashboard: Dashboard) -> None:
    """At the next sign-in, while the password is there."""
    from argon2 import PasswordHasher  # noqa: PLC0415  # the test's own

    person = dashboard.person()
    old = PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1).hash(person.password)
    dashboard.execute("UPDATE users SET password = :old", old=old)

    dashboard.visitor().sign_in(person)

    (row,) = dashboard.rows("SELECT password FROM users")
    assert row["password"].startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert matches(row["password"], person.password)


def test_a_secret_is_its_users_and_its_deployments(dashboard: Dashboard) -> None:
    """What is stored is encrypted, and of no use in another row."""
    ann, ben = dashboard.person(name="ann"), dashboard.person(name="ben")
    rows = dashboard.rows("SELECT totp FROM users")
    assert all(ann.secret.encode() not in row["totp"] for row in rows)
    dashboard.execute(
        "UPDATE users SET totp = (SELECT totp FROM users WHERE name = 'ben') WHERE name = 'ann'"
    )
    visitor = dashboard.visitor()
    visitor.post("/admin/login", name="ann", password=ann.password)

    assert visitor.post("/admin/totp", code=ben.code()).status_code == 401
