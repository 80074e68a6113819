"""Payment card numbers, which nobody may hand us by mistake (PCI DSS 3)."""

import re
import unicodedata
from collections.abc import Iterator

_LENGTHS = range(13, 20)  # digits, ISO/IEC 7812
_SHORTEST = min(_LENGTHS)
_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_PRINTED = re.compile(  # as on the card, beside other numbers
    r"(?<![0-9])[0-9]{4}[ -](?:[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}(?:[ -][0-9]{3})?"
    r"|[0-9]{6}[ -][0-9]{4,5})(?![0-9])"
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # the digit sum of twice the digit


def has_card_number(text: str) -> bool:
    """Tell whether *text* holds 13 to 19 digits that pass Luhn, grouped or not.

    One order number in ten of that length does so by chance; it must be written otherwise.
    """
    if len(text) < _SHORTEST:
        return False
    if not text.isascii():
        text = _folded(text)
    return any(_is_card(candidate) for run in _RUN.findall(text) for candidate in _candidates(run))


def _folded(text: str) -> str:
    """Write digits, spaces and dashes of any script as ASCII ones."""
    return "".join(map(_ascii, unicodedata.normalize("NFKC", text)))


def _ascii(mark: str) -> str:
    digit = unicodedata.digit(mark, None)
    if digit is not None:
        return str(digit)
    return {"Zs": " ", "Pd": "-"}.get(unicodedata.category(mark), mark)


def _candidates(run: str) -> Iterator[str]:
    yield run
    yield from _GROUP.findall(run)
    yield from _PRINTED.findall(run)


def _is_card(text: str) -> bool:
    numbers = [int(mark) for mark in reversed(text) if mark.isdigit()]
    if len(numbers) not in _LENGTHS:
        return False
    return (sum(numbers[::2]) + sum(_DOUBLED[number] for number in numbers[1::2])) % 10 == 0
