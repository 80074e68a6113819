"""`optout-proxy reconcile`: the shop's list of orders against the register."""

import codecs
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from proxy.app import Service
from proxy.choices import Choice
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.reading import reading
from proxy.cli.report import write
from proxy.cli.writing import service_of
from proxy.clocks import time_of, wall
from proxy.control import ask, socket_path
from proxy.database import Database
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.export import encode
from proxy.ledger import Ledger
from proxy.missing import Told, report
from proxy.orders import Form, Listing
from proxy.receipts import load_audit_key
from proxy.reconcile import (
    Case,
    Difference,
    Orders,
    Period,
    Terms,
    compare,
    count,
    period,
    within_retention,
)
from proxy.reload import Configuration
from proxy.settings import Settings
from proxy.settings_tables import nearest_of

_LISTED = 20  # bad rows
_COLUMNS = tuple(field.name for field in fields(Case))
_DIFFERENCES = (Difference.MISSING, Difference.EXTRA, Difference.CONTRADICTORY)
_STEP = 1_000  # rows between two steps of a bar
_FILE = click.Path(path_type=Path, dir_okay=False)
_ORDERS = click.Path(path_type=Path, exists=True, dir_okay=False)

Tell = Callable[[list[Told]], list[str]]


@click.command("reconcile")
@config_option
@click.argument("file", metavar="ORDERS.csv", type=_ORDERS)
@click.option("--partner", required=True, help="Whose orders they are.")
@click.option("--upstream", help="Whose offers they name.  [default: the partner's only one]")
@click.option("--offer", default="offer", show_default=True, help="The column of the offer.")
@click.option("--order", help="The column of the order reference.")
@click.option("--answer", default="answer", show_default=True, help="The column of the answer.")
@click.option("--at", help="The column of the order's time: RFC 3339, or Unix.")
@click.option("--bought", help="The column that says whether the main product was bought.")
@click.option("--declined", multiple=True, default=["declined"], show_default=True, metavar="VALUE")
@click.option("--accepted", multiple=True, default=["accepted"], show_default=True, metavar="VALUE")
@click.option("--delimiter", default=",", show_default=True, help='One character, or "tab".')
@click.option("--encoding", default="utf-8", show_default=True)
@click.option("--cases", type=_FILE, help="A new file, one line per difference and bad row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--apply", "is_applied", is_flag=True, help="Report the missing declines.")
@click.pass_context
@in_plain_words
def command(
    ctx: click.Context,
    /,
    config: Path | None,
    file: Path,
    partner: str,
    upstream: str | None,
    encoding: str,
    cases: Path | None,
    as_json: bool,
    is_applied: bool,
    **form: Any,
) -> None:
    """Compare the shop's list of orders with the register; with --apply report what is missing.

    Exits with 1 if anything differs or a row is bad, also where --apply has mended it.
    """
    configuration = configuration_of(config)
    settings, now = configuration.current, wall()
    terms = _terms(settings, partner, upstream, is_applied=is_applied)
    outcome = _Outcome()
    with closing(Orders()) as orders, _opened(file, encoding) as text:
        listing = Listing(text, _form(now=now, **form))
        found = outcome.noted(_differences(settings, terms, orders, _rows(text, listing), outcome))
        if cases:
            write(cases, encode((asdict(one) for one in found), _COLUMNS, "csv"))
        sum(1 for _ in found)  # whatever the file of cases has not asked for
        if is_applied:
            outcome.apply(configuration, orders, terms, now)
    click.echo(json.dumps(outcome.told, indent=2) if as_json else outcome.text(file.name))
    ctx.exit(0 if outcome.holds else 1)


# -- what was asked for -----------------------------------------------------------------------


