"""Exports: the same bytes as the commands', sent as they are made, few at a time."""

import contextlib
import csv
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import requests
from waitress import wasyncore
from waitress.server import create_server

from proxy import export
from proxy.admin.streams import GivenUp, Streams
from proxy.aside import Aside
from proxy.choices import Choice, Message, Source
from proxy.clocks import wall
from proxy.errors import Problem
from proxy.funnel import Wanted
from proxy.ledger import Ledger
from proxy.listeners import THREADS
from proxy.report import as_csv, as_jsonl, report_of
from tests.acceptance.deployment import until
from tests.admin.dashboard import Dashboard, Visitor
from tests.admin.filled import KEY, signer

_S = 30.0  # patience of a test
_BY = ("day", "partner", "upstream")


def test_every_offer_as_the_command_writes_it(full: Dashboard) -> None:
    """Byte for byte, in both formats, with its type and its name."""
    visitor = full.signed_in()
    for kind in export.FORMATS:
        answer = visitor.get(f"/admin/export.{kind}")

        with Aside(full.database).snapshot() as connection:
            rows = export.rows(connection, Wanted(), Ledger(KEY))
            assert answer.data == b"".join(export.encode(rows, export.COLUMNS, kind))
        assert answer.headers["Content-Disposition"].endswith(f'.{kind}"')
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("kind", "make"), [("csv", as_csv), ("jsonl", as_jsonl)])
def test_the_report_to_calculate_with(
    full: Dashboard, kind: str, make: Callable[..., Iterator[bytes]]
) -> None:
    """As the command has it, by the same columns."""
    answer = full.signed_in().get(f"/admin/report.{kind}?partner=NORTHLINE")

    with Aside(full.database).snapshot() as connection:
        report = report_of(connection, Wanted(partner="NORTHLINE", by=_BY))
        assert answer.data == b"".join(make(report))


def test_days_and_columns_are_those_asked_for(full: Dashboard) -> None:
    """By week and product; the sum is that of the days."""
    day = time.strftime("%Y-%m-%d", time.gmtime(wall() / 1000 - 9 * 86_400))

    answer = full.signed_in().get(f"/admin/report.csv?from={day}&span=week&names=product")

    rows = list(csv.DictReader(StringIO(answer.text)))
    since = wall() // 86_400_000 * 86_400_000 - 9 * 86_400_000
    (counted,) = full.rows("SELECT count(*) AS n FROM offers WHERE created_at >= :at", at=since)
    assert sum(int(row["shown"]) for row in rows) == counted["n"]
    assert {row["product"] for row in rows} == {"event-ticket", "luggage", "trip-cancellation"}
    assert re.fullmatch(r"\d{4}-W\d\d", rows[0]["week"])


def test_the_page_of_the_report_has_a_policy_of_its_own(full: Dashboard) -> None:
    """Its style sheet is inside it, and nothing else is allowed; each answer has a new nonce."""
    visitor = full.signed_in("operator")

    answers = [visitor.get("/admin/report.html") for _ in range(2)]

    policies = [answer.headers["Content-Security-Policy"] for answer in answers]
    nonces = [re.findall(r"'nonce-([^']+)'", policy)[0] for policy in policies]
    assert nonces[0] != nonces[1]
    for answer, policy, nonce in zip(answers, policies, nonces, strict=True):
        assert answer.text.count(f'nonce="{nonce}"') == answer.text.count("<style") == 1
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Complete" in answer.text
        assert "operator-" in answer.text


