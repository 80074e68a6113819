"""Values in the bytes of an SQLite file, without SQLite: https://www.sqlite.org/fileformat2.html.

Only what rows of ours need: tables by rowid, and rows that fit into their page.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

_INTERIOR, _LEAF = 0x05, 0x0D
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # of a value, by its serial type; from 12 on it is computed
_FALSE, _TRUE = 8, 9  # serial types that are values themselves


def flip(path: Path, table: str, rowid: int, column: str, dice: Random) -> None:
    """Change one bit of a value, which must have one in the file: NULL has none."""
    root, index = _place(path, table, column)
    content = bytearray(path.read_bytes())
    at, serial, start, size = _value(content, _cell(content, root, rowid), index)
    if serial in (_FALSE, _TRUE):
        content[at] = _FALSE + _TRUE - serial
    else:
        content[start + dice.randrange(size)] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def _place(path: Path, table: str, column: str) -> tuple[int, int]:
    """Return the page where *table* begins, and which value of a row *column* is."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?"
        (root,) = connection.execute(query, [table]).fetchone()
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    return root, names.index(column)


def _cell(content: bytearray, root: int, rowid: int) -> int:
    """Return where the values of the row *rowid* begin."""
    for at in _leaves(content, root):
        _, at_rowid = _number(content, at)
        found, start = _number(content, at_rowid)
        if found == rowid:
            return start
    raise LookupError(rowid)


def _leaves(content: bytearray, page: int) -> Iterator[int]:
    """Yield where each row below *page* begins."""
    size = int.from_bytes(content[16:18], "big")
    base = (page - 1) * size
    kind = content[base]
    count = int.from_bytes(content[base + 3 : base + 5], "big")
    pointers = base + (12 if kind == _INTERIOR else 8)
    for number in range(count):
        pointer = pointers + 2 * number
        at = base + int.from_bytes(content[pointer : pointer + 2], "big")
        if kind == _LEAF:
            yield at
        else:
            yield from _leaves(content, int.from_bytes(content[at : at + 4], "big"))
    if kind == _INTERIOR:
        yield from _leaves(content, int.from_bytes(content[base + 8 : base + 12], "big"))


def _value(content: bytearray, row: int, index: int) -> tuple[int, int, int, int]:
    """Return where the serial type of a value stands, the type, where the value stands, its size.

    Types stand before all values; a longer type than one byte is none of a truth value.
    """
    length, at = _number(content, row)
    start = row + length
    for number in range(index + 1):
        at_type = at
        serial, at = _number(content, at)
        size = _SIZES[serial] if serial < len(_SIZES) else (serial - 12) // 2
        if number == index:
            return at_type, serial, start, size
        start += size
    raise LookupError(index)


def _number(content: bytearray, at: int) -> tuple[int, int]:
    """Return the variable-length number at a place, and the place after it."""
    value = 0
    for place in range(at, at + 9):
        byte = content[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    raise LookupError(at)
