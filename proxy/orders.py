"""The shop's list of orders: one row of CSV after the other, judged, and never guessed.

Reads the columns that are named and no others. Knows no register.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

from proxy.choices import Choice
from proxy.errors import ConfigurationError
from proxy.reconcile import Bad, Order
from proxy.register import MAX_AHEAD_MS
from proxy.secret import without_secrets
from proxy.settings_tables import nearest_of
from proxy.upstreams import is_id
from proxy.web.cards import has_card_number

_LONGEST = 1 << 20  # characters of a line
_UNREAD = "\ufffd"  # stands for bytes that are no text in this encoding
_ORDER = re.compile(r"[!-~]{1,64}", re.ASCII)
_UNIX = re.compile(r"[0-9]{9,10}|[0-9]{12,13}", re.ASCII)  # seconds, or milliseconds
_SECONDS = 10  # digits at most
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_BOUGHT = {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a list is written, and in which columns it says what."""

    columns: Mapping[str, str]  # by what they say: `offer`, `answer`, and maybe `order`, `at` ...
    answers: Mapping[str, Choice]  # by the text in lower case
    delimiter: str = ","
    now: int  # ms


class _Lines:
    """The lines of a file; where one does not end, an empty one instead."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.is_cut = False

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(_LONGEST):
            if len(line) < _LONGEST or line[-1] in "\r\n":
                yield line
                continue
            while (more := self._file.readline(_LONGEST)) and more[-1] not in "\r\n":
                pass
            self.is_cut = True
            yield "\n"


class Listing:
    """The rows of a list, read one at a time.

    The header is read at once: ConfigurationError if a column is not in it. *file* is opened with
    `errors="replace"` and `newline=""`.
    """

    def __init__(self, file: TextIO, form: Form) -> None:
        self._form = form
        self._lines = _Lines(file)
        self._reader = csv.reader(self._lines, delimiter=form.delimiter, strict=True)
        try:
            header = [name.strip() for name in next(self._reader, [])]
        except csv.Error as error:
            raise ConfigurationError(f"The header is not CSV: {error}.") from None
        self._width = len(header)
        self._places = {word: _place(name, header) for word, name in form.columns.items()}

    def __iter__(self) -> Iterator[Order | Bad | None]:
        """Yield what each row says; None for an order without an offer."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader, None)
            except csv.Error as error:
                last = self._reader.line_num
                yield Bad(line, f"it is not CSV up to line {last}: {error}")
                continue
            if cells is None:
                return
            if self._lines.is_cut:
                self._lines.is_cut = False
                yield Bad(line, "it is longer than 1,048,576 characters")
            elif cells:  # else the line is empty
                yield self._row(line, cells)

    def _row(self, line: int, cells: Sequence[str]) -> Order | Bad | None:
        if len(cells) != self._width:
            return Bad(line, f"it has {len(cells)} columns, the header has {self._width}")
        said = {word: cells[place].strip() for word, place in self._places.items()}
        if not said["offer"] and not said["answer"]:
            return None
        offer = said["offer"] if is_id(said["offer"]) else None
        try:
            return self._judge(line, offer, said)
        except ValueError as error:
            return Bad(line, str(error), offer)

    def _judge(self, line: int, offer: str | None, said: Mapping[str, str]) -> Order:
        if any(_UNREAD in text for text in said.values()):
            raise ValueError("it is not text in this encoding")
        if offer is None:
            raise ValueError("the offer is not 1 to 64 letters, digits and hyphens")
        answer = said["answer"].lower()
        if answer not in self._form.answers:
            raise ValueError("the answer is none of those that were named")
        return Order(
            offer=offer,
            line=line,
            says=self._form.answers[answer],
            order=_reference(said.get("order", "")),
            at=_time(said.get("at", ""), self._form.now),
            bought=_bought(said.get("bought", "")),
        )


def _place(name: str, header: Sequence[str]) -> int:
    """Return where the column *name* is."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise ConfigurationError(f"The header has the column `{name}` more than once.")
    named = [one for one in header if one]
    nearest = f"the nearest one is `{nearest_of(name, named)[:80]}`" if named else "it has none"
    # Whatever file is named instead of the orders: its first line is not to be read here.
    raise ConfigurationError(f"The header has no column `{name}`; {without_secrets(nearest)}.")


def _reference(text: str) -> str | None:
    if not text:
        return None
    if has_card_number(text):
        raise ValueError("the order looks like a payment card number")
    if not _ORDER.fullmatch(text):
        raise ValueError("the order is not 1 to 64 printable characters without a space")
    return text


def _time(text: str, now: int) -> int | None:
    if not text:
        return None
    if _UNIX.fullmatch(text):
        at = int(text) * (1_000 if len(text) <= _SECONDS else 1)
    elif _RFC_3339.fullmatch(text):
        at = _moment(text)
    else:
        raise ValueError("the time is neither RFC 3339 with its offset nor Unix")
    if not 0 < at <= now + MAX_AHEAD_MS:
        raise ValueError("the time lies ahead of ours, or before 1970")
    return at


def _moment(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp() * 1_000)
    except ValueError:
        raise ValueError("the time does not exist") from None


def _bought(text: str) -> bool:
    found = _BOUGHT.get(text.lower())
    if found is None:
        raise ValueError("whether it was bought is neither true, yes, 1 nor false, no, 0")
    return found