def test_the_signed_archive_is_verified_offline(full: Dashboard, tmp_path: Path) -> None:
    """Unpacked, it is what `export verify` takes."""
    answer = full.signed_in().get("/admin/export.zip?format=jsonl&partner=HARBOUR")

    with ZipFile(BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
        file, signature = archive.namelist()
    assert signature == f"{file}.sig.json"
    statement = export.verify(tmp_path / file, export.read_keys(json.dumps(signer().public_keys())))
    (shown,) = full.rows("SELECT count(*) AS n FROM offers WHERE partner = 'HARBOUR'")
    assert statement["rows"] == shown["n"]
    assert statement["partner"] == "HARBOUR"
    assert statement["completeness"]["holds"]
    assert statement["period"]["from"] < statement["period"]["to"]


@pytest.mark.parametrize("start", ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(dashboard: Dashboard, viewer: Visitor, start: str) -> None:
    """What a shop calls its product may begin as a spreadsheet's formulas do."""
    dashboard.service.intake.record(_decline("offer-1"))
    dashboard.execute("UPDATE offers SET product = :product", product=start)

    cells = next(csv.DictReader(StringIO(viewer.get("/admin/export.csv").text)))
    groups = next(csv.DictReader(StringIO(viewer.get("/admin/report.csv?names=product").text)))

    for cell in (cells["product"], groups["product"]):
        assert cell[0] in ("'", " ")
        assert cell[1:].lstrip() == start.lstrip()


@pytest.mark.parametrize(
    "path",
    [
        "export.csv?from=2026-13-01",
        "export.csv?from=2026-02-02&to=2026-02-01",
        "export.csv?span=day",
        "export.zip?format=xml",
        "report.html?span=hour",
        "report.csv?span=none&names=none",
        "report.csv?names=partner&names=upstream",
        "report.csv?names=created_at;drop%20table",
        "report.html?sort=id",
    ],
)
def test_bad_values_are_refused(viewer: Visitor, path: str) -> None:
    """With 400, before anything is read."""
    assert viewer.get(f"/admin/{path}").status_code == 400


@pytest.mark.parametrize("path", ["export.csv", "export.zip", "report.csv", "report.html"])
def test_the_last_day_that_there_is(viewer: Visitor, path: str) -> None:
    """No day comes after it, and nothing is made of that."""
    answer = viewer.get(f"/admin/{path}?from=0001-01-01&to=9999-12-31")

    assert (answer.status_code, answer.data[:1] != b"") == (200, True)


def test_an_unknown_format_is_not_there(viewer: Visitor) -> None:
    """The formats are part of the address."""
    assert viewer.get("/admin/export.xml").status_code == 404


def test_who_took_what_is_written_down(dashboard: Dashboard) -> None:
    """The days and the partner, whatever the format."""
    visitor = dashboard.signed_in()

    visitor.get("/admin/export.csv?from=2026-01-01&partner=ACME")
    visitor.get("/admin/report.html")

    done = dashboard.rows("SELECT subject FROM actions WHERE action = 'exported' ORDER BY id")
    assert [row["subject"] for row in done] == [
        "offers as csv, 2026-01-01 to today, ACME",
        "report, the first record to today, all partners",
    ]


# -- as it is made ----------------------------------------------------------------------------


def test_the_first_bytes_come_before_the_last_are_made() -> None:
    """And no more is held in memory than some chunks."""
    made, may_go_on = list[int](), threading.Event()

    def make() -> Generator[bytes, None, None]:
        yield b"head\n"
        assert may_go_on.wait(_S)
        for number in range(100):
            made.append(number)
            yield b"x" * 65_536

    stream = Streams().open(make)
    chunks = iter(stream)

    assert next(chunks) == b"head\n"
    assert made == []
    may_go_on.set()
    until(lambda: len(made) > 8, "what is made ahead")
    assert next(chunks) == b"x" * 65_536
    assert len(made) < 14
    stream.close()


def test_two_at_a_time() -> None:
    """The third is told to wait, and has its turn when one is closed."""
    streams = Streams(2)
    first, _second = streams.open(_lines), streams.open(_lines)

    with pytest.raises(Problem) as refused:
        streams.open(_lines)
    assert refused.value.code == "rate_limited"
    assert refused.value.retry_after

    first.close()
    first.close()
    third = streams.open(_lines)
    assert b"".join(third) == b"1\n2\n3\n"
    streams.open(_lines).close()
    with contextlib.suppress(Problem):
        streams.open(_lines).close()


def test_what_goes_wrong_before_the_first_byte_is_said_whole() -> None:
    """And gives its place back."""

    def make() -> Generator[bytes, None, None]:
        raise Problem("storage_unavailable")
        yield b""

    streams = Streams(1)
    for _ in range(3):
        with pytest.raises(Problem, match="storage_unavailable"):
            streams.open(make)


def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    """The connection ends without the last chunk."""

    def make() -> Generator[bytes, None, None]:
        yield b"head\n"
        raise ZeroDivisionError

    stream = Streams().open(make)
    with pytest.raises(GivenUp):
        list(stream)


def test_who_takes_nothing_is_not_waited_for() -> None:
    """The moment of the register that it was made from is let go."""
    let_go = threading.Event()

    def make() -> Generator[bytes, None, None]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            let_go.set()

    stream = Streams(patience_s=0.1).open(make)

    assert let_go.wait(_S)
    with pytest.raises(GivenUp):
        list(stream)


@pytest.fixture
def listening(full: Dashboard) -> Iterator[int]:
    """The private listener's own server, with as many threads and little patience; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)  # its connections' too
    sockets: dict[int, Any] = {}
    server = create_server(
        full.private,
        map=sockets,
        sockets=[listener],
        threads=THREADS,
        outbuf_high_watermark=65_536,
    )
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            wasyncore.loop(timeout=0.1, map=sockets, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    yield int(listener.getsockname()[1])
    stopped.set()
    thread.join(_S)
    wasyncore.close_all(sockets)
    server.task_dispatcher.shutdown()


def test_readiness_is_answered_while_exports_are_not_taken(full: Dashboard, listening: int) -> None:
    """Two clients ask for everything and read nothing; a third one is refused at once."""
    cookie = full.signed_in().client.get_cookie("optout-admin", "127.0.0.1", "/admin")
    assert cookie is not None
    headers = {"Cookie": f"optout-admin={cookie.value}", "Accept": "text/html"}
    where = f"http://127.0.0.1:{listening}"
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            peer = stack.enter_context(_asking(listening, headers))
            assert peer.recv(12) == b"HTTP/1.1 200"

        third = requests.get(f"{where}/admin/export.csv", headers=headers, timeout=_S)
        pages = [requests.get(f"{where}/admin/", headers=headers, timeout=_S) for _ in range(3)]
        ready = requests.get(f"{where}/readyz", timeout=_S)

    assert third.status_code == 429
    assert third.headers["Retry-After"]
    assert {page.status_code for page in pages} == {200}
    assert ready.status_code == 200


@contextlib.contextmanager
def _asking(port: int, headers: dict[str, str]) -> Iterator[socket.socket]:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET /admin/export.csv HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n"
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(_S)
        peer.connect(("127.0.0.1", port))
        peer.sendall(request.encode())
        yield peer


def _lines() -> Generator[bytes, None, None]:
    for number in (1, 2, 3):
        yield f"{number}\n".encode()


def _decline(offer: str) -> Message:
    return Message(
        partner="ACME",
        upstream="tickets",
        offer=offer,
        choice=Choice.DECLINED,
        id="00000000-0000-4000-8000-000000000001",
        seq=wall(),
        at=wall(),
        writer="server",
        source=Source.SERVER,
    )
