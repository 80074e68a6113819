"""`reconcile`: the command, its file of cases, and how --apply reaches the register."""

import csv
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result
from sqlalchemy import text

from proxy.app import Service
from proxy.choices import Choice
from proxy.cli import main
from proxy.cli.options import configuration_of
from proxy.database import Database
from proxy.orders import Form, Listing
from tests.core.conftest import START, Register, a_message
from tests.settings.home import BASE, ELEMENTS, Home, at
from tests.settings.shell import mode, run

HEADER = "order,name,offer,answer,time,paid"
COLUMNS = ("--order", "order", "--at", "time", "--bought", "paid")
TIME = "2024-06-01T12:00:00Z"
PAST = 1_704_067_200_000  # 2024-01-01: the command knows the real time, and no order is later


class Place(NamedTuple):
    """A deployment on an engine, with its register."""

    home: Home
    register: Register

    def run(self, *rows: str, options: tuple[object, ...] = COLUMNS) -> Result:
        """Write the list and compare it."""
        orders = self.home.folder / "orders.csv"
        orders.write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")
        return self.again(*options)

    def again(self, *options: object) -> Result:
        """Compare the list as it lies there."""
        orders = self.home.folder / "orders.csv"
        where = ("--config", self.home.config, "--partner", "ACME")
        return run(main, "reconcile", orders, *where, *options)

    def know(self, offer: str, choice: str, **only: Any) -> None:
        """Let the register know an answer."""
        self.register.intake.record(a_message(offer, choice, upstream="settling", **only))


@pytest.fixture
def place(database: Database, register: Register, tmp_path: Path) -> Place:
    """A deployment on each engine, with an empty register."""
    home = at(tmp_path)
    home.secret("audit", "YXVkaXQga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXMgYXQgbGVhc3Q")
    url = database.url.render_as_string(hide_password=False)
    home.write(f'database = "{url}"\n{BASE}'.replace("tickets", "settling"))
    return Place(home, register)


def row(offer: str, answer: str, order: str = "", paid: str = "") -> str:
    """Return one row of the list."""
    return f"{order},Jane Doe,{offer},{answer},{TIME},{paid}"


def told(result: Result) -> dict[str, Any]:
    """Return what --json printed."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_nothing_differs(place: Place) -> None:
    """Exit status 0."""
    place.know("o-1", "declined")
    place.know("o-2", "accepted")

    result = place.run(row("o-1", "declined"), row("o-2", "accepted"), row("", ""))

    assert result.exit_code == 0, result.output
    assert "orders.csv: 3 rows; 0 bad, 0 repeated, 1 without an offer." in result.stdout


def test_each_kind_is_counted_and_in_the_file(place: Place) -> None:
    """Missing, extra, contradictory and bad, each with what is known of it."""
    place.know("o-1", "accepted")
    place.know("o-2", "declined", purchased=True, order="ORDER-9")
    place.know("o-5", "declined")
    cases = place.home.folder / "cases.csv"
    rows = [row("o-1", "declined"), row("o-2", "declined", "ORDER-2"), row("o-3", "declined")]

    result = place.run(*rows, "bad", options=(*COLUMNS[:2], "--json", "--cases", cases))

    found = told(result)
    kinds = ("missing", "extra", "contradictory", "bad", "alike", "rows")
    assert result.exit_code == 1
    assert [found[kind] for kind in kinds] == [1, 1, 2, 1, 0, 4]
    lines = list(csv.DictReader(cases.read_text("utf-8").splitlines()))
    assert [(one["kind"], one["offer"], one["line"]) for one in lines] == [
        ("bad", "", "5"),
        ("contradictory", "o-1", "2"),
        ("contradictory", "o-2", "3"),
        ("missing", "o-3", "4"),
        ("extra", "o-5", ""),
    ]
    assert (lines[2]["order"], len(lines[2]["order_hash"])) == ("ORDER-2", 64)
    assert (lines[1]["orders"], lines[1]["register"]) == ("declined", "accepted")
    assert mode(cases) == 0o600
    assert "Jane" not in cases.read_text("utf-8")


def test_extra_is_within_the_period_of_the_orders(place: Place) -> None:
    """Which the times of the rows tell; before and after, other lists may know of it."""
    for seconds, offer in enumerate(["early", "inside", "after"]):
        place.register.clock.now = PAST + 1_000 * seconds
        place.know(offer, "declined")
    times = (PAST + 500, PAST + 1_500)

    result = place.run(
        *(f",,o-{at},declined,{at}," for at in times), options=("--at", "time", "--json")
    )

    assert told(result)["extra"] == 1
    assert told(result)["period"]["from"] == "2024-01-01T00:00:00.500Z"


def test_without_times_the_offers_tell_the_period(place: Place) -> None:
    """From the first to the last of its offers that the register knows."""
    for seconds, offer in enumerate(["early", "first", "inside", "last", "after"]):
        place.register.clock.now = START + 1_000 * seconds
        place.know(offer, "declined")

    result = place.run(row("first", "declined"), row("last", "declined"), options=("--json",))

    assert told(result)["extra"] == 1


def test_rows_that_differ_about_one_offer_are_bad(place: Place) -> None:
    """Neither is believed, and the register's answer is no extra; the same again is one row."""
    place.know("o-1", "declined")
    rows = [row("o-1", "declined"), row("o-1", "accepted"), row("o-2", "declined")]

    result = place.run(*rows, rows[2], options=("--json",))

    found = told(result)
    assert (found["bad"], found["repeated"], found["missing"], found["extra"]) == (2, 1, 1, 0)
    assert [bad["line"] for bad in found["bad_rows"]] == [2, 3]


