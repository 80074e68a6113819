"""Planted regressions, in copies of the package: each breaks the budgets that are meant for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cost import count, served, serving
from tests.cost.budgets import BUDGETS, broken
from tests.faults.planted import Edit, planted

SELECT_PER_MESSAGE: Edit = (
    "intake.py",
    "        batch = _Batch(rows, earlier, self._seal, now)\n",
    (
        "        batch = _Batch(rows, earlier, self._seal, now)\n"
        "        for message in messages:\n"
        "            store.find(connection, (message.partner, message.upstream, message.offer))\n"
    ),
)
SELECT_PER_ANSWER: Edit = (
    "outbox.py",
    "        kept: list[bool] = []\n",
    (
        "        kept: list[bool] = []\n"
        "        for end in ends:\n"
        "            store.lock_ids(connection, [end.delivery.row])\n"
    ),
)
PAST_SQLALCHEMY: Edit = (
    "store.py",
    "    rows: dict[int, Offer] = {}\n",
    (
        "    rows: dict[int, Offer] = {}\n"
        "    for one, _ in changed:\n"
        "        driver = connection.connection.driver_connection\n"
        '        driver.execute("SELECT 1 FROM offers WHERE id = ?", (one.id,)).fetchall()\n'
    ),
)
COMMIT_PER_MESSAGE: Edit = ("database.py", "_BATCH = 512", "_BATCH = 1")
SECOND_VERIFICATION: Edit = (
    "web/callers.py",
    "    session = terms.keyring.verify(token, now_ms // 1000)\n",
    (
        "    session = terms.keyring.verify(token, now_ms // 1000)\n"
        "    terms.keyring.verify(token, now_ms // 1000)\n"
    ),
)
SECOND_PARSE: Edit = (
    "web/choices.py",
    '    if "token" not in form:\n',
    (
        '    form = parse("&".join(f"{name}={form[name]}" for name in form).encode(), set(form))\n'
        '    if "token" not in form:\n'
    ),
)
PRETTY_JSON: Edit = ("web/answers.py", '(separators=(",", ":"))', "(indent=1)")
NO_SYNC: Edit = ("engines.py", '"synchronous": ("FULL", 2)', '"synchronous": ("OFF", 0)')
SYNC_AT_CHECKPOINTS: Edit = (
    "engines.py",
    '"synchronous": ("FULL", 2)',
    '"synchronous": ("NORMAL", 1)',
)
TO_THE_FILE_AT_ONCE: Edit = (
    "engines.py",
    '    "cell_size_check": ("ON", 1),\n',
    '    "cell_size_check": ("ON", 1),\n    "wal_autocheckpoint": ("1", 1),\n',
)
LONG_WAY_IN: Edit = (
    "web/deadlines.py",
    '        """Wait for the head no longer: it is there."""\n',
    (
        '        """Wait for the head no longer: it is there."""\n'
        "        sum(monotonic() for _ in range(100))\n"
    ),
)
LONG_WAY_OUT: Edit = (
    "worker.py",
    "        outcome = self._send(flight.delivery)\n",
    (
        "        outcome = self._send(flight.delivery)\n"
        "        sum(time.monotonic() for _ in range(100))\n"
    ),
)
POLL: Edit = ("worker.py", "POLL_S = 1.0", "POLL_S = 0.01")

Planted = tuple[Sequence[Edit], set[str]]

STATEMENTS: dict[str, Planted] = {
    "a query for each message and each answer": (
        [SELECT_PER_MESSAGE, SELECT_PER_ANSWER],
        {
            "SQLite: statements for 1 choice",
            "SQLite: statements for 64 choices at once",
            "SQLite: statements per choice, 16 at once",
            "SQLite: statements for finishing 16",
            "SQLite: statements per delivery, 16 at once",
        },
    ),
    "queries behind SQLAlchemy's back": (
        [PAST_SQLALCHEMY],
        {"SQLite: statements that SQLAlchemy has not seen"},
    ),
    "a commit for each message": (
        [COMMIT_PER_MESSAGE],
        {"SQLite: commits for 64 choices at once", "SQLite: commits for finishing 16"},
    ),
}
CALLS: dict[str, Planted] = {
    "a token is verified twice, a form parsed twice": (
        [SECOND_VERIFICATION, SECOND_PARSE],
        {
            "tokens verified per page request",
            "digests compared per page request",
            "forms parsed per page request",
        },
    ),
    "JSON made by Python instead of C": ([PRETTY_JSON], {"calls per page request"}),
}
_COMMITS = {"fsyncs for 62 commits of choices", "fsyncs for 62 claims and 62 finishes"}
_UNSYNCED = _COMMITS | {"fsyncs for 64 choices at once"}
WRITES: dict[str, Planted] = {
    "no fsync": ([NO_SYNC], _UNSYNCED),
    "no fsync at a commit": ([SYNC_AT_CHECKPOINTS], _UNSYNCED),
    "everything is written twice": (
        [TO_THE_FILE_AT_ONCE],
        _COMMITS
        | {"bytes written per choice, 16 at once", "bytes written per delivery, 16 at once"},
    ),
}


def names_of(sentences: list[str]) -> set[str]:
    """Return the budgets that *sentences* tell of."""
    return {name for name in BUDGETS for one in sentences if one.startswith(f"{name}: ")}


@pytest.mark.parametrize("name", STATEMENTS)
def test_more_statements_are_seen(tmp_path: Path, name: str) -> None:
    """Whoever asks the database once for each message is told so."""
    edits, budgets = STATEMENTS[name]
    code = planted(tmp_path / "code", edits)

    counts = count.of_statements(f"sqlite:///{tmp_path / 'optout.db'}", code)

    assert budgets <= names_of(broken(counts)), counts


@pytest.mark.parametrize("name", CALLS)
def test_more_work_for_a_request_is_seen(tmp_path: Path, name: str) -> None:
    """What is done twice, and what is done in a slower way."""
    edits, budgets = CALLS[name]
    code = planted(tmp_path / "code", edits)

    counts = count.of_calls(code)

    assert budgets <= names_of(broken(counts)), counts


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "no fsync" else pytest.mark.thorough)
        for name in WRITES
    ],
)
def test_too_much_and_too_little_on_disk_is_seen(folder: Path, name: str) -> None:
    """Faster because nothing is synced is the worst of all regressions."""
    edits, budgets = WRITES[name]
    code = planted(folder / "code", edits)

    counts = count.of_writes(folder, code)

    assert budgets <= names_of(broken(counts)), counts


def test_an_idle_proxy_that_polls_is_seen(tmp_path: Path) -> None:
    """A hundred looks a second at a register in which nothing is due."""
    code = planted(tmp_path / "code", [POLL])

    with served.at_rest(tmp_path, code) as wakings:
        counts = wakings()

    assert names_of(broken(counts)) == {"wakings of an idle serve in a second"}, counts


@pytest.mark.thorough
def test_longer_ways_in_and_out_are_seen(tmp_path: Path) -> None:
    """What happens around the application, and on the way out to the insurer."""
    code = planted(tmp_path / "code", [LONG_WAY_IN, LONG_WAY_OUT])

    counts = serving.count(tmp_path, code)

    assert names_of(broken(counts)) == set(counts), counts


@pytest.mark.thorough
def test_commits_that_nobody_shares_are_seen_from_outside(folder: Path) -> None:
    """The same fault as above, found by the fsyncs of a `serve` under 32 connections."""
    code = planted(folder / "code", [COMMIT_PER_MESSAGE])

    counts = served.at_work(folder, code)

    assert names_of(broken(counts)) == set(counts), counts
