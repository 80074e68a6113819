"""What erasure leaves on the disk: nothing, in no file and no spelling, while the writer is open.

On SQLite. PostgreSQL keeps old rows until its vacuum and its archive have forgotten them.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.deliveries import story
from proxy.erasure import Erased, Erasures
from proxy.ledger import Ledger
from tests.core.conftest import Register
from tests.evidence.filled import KEY
from tests.evidence.test_erase import MAIL, MAKES, NAME, ORDER, decline


@pytest.fixture
def url(tmp_path: Path) -> str:
    """SQLite, whose files we can read."""
    return f"sqlite:///{tmp_path / 'optout.db'}"


@pytest.fixture
def erasures(register: Register) -> Erasures:
    """What erases, on the register of the test."""
    return Erasures(register.database, Ledger(KEY))


def spellings(text: str) -> dict[str, bytes]:
    """Return how *text* may stand in a file; of base64 what does not depend on its neighbours."""
    plain = text.encode()
    spelt = {
        "plain": plain,
        "latin": text.encode("latin-1"),
        "json": json.dumps(text)[1:-1].encode(),
        "url": quote(text, safe="").encode(),
        "form": quote(text, safe=" ").replace(" ", "+").encode(),
    }
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + plain)
        inner = coded[(offset * 8 + 5) // 6 : len(plain) * 8 // 6 - 2]
        spelt[f"base64, {offset} before"] = inner
        spelt[f"base64url, {offset} before"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return spelt


def left(folder: Path) -> set[tuple[str, str, str]]:
    """Return where anything of the customer stands below *folder*: text, spelling, file."""
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        (text, name, path.name)
        for text in (NAME, MAIL, ORDER)
        for name, spelt in spellings(text).items()
        for path, content in files.items()
        if spelt in content
    }


def beside(register: Register, name: str) -> None:
    """Record neighbours of many sizes, so that pages are split."""
    for number in range(40):
        metadata = {"seat": "x" * 97 * (number % 7)}
        register.decline(f"{name}-{number}", upstream="purchase", metadata=metadata)


@pytest.mark.parametrize("make", MAKES)
def test_no_byte_is_left_while_the_writer_is_open(
    register: Register, erasures: Erasures, tmp_path: Path, make: Callable[[Register], None]
) -> None:
    """In no file and no spelling; before it there is something to find."""
    beside(register, "before")
    make(register)
    beside(register, "after")
    assert {file for *_, file in left(tmp_path)} >= {"optout.db-wal"}

    erasures.erase([register.find().id])

    assert left(tmp_path) == set()


def test_the_search_sees_every_spelling(tmp_path: Path) -> None:
    """What it can not see proves nothing."""
    for number, coded in enumerate(
        base64.b64encode(b"x" * offset + NAME.encode() + b"tail") for offset in range(3)
    ):
        (tmp_path / str(number)).write_bytes(b"before " + coded + b" after")
    (tmp_path / "url").write_text(quote(ORDER, safe=""), "utf-8")
    (tmp_path / "json").write_text(json.dumps({"mail": MAIL}), "utf-8")

    assert {(name, file) for _, name, file in left(tmp_path)} >= {
        ("base64, 0 before", "0"),
        ("base64, 1 before", "1"),
        ("base64, 2 before", "2"),
        ("url", "url"),
        ("json", "json"),
    }


def test_a_reader_in_the_way_is_told(
    register: Register, erasures: Erasures, tmp_path: Path
) -> None:
    """It reads the moment before, so the log must keep it; afterwards it can be emptied."""
    decline(register)
    row = register.find().id
    with register.database.snapshot() as connection:
        story(connection, row)
        assert erasures.erase([row]) == ([Erased.ERASED], False)

    assert erasures.erase([row]) == ([Erased.NOTHING], True)
    assert left(tmp_path) == set()