def test_apply_reports_what_is_missing(place: Place) -> None:
    """Once: the second time nothing is missing, and nothing changes."""
    place.know("o-1", "undecided")
    place.run(
        row("o-1", "declined", "ORDER-1", "yes"), row("o-2", "declined"), row("o-3", "accepted")
    )

    first = place.again(*COLUMNS, "--apply", "--json")
    offers = [place.register.find(name, "settling") for name in ("o-1", "o-2")]
    second = place.again(*COLUMNS, "--apply", "--json")

    assert told(first)["applied"] == {"reported": 2}
    assert told(first)["missing_by_answer"] == {"undecided": 0, "declined": 2, "accepted": 1}
    assert (told(second)["applied"], told(second)["missing"]) == ({}, 1)
    assert [(one.choice, one.report, one.reconciled) for one in offers] == [
        ("declined", "due", True)
    ] * 2
    assert offers[0].order_reference == "ORDER-1"
    assert offers == [place.register.find(name, "settling") for name in ("o-1", "o-2")]
    assert place.register.intake.find("ACME", "settling", "o-3") is None


def test_more_than_one_batch_is_applied(place: Place) -> None:
    """A commit for each thousand."""
    result = place.run(*(row(f"o-{n}", "declined") for n in range(2_100)), options=("--apply",))

    assert result.exit_code == 1
    assert "reported          2,100" in result.stdout
    assert place.again().exit_code == 0


@pytest.mark.parametrize("unanswered", ["ignore", "declined"])
def test_no_answer_counts_only_where_the_partner_says_so(place: Place, unanswered: str) -> None:
    """And then it is told as bought, so that the implicit rule decides."""
    config = place.home.config.read_text("utf-8")
    place.home.write(f'{config}unanswered = "{unanswered}"\n')

    result = place.run(row("o-1", "", "ORDER-1", "yes"), options=(*COLUMNS, "--apply", "--json"))

    found = place.register.intake.find("ACME", "settling", "o-1")
    assert told(result)["missing"] == (unanswered == "declined")
    assert (found is not None) == (unanswered == "declined")
    assert found is None or (found.choice, found.purchased, found.reconciled) == (
        "undecided",
        True,
        True,
    )


def test_an_implied_decline_is_an_answer_to_no_answer(place: Place) -> None:
    """Nothing differs: before the time has come, after it, and whatever is applied again."""
    config = place.home.config.read_text("utf-8")
    place.home.write(f'{config}unanswered = "declined"\n')
    place.run(row("o-1", "", "ORDER-1", "yes"), options=(*COLUMNS, "--apply"))
    before = place.again(*COLUMNS, "--apply", "--json")
    with place.register.database.begin() as connection:
        connection.execute(text("UPDATE offers SET choice = 'declined', implicit = true"))

    after = place.again(*COLUMNS, "--json")

    assert [result.exit_code for result in (before, after)] == [0, 0]
    assert told(before)["applied"] == {}


# -- through the running service --------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """An embedded deployment whose service runs and holds the lock."""
    home = at(tmp_path)
    service = Service(configuration_of(home.config), with_worker=False)
    service.start()
    yield lambda offer: service.intake.find("ACME", "tickets", offer)
    service.stop()


