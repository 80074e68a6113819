"""What is written of a fault: its kind and its place, never a value that it quotes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from proxy import engines
from proxy.judge import explain
from tests.evidence import canary

SECRET = 'a"b\\c/é %&=1'  # short runs of letters: only its value gives it away

FAULT = """
import structlog
import logging
from proxy import logs
from proxy.errors import ConfigurationError
logs.configure("info")
try:
    raise ValueError("hush")
except ValueError:
    structlog.get_logger().exception("ours.crashed")
    logging.getLogger("library").exception("theirs crashed")
try:
    raise ConfigurationError("Mend this.")
except ConfigurationError:
    structlog.get_logger().exception("ours.refused")
"""


def test_a_crash_is_written_without_its_words() -> None:
    """The kind and the place of it are, so that it can be found; our own sentence is, too."""
    done = subprocess.run(
        [sys.executable, "-c", FAULT], capture_output=True, check=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert "hush" not in done.stderr
    assert [line["event"] for line in lines] == ["ours.crashed", "theirs crashed", "ours.refused"]
    assert all("Traceback" in line["exception"] for line in lines)
    assert all("<string>:8 <module>: ValueError" in line["exception"] for line in lines[:2])
    assert "ConfigurationError: Mend this." in lines[2]["exception"]


@pytest.mark.parametrize("spelling", ["plain", "json", "json, not ascii", "url"])
def test_an_insurer_s_words_are_read_in_every_spelling(spelling: str) -> None:
    """However it quotes the secret, in a sentence or in a document within the document."""
    spelt = canary.spellings(SECRET)[spelling].decode()
    for message in (f"the secret {spelt} is wrong", {"client_secret": [spelt]}):
        shown = explain(json.dumps({"message": message}).encode(), hide=[SECRET])

        assert "***" in shown
        assert canary.found(shown.encode(), [SECRET]) == set()


def test_an_error_of_the_database_shows_no_values(tmp_path: Path) -> None:
    """Commands print such an error, and what was to be written is what a customer said."""
    engine = engines.writing(make_url(f"sqlite:///{tmp_path / 'a.db'}"), 1)
    with engine.connect() as connection, pytest.raises(OperationalError) as failed:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", (SECRET,))
    engine.dispose()

    assert "nowhere" in str(failed.value)
    assert canary.found(str(failed.value).encode(), [SECRET]) == set()
