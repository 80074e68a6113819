"""`conflicts list` and `conflicts resolve` as they are typed, beside a `serve` and without one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from proxy.app import Service
from proxy.cli import main
from proxy.cli.options import configuration_of
from proxy.control import ask, socket_path
from proxy.database import Database
from proxy.deliveries import story
from tests.core.conftest import a_message
from tests.settings.home import BASE, at
from tests.settings.shell import run

NOTE = "Asked the insurer, case 4711."


@dataclass(frozen=True)
class Desk:
    """A deployment, and a shell beside it."""

    config: Path

    def __call__(self, *words: object) -> Result:
        """Type a command of `conflicts`."""
        return run(main, "conflicts", *words, "--config", self.config)

    def serve(self) -> Service:
        """Return a running service that delivers nothing."""
        service = Service(configuration_of(self.config), with_worker=False)
        service.start()
        return service

    def two_orders(self, *offers: str) -> None:
        """Record two orders for each of *offers*."""
        service = self.serve()
        for offer in offers:
            for order in ("ORDER-1", "ORDER-2"):
                bought = {"upstream": "tickets", "purchased": True, "order": order}
                service.intake.record(a_message(offer, "accepted", **bought))
        service.stop()

    def ids(self) -> list[int]:
        """Return what waits."""
        listed = self("list", "--json")
        return [json.loads(line)["id"] for line in listed.stdout.splitlines()]


@pytest.fixture
def desk(tmp_path: Path, url: str, database: Database) -> Desk:
    """A deployment on each engine, with two conflicts."""
    database.stop()
    home = at(tmp_path)
    home.write(f'database = "{url}"\n{BASE}')
    desk = Desk(home.config)
    desk.two_orders("first", "second")
    return desk


@pytest.fixture(params=["with a serve", "without"])
def beside(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Desk]:
    """The same, while a `serve` has the database and while none has."""
    if request.param == "without":
        yield desk
        return
    service = desk.serve()
    try:
        yield desk
    finally:
        service.stop()


def test_a_person_resolves_one(beside: Desk, database: Database) -> None:
    """The other one still waits, and the note is in the story."""
    first, second = beside.ids()

    resolved = beside("resolve", first, "--as", "withdrawn", "--note", NOTE)

    assert (resolved.exit_code, resolved.stdout) == (0, f"{first}: resolved as withdrawn.\n")
    assert beside.ids() == [second]
    with database.read() as connection:
        told = story(connection, first)
    database.dispose()
    assert told is not None
    fact = told[1][-1]
    assert (fact["kind"], fact["source"]) == ("conflict.resolved", "operator")
    assert (fact["outcome"], fact["note"], fact["conflicts"]) == ("withdrawn", NOTE, "")


def test_what_can_not_be_resolved_is_a_problem(beside: Desk) -> None:
    """One sentence on standard error, and exit status 1."""
    first, _ = beside.ids()

    unknown = beside("resolve", 4711, "--as", "reported", "--note", NOTE)
    never_sent = beside("resolve", first, "--as", "reported", "--note", NOTE)
    again = [beside("resolve", first, "--as", "withdrawn", "--note", NOTE) for _ in range(2)]

    assert (unknown.exit_code, unknown.stderr) == (1, "4711: There is no such offer.\n")
    assert never_sent.exit_code == 1
    assert "nothing was sent" in never_sent.stderr
    assert again[1].exit_code == 1
    assert again[1].stderr.startswith(f"{first}: It has no conflict, and no attempt")


WRONG = {
    "no note": ("1", "--as", "reported"),
    "an empty note": ("1", "--as", "reported", "--note", ""),
    "a long note": ("1", "--as", "reported", "--note", "a" * 501),
    "two lines": ("1", "--as", "reported", "--note", "a\nb"),
    "no resolution": ("1", "--note", NOTE),
    "another resolution": ("1", "--as", "ignored", "--note", NOTE),
    "no id": ("--as", "reported", "--note", NOTE),
    "an id of none": ("0", "--as", "reported", "--note", NOTE),
    "an id beyond all": (str(2**63), "--as", "reported", "--note", NOTE),
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_a_wrong_use_is_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit status 2, before any database is looked for."""
    result = run(main, "conflicts", "resolve", *words, "--config", at(tmp_path).config)

    assert result.exit_code == 2
    assert result.stderr


def test_what_waits_is_told_to_people(desk: Desk) -> None:
    """Longest first, with what to do; what is not shown is counted."""
    listed = desk("list", "--limit", "1")

    assert listed.exit_code == 0
    assert "ACME/tickets  first  since 20" in listed.stdout
    assert "two orders name this offer" in listed.stdout
    assert "--as withdrawn" in listed.stdout
    assert "second" not in listed.stdout
    assert listed.stderr == "1 of 2 shown; --limit shows more.\n"


def test_nothing_waits(desk: Desk) -> None:
    """It is said, and to a machine nothing."""
    assert desk("list", "--partner", "OTHER").stdout == "Nothing waits for a person.\n"
    assert desk("list", "--partner", "OTHER", "--json").stdout == ""


NO_COMMANDS = {
    "another resolution": {"row": 1, "as": "ignored", "note": NOTE},
    "no note": {"row": 1, "as": "reported"},
    "an empty note": {"row": 1, "as": "reported", "note": ""},
    "a number for a note": {"row": 1, "as": "reported", "note": 5},
    "an id beyond all": {"row": 2**63, "as": "reported", "note": NOTE},
}


@pytest.mark.parametrize("asked", NO_COMMANDS.values(), ids=NO_COMMANDS)
def test_the_socket_takes_no_less_than_the_command(
    tmp_path: Path, asked: dict[str, object]
) -> None:
    """Whoever speaks there by hand is refused as well, and answered."""
    service = Desk(at(tmp_path).config).serve()
    try:
        answer = ask(socket_path(tmp_path / "optout.db"), {"command": "resolve", **asked})
    finally:
        service.stop()

    assert answer == {"error": "that is not a command"}
