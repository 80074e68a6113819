"""No secret is anywhere but in its own file, whatever insurers, callers and operators do."""

import json
import tomllib
from pathlib import Path

from tests.leaks import commands
from tests.leaks.guarded import ORDER
from tests.leaks.story import CALLS, READ, Story
from tests.test_docs import COMMANDS

ROOT = Path(__file__).resolve().parents[2]

# What each insurer does was met: how the first attempt that failed there, or did not, is recorded.
OUTCOMES = {
    "calm": {"delivered"},
    "echoing-401": {"unauthorized"},
    "echoing-400": {"refused"},
    "knowing": {"refused"},
    "moving": {"redirected"},
    "page": {"unexpected_status"},
    "cut": {"answer_cut"},
    "broken": {"connection_lost", "connection_reset"},
    "token": {"delivered", "unexpected_status"},
    "token-page": {"token_failed"},
    "token-refusal": {"token_failed"},
    "token-known": {"token_failed"},
    "token-moving": {"token_failed"},
    "denying": {"unauthorized"},
    "customer-echo": {"refused"},
    "stranger": {"tls_failed"},
    "no-tls": {"tls_failed", "connection_lost", "connection_reset"},
}


def test_nothing_leaks(told: Story) -> None:
    """Searched: logs, answers, figures, databases, files, and what the system shows of us."""
    assert sorted({(hit.secret, hit.place) for hit in told.hits()}) == []


def test_every_insurer_was_met(told: Story) -> None:
    """What was not said back to us could not have been written down."""
    assert {name: told.first.get(name) for name in OUTCOMES} == {
        name: (told.first.get(name) if told.first.get(name) in known else known)
        for name, known in OUTCOMES.items()
    }
    assert any(name.startswith("access token") for name in told.vault.texts)
    assert told.cluster.webhook.requests


def test_every_command_was_typed(told: Story) -> None:
    """A command that is added must be added to the run too; none of them broke."""
    typed = commands.table(told.cluster.folder / "out", told.given)
    elsewhere = set() if told.cluster.is_embedded else {"backup", "restore"}  # `pg_dump` does that
    ended = set(COMMANDS) - set(commands.PROCESSES) - elsewhere

    assert set(typed) == set(COMMANDS)
    assert {name for name, exits in told.exits.items() if exits & {0, 1}} == ended
    assert {name for name, exits in told.exits.items() if -1 in exits} == set()


def test_every_call_was_made(told: Story) -> None:
    """Each path of the public listener was asked, well and badly."""
    asked = {path for path, _ in told.statuses}

    assert {path[:20] for path in (*CALLS, *READ)} <= asked
    assert {status for _, status in told.statuses} >= {200, 202, 400, 401, 404, 405, 411, 415}


def test_every_place_was_searched(told: Story) -> None:
    """A place that is not there holds nothing: the search must have had them all."""
    kinds = {place.partition(" ")[0] for place in told.evidence}
    files = {"file web.log", "file out/copy.db", "file out/report.html", "file out/export.csv"}

    assert kinds == {"answer", "cmdline", "command", "environ", "file", "log"}
    assert files - ({"file out/copy.db"} if not told.cluster.is_embedded else set()) <= set(
        told.evidence
    )
    assert told.cluster.is_embedded or any(
        place.startswith("file postgresql") for place in told.evidence
    )
    assert b"proxy_" in told.evidence["answer to GET /metrics"]
    assert b"--config" in told.evidence["cmdline of web"]
    assert b"TMPDIR" in told.evidence["environ of web"]


def test_no_core_file_is_left(told: Story) -> None:
    """The process that aborted held every secret in its memory, and might leave none of it."""
    cores = [path for path in told.cluster.folder.rglob("core*") if path.is_file()]

    assert told.core_limit == (0, 0)
    assert cores == []


def test_orders_are_kept_with_their_offer_only(told: Story) -> None:
    """The order's number and the metadata are not secret, and still in no log and no figure."""
    assert tomllib.loads(told.cluster.config.read_text())["partners"]["ACME"]["customer"]
    places = {place for place, content in told.evidence.items() if ORDER.encode() in content}
    shown = ("file optout.db", "file out/copy.db", "file out/export", "file postgresql")
    signed_in = "answer to GET /admin/deliveri"  # whoever is that may see them

    assert [one for one in places if not one.startswith((*shown, "command", signed_in))] == []
    assert [one for one in places if "log" in one] == []
    assert json.dumps(sorted(told.facts_with(ORDER))) == "[]"