def test_a_running_service_is_asked(served: Callable[[str], Any], tmp_path: Path) -> None:
    """It keeps the lock and writes; the command only tells it."""
    orders = tmp_path / "orders.csv"
    rows = [f"offer-{number},declined" for number in range(1_500)]
    orders.write_text("\n".join(["offer,answer", *rows]), "utf-8")
    where = ("--config", tmp_path / "optout.toml", "--partner", "ACME")

    results = [run(main, "reconcile", orders, *where, "--apply", "--json") for _ in range(2)]

    assert [told(result)["applied"] for result in results] == [{"reported": 1_500}, {}]
    assert [result.exit_code for result in results] == [1, 0]
    assert served("offer-1499").reconciled


# -- wrong use --------------------------------------------------------------------------------

WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "partner": (("--partner", "ACMY"), "There is no partner ACMY; the nearest one is ACME."),
    "upstream": (("--upstream", "nothing"), "--upstream: settling."),
    "column": (("--offer", "ofer"), "no column `ofer`; the nearest one is `offer`"),
    "time": (("--at", "tim"), "no column `tim`; the nearest one is `time`"),
    "encoding": (("--encoding", "utf-9"), "There is no encoding utf-9."),
    "not text": (("--encoding", "utf-16"), "is not utf-16; name another --encoding."),
    "delimiter": (("--delimiter", ";;"), "--delimiter is one character"),
    "same word": (("--declined", "yes", "--accepted", "YES"), "take different texts"),
    "no word": (("--declined", ""), "an empty one is no answer"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_use_is_said_in_a_sentence(place: Place, wrong: str) -> None:
    """Exit status 2, and no file of cases."""
    options, said = WRONG[wrong]
    cases = place.home.folder / "cases.csv"

    result = place.run(row("o-1", "declined"), options=(*options, "--cases", cases))

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not cases.exists()


def test_several_upstreams_want_a_name(place: Place) -> None:
    """An offer is of one of them."""
    place.home.write(place.home.config.read_text("utf-8") + ELEMENTS)

    assert "--upstream: elements, settling." in place.run(row("o-1", "declined")).stderr


def test_nothing_is_reported_for_a_partner_that_is_off(place: Place) -> None:
    """Its list may still be compared."""
    config = place.home.config.read_text("utf-8")
    place.home.write(config.replace("[partners.ACME]", "[partners.ACME]\ndisabled = true"))

    assert place.run(row("o-1", "declined")).exit_code == 1
    assert place.again("--apply").exit_code == 2


def test_other_forms_of_csv_are_read(place: Place) -> None:
    """A spreadsheet's own: semicolons, a byte order mark, another encoding, other words."""
    orders = place.home.folder / "orders.csv"
    orders.write_bytes("Angebot;Antwort;Größe\r\no-1;Nein;ß\r\n".encode("cp1252"))
    words = ("--offer", "Angebot", "--answer", "Antwort", "--declined", "nein", "--json")
    first = place.again(*words, "--delimiter", ";", "--encoding", "cp1252")
    orders.write_text('"Angebot"\t"Antwort"\no-1\tNein\n', "utf-8-sig")
    second = place.again(*words, "--delimiter", "tab")

    assert [told(one)["missing"] for one in (first, second)] == [1, 1]


def test_bytes_that_are_no_text_spoil_their_row_only(place: Place) -> None:
    """And only where a column is read: a name in another encoding harms nothing."""
    orders = place.home.folder / "orders.csv"
    orders.write_bytes(
        b"offer,answer,name\no-1,declined,Jos\xe9\no-2,d\xe9clined,\no-3,declined,\n"
    )

    found = told(place.again("--json"))

    assert (found["missing"], found["bad"], found["bad_rows"][0]["line"]) == (2, 1, 3)


def test_a_list_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    """Rows are judged one at a time."""
    orders = tmp_path / "orders.csv"
    with orders.open("w", encoding="utf-8") as file:
        file.write("offer,answer\n")
        file.writelines(f"offer-{number},declined\n" for number in range(100_000))
    form = Form(
        columns={"offer": "offer", "answer": "answer"},
        answers={"declined": Choice.DECLINED},
        now=START,
    )
    tracemalloc.start()

    with orders.open(encoding="utf-8", newline="") as listed:
        assert sum(1 for _ in Listing(listed, form)) == 100_000

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_report_that_ended_is_in_the_file(place: Place) -> None:
    """Where the report stands, so that a person sees what a contradiction has cost."""
    place.know("o-1", "declined")
    place.register.clock.pass_ms(60_000)
    cases = place.home.folder / "cases.csv"

    place.run(row("o-1", "accepted"), options=("--cases", cases))

    assert ",declined,due,2,the answers differ" in cases.read_text("utf-8")
