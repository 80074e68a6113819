"""Exports: the report to read or to calculate with, and every offer, signed if wanted."""

import secrets
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, date, datetime

from flask import Blueprint, Response, render_template
from sqlalchemy import Connection

from proxy import export, funnel
from proxy.admin import asked, counts
from proxy.admin.access import record, user_name
from proxy.admin.archive import Signed, signing
from proxy.admin.overview import pairs_of
from proxy.admin.parts import Parts
from proxy.admin.streams import Streams
from proxy.aside import Aside
from proxy.errors import Problem
from proxy.export import COLUMNS, FORMATS
from proxy.funnel import NAMES, SPANS, Wanted
from proxy.ledger import Ledger
from proxy.report import Report, TooManyLines, as_csv, as_jsonl, report_of
from proxy.report_page import as_html

_PERIOD = ("from", "to", "partner")
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "zip": "application/zip",
}
_LINES = {"csv": as_csv, "jsonl": as_jsonl}
# What a line of the report is of, beside the span of time.
GROUPS = {
    "partner,upstream": "partner, upstream",
    "partner": "partner",
    "upstream": "upstream",
    "product": "product",
    "partner,upstream,product": "partner, upstream, product",
    "none": "nothing more",
}
_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)

Made = Callable[[Connection], Iterator[bytes]]


class Sender:
    """Sends what is read from one moment of the register, as it is made."""

    def __init__(self, parts: Parts, streams: Streams) -> None:
        self.parts = parts
        self._streams = streams
        self._aside = Aside(parts.database)

    def send(self, kind: str, made: Made, subject: str, name: str | None = None) -> Response:
        """Begin the answer; once it has begun, write down that the user has it."""
        stream = self._streams.open(lambda: self._read(made))
        answer = Response(stream, content_type=_TYPES[kind])
        try:
            record("exported", subject)
        except BaseException:
            stream.close()
            raise
        if name:
            answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def _read(self, made: Made) -> Generator[bytes, None, None]:
        with self._aside.snapshot() as connection:
            yield from made(connection)


def blueprint(parts: Parts) -> Blueprint:
    """Return the pages."""
    pages = Blueprint("exports", __name__)
    sender = Sender(parts, Streams())

    @pages.get("/exports")
    def show() -> str:
        asked.fields()
        counted = counts.latest()
        pairs = pairs_of(parts.configuration.current, counted.value if counted else None)
        return render_template(
            "admin/exports.html",
            partners=sorted({partner for partner, _ in pairs}),
            spans=SPANS,
            groups=GROUPS,
            columns=COLUMNS,
        )

    _add_reports(pages, sender)
    _add_offers(pages, sender)
    return pages


def _add_reports(pages: Blueprint, sender: Sender) -> None:
    @pages.get("/report.html")
    def page() -> Response:
        wanted, nonce = _wanted("span", "names"), secrets.token_urlsafe(16)
        made = {"by": user_name(), "for": sender.parts.configuration.current.audience}

        def text(connection: Connection) -> Iterator[bytes]:
            for piece in _readable(report_of(connection, wanted), made, nonce):
                yield piece.encode()

        answer = sender.send("html", text, f"report, {_subject(wanted)}")
        answer.headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
        return answer

    @pages.get("/report.<any(csv, jsonl):kind>")
    def report(kind: str) -> Response:
        wanted = _wanted("span", "names")
        subject = f"report as {kind}, {_subject(wanted)}"

        def lines(connection: Connection) -> Iterator[bytes]:
            return _LINES[kind](report_of(connection, wanted))

        return sender.send(kind, lines, subject, f"report-{_today()}.{kind}")


def _add_offers(pages: Blueprint, sender: Sender) -> None:
    @pages.get("/export.<any(csv, jsonl):kind>")
    def offers(kind: str) -> Response:
        wanted, ledger = _wanted(), Ledger(sender.parts.audit_key)
        subject = f"offers as {kind}, {_subject(wanted)}"

        def lines(connection: Connection) -> Iterator[bytes]:
            found = export.rows(connection, funnel.kept(connection, wanted), ledger)
            return export.encode(found, COLUMNS, kind)

        return sender.send(kind, lines, subject, f"offers-{_today()}.{kind}")

    @pages.get("/export.zip")
    def signed() -> Response:
        given = asked.fields(*_PERIOD, "format")
        kind = asked.one_of("format", given.get("format"), FORMATS) or "csv"
        wanted = _wanted("format")
        key, kid = signing(sender.parts)
        archive = Signed(
            settings=sender.parts.configuration.current,
            ledger=Ledger(sender.parts.audit_key),
            key=key,
            kid=kid,
            wanted=wanted,
            file=f"offers-{_today()}.{kind}",
        )
        subject = f"offers as {kind}, signed, {_subject(wanted)}"
        return sender.send("zip", archive.pieces, subject, f"{archive.file}.zip")


def _wanted(*others: str) -> Wanted:
    """Return which offers the query asks for, and for a report what makes a line."""
    given = asked.fields(*_PERIOD, *others)
    first, last = _day(given, "from"), _day(given, "to")
    if first and last and last < first:
        raise Problem("invalid_request", "to is before from")
    by = _by(given) if "span" in others else ()
    return Wanted(first=first, last=last, partner=given.get("partner"), by=by)


def _by(given: dict[str, str]) -> tuple[str, ...]:
    span = asked.one_of("span", given.get("span"), ("none", *SPANS)) or "day"
    group = asked.one_of("names", given.get("names"), GROUPS) or next(iter(GROUPS))
    names = [word for word in group.split(",") if word in NAMES]
    by = (*(() if span == "none" else (span,)), *names)
    if not by:
        raise Problem("invalid_request", "a line is of a span of time, of a name, or of both")
    return by


def _day(given: dict[str, str], name: str) -> date | None:
    at = asked.day(name, given.get(name))
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).date()


def _subject(wanted: Wanted) -> str:
    days = f"{wanted.first or 'the first record'} to {wanted.last or 'today'}"
    return f"{days}, {wanted.partner or 'all partners'}"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _readable(report: Report, made: dict[str, str], nonce: str) -> Iterator[str]:
    try:
        yield from as_html(report, made, nonce)
    except TooManyLines:
        raise Problem(
            "invalid_request", "that is more lines than a person reads; take CSV, or longer spans"
        ) from None