def _terms(settings: Settings, partner: str, upstream: str | None, *, is_applied: bool) -> Terms:
    if partner not in settings.partners:
        nearest = nearest_of(partner, settings.partners) if settings.partners else "none"
        raise Refusal(f"There is no partner {partner}; the nearest one is {nearest}.")
    found = settings.partners[partner]
    try:
        named = found.upstream(upstream)
    except KeyError:
        names = ", ".join(sorted(found.upstreams))
        raise Refusal(f"Name one upstream of {partner} with --upstream: {names}.") from None
    if is_applied and found.disabled:
        raise Refusal(f"{partner} is switched off; nothing is reported for it.")
    if not settings.audit_key_file.exists():
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    return Terms(
        partner=partner,
        upstream=named.name,
        implies=named.unanswered == "declined",
        hash_of_order=Ledger(load_audit_key(settings.audit_key_file)[0]).hash_of_order,
    )


def _form(
    now: int,
    delimiter: str,
    declined: Iterable[str],
    accepted: Iterable[str],
    **columns: str | None,
) -> Form:
    said = {text.strip().lower(): Choice.DECLINED for text in declined}
    also = {text.strip().lower(): Choice.ACCEPTED for text in accepted}
    if "" in said | also or said.keys() & also.keys():
        raise Refusal("--declined and --accepted take different texts; an empty one is no answer.")
    mark = "\t" if delimiter == "tab" else delimiter
    if len(mark) != 1 or mark in '"\r\n ':
        raise Refusal('--delimiter is one character such as ";", or the word "tab".')
    named = {word: name for word, name in columns.items() if name}
    answers = {"": Choice.UNDECIDED} | said | also
    return Form(columns=named, answers=answers, delimiter=mark, now=now)


@contextmanager
def _opened(file: Path, encoding: str) -> Iterator[TextIO]:
    """Open the list; a byte that is no text in *encoding* spoils its row and no other."""
    known = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        codecs.lookup(known)
    except LookupError:
        raise Refusal(f"There is no encoding {encoding}.") from None
    try:
        with file.open(encoding=known, errors="replace", newline="") as text:
            yield text
    except UnicodeError:
        raise Refusal(f"{file} is not {encoding}; name another --encoding.") from None


# -- reading ----------------------------------------------------------------------------------


def _rows(text: TextIO, listing: Listing) -> Iterator[Any]:
    """Yield the rows, with a bar that shows how much of the file is read."""
    size, done = Path(text.name).stat().st_size, 0
    with click.progressbar(length=size, label="orders", file=sys.stderr) as bar:
        for number, row in enumerate(listing):
            if number % _STEP == 0:
                at = text.buffer.tell()
                bar.update(at - done)
                done = at
            yield row
        bar.update(size - done)


def _differences(
    settings: Settings, terms: Terms, orders: Orders, rows: Iterable[Any], outcome: "_Outcome"
) -> Iterator[Case]:
    """Yield the bad rows as they are read, then what differs from one moment of the register."""
    counts = outcome.counts
    for row in rows:
        counts["rows"] += 1
        counts["without an offer"] += row is None
        for bad in orders.take(row, counts) if row else ():
            yield Case(kind=Difference.BAD, offer=bad.offer, line=bad.line, why=bad.why)
    with reading(settings) as connection:
        terms = within_retention(connection, terms)
        outcome.within = period(connection, orders, terms)
        length = max(count(connection, terms), len(orders))
        with click.progressbar(length=length, label="offers", file=sys.stderr) as bar:
            for number, found in enumerate(
                compare(connection, orders, terms, outcome.within, counts), start=1
            ):
                if number % _STEP == 0:
                    bar.update(_STEP)
                if found:
                    yield found


# -- what came of it --------------------------------------------------------------------------


class _Outcome:
    """The counts, and the first of the bad rows."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.within: Period | None = None
        self._bad: list[dict[str, Any]] = []
        self._became: Counter[str] | None = None  # None: nothing was to be applied

    def noted(self, found: Iterator[Case]) -> Iterator[Case]:
        """Pass the cases on; count the bad rows, and keep the first."""
        for one in found:
            if one.kind is Difference.BAD:
                self.counts[Difference.BAD] += 1
                if len(self._bad) < _LISTED:
                    self._bad.append({"line": one.line, "why": one.why})
            yield one

    def apply(self, configuration: Configuration, orders: Orders, terms: Terms, now: int) -> None:
        """Report what the register lacks, a commit for each batch."""
        self._became = Counter()
        length = self.counts["missing declined"] + self.counts["missing undecided"]
        if not length:
            return
        with (
            _teller(configuration) as tell,
            click.progressbar(length=length, label="declines", file=sys.stderr) as bar,
        ):
            for batch in orders.marked(terms, now):
                self._became.update(tell(batch))
                bar.update(len(batch))

    @property
    def holds(self) -> bool:
        """True if nothing differs and every row was read."""
        return not any(self.counts[kind] for kind in Difference)

    @property
    def told(self) -> dict[str, Any]:
        """Return all of it for a machine to read."""
        first, last = self.within or (None, None)
        counts = self.counts
        return {
            "rows": counts["rows"],
            "bad": counts[Difference.BAD],
            "repeated": counts["repeated"],
            "without_offer": counts["without an offer"],
            "period": {"from": time_of(first), "to": time_of(last)},
            "alike": counts["alike"],
            "too_old": counts["too old"],
            **{str(kind): counts[kind] for kind in _DIFFERENCES},
            "missing_by_answer": {str(choice): counts[f"missing {choice}"] for choice in Choice},
            "applied": None if self._became is None else dict(self._became),
            "bad_rows": self._bad,
        }

    def text(self, name: str) -> str:
        """Return all of it for a person to read."""
        return "\n".join(self._lines(name))

    def _lines(self, name: str) -> Iterator[str]:
        counts = self.counts
        yield (
            f"{name}: {counts['rows']:,} rows; {counts['bad']:,} bad, {counts['repeated']:,} "
            f"repeated, {counts['without an offer']:,} without an offer."
        )
        if self.within:
            yield f"They cover {time_of(self.within[0])} to {time_of(self.within[1])}."
        parts = [f"{counts[f'missing {choice}']:,} {choice}" for choice in Choice]
        more = {Difference.MISSING: f"  ({', '.join(parts)})"}
        for kind in _DIFFERENCES:
            yield f"{kind:<14}{counts[kind]:>9,}{more.get(kind, '')}"
        yield f"{'alike':<14}{counts['alike']:>9,}"
        if counts["too old"]:
            yield f"{'too old':<14}{counts['too old']:>9,}  (retention may have removed them)"
        yield from (f"line {bad['line']}: {bad['why']}" for bad in self._bad)
        if counts["bad"] > len(self._bad):
            yield f"bad rows that are not listed here: {counts['bad'] - len(self._bad):,}"
        for word, number in sorted((self._became or {}).items()):
            yield f"{word:<14}{number:>9,}"


# -- telling the register ---------------------------------------------------------------------


@contextmanager
def _teller(configuration: Configuration) -> Iterator[Tell]:
    """Yield what records a batch: the running `serve`, or on PostgreSQL and without one, we."""
    database = Database(configuration.current.database, wall)
    path = socket_path(Path(database.url.database or ""))
    if database.is_sqlite and ask(path, {"command": "reconcile", "told": []}) is not None:
        yield partial(_through, path)
        return
    with service_of(configuration) as service:
        yield partial(_directly, service)


def _through(path: Path, batch: list[Told]) -> list[str]:
    answer = ask(path, {"command": "reconcile", "told": batch})
    if answer is None:
        raise click.ClickException("`serve` has ended; run this again, nothing is told twice.")
    if "error" in answer:
        raise click.ClickException(f"{answer['error']}; run this again, nothing is told twice.")
    return list(answer["became"])


def _directly(service: Service, batch: list[Told]) -> list[str]:
    try:
        return report(service.intake, batch)
    except StorageUnavailable:
        raise click.ClickException(
            "The database can not be written; run this again, nothing is told twice."
        ) from None
