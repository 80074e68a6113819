"""What holds after every attack, whichever it was: no harm done, nothing told, nothing broken."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.acceptance.deployment import PATIENCE_S
from tests.attacks.target import ORIGINS, Target
from tests.attacks.wire import Answer
from tests.faults.register import read

_ERRORS = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"
_ROW = re.compile(r"\| `(\w+)` \| (\d+) \| \w+ \| (.+?) \|")
_MEMBERS = {"code", "status", "title", "request_id"}
_SOFTWARE = ("gunicorn", "werkzeug", "flask", "waitress", "python", "traceback", "sqlalchemy")
_SAID_BY_CALLERS = (
    "SELECT (SELECT count(*) FROM offers) AS offers,"
    " (SELECT count(*) FROM facts WHERE source IN ('page', 'server')) AS facts,"
    " (SELECT count(*) FROM idempotency_keys) AS keys,"
    " (SELECT count(*) FROM open_tokens) AS tokens"
)


@dataclass(frozen=True)
class Standing:
    """What the register holds, as far as callers can change it."""

    rows: dict[str, int]


def standing(target: Target) -> Standing:
    """Return how the register stands, read from outside."""
    (rows,) = read(target, _SAID_BY_CALLERS)
    return Standing(rows)


@cache
def registered() -> dict[str, tuple[int, str]]:
    """Return status and title of every code, as they are published."""
    rows = _ROW.findall(_ERRORS.read_text("utf-8"))
    return {code: (int(status), title) for code, status, title in rows}


def hold(target: Target, before: Standing) -> None:
    """Hold the target to every condition, in all that it answered since it stood as *before*."""
    for answer in target.heard:
        _judge(target, answer)
    _only_what_was_acknowledged(target, before)
    _judge_log(target)
    again = target.hears(target.page(), seconds=PATIENCE_S)
    assert [answer.status for answer in again] == [202], again


def _judge(target: Target, answer: Answer) -> None:
    everything = f"{answer.headers} {answer.body.decode('latin-1')}"
    for secret in target.secrets:
        assert secret not in everything, answer
    if answer.is_problem:  # the parser's own words may quote a line to whoever sent it
        for said in target.spoken:
            assert said not in everything, answer
    if answer.status >= 400:
        assert not any(word in everything.lower() for word in _SOFTWARE), answer
    assert {"server", "set-cookie", "x-powered-by"}.isdisjoint(dict(answer.headers)), answer
    if answer.is_problem:
        _judge_problem(answer)
    elif answer.status >= 400:  # the parser's own words, and then it hangs up
        assert answer.header("connection") == "close", answer
    _judge_sharing(answer)


def _judge_problem(answer: Answer) -> None:
    assert answer.header("cache-control") == "no-store", answer
    assert answer.header("content-type") == "application/problem+json"
    if not answer.body:  # HEAD
        return
    members = answer.json()
    assert members.keys() - {"detail"} == _MEMBERS, members
    status, title = registered()[members["code"]]
    assert members["title"] == title
    statuses = {status, 422} if members["code"] == "origin_not_allowed" else {status}
    assert answer.status == members["status"], members
    assert answer.status in statuses, members
    assert re.fullmatch("[0-9a-f]{16}", members["request_id"]), members


def _judge_sharing(answer: Answer) -> None:
    """No page may read what is not for it; no cache may keep what is only for one."""
    path = answer.request.split(b" ", 2)[1] if b" " in answer.request else b""
    shared = {name: value for name, value in answer.headers if name.startswith("access-control")}
    assert "access-control-allow-credentials" not in shared
    assert "access-control-allow-private-network" not in shared
    if path.startswith(b"/s/"):
        return
    origin = shared.get("access-control-allow-origin")
    assert origin is None or origin in ORIGINS, answer
    assert bool(shared) == (origin is not None), answer
    if origin:
        assert f"Origin: {origin}\r\n".encode() in answer.request, answer
    if path.startswith(b"/v1/") and (answer.is_problem or answer.status < 400):
        assert answer.header("vary") == "Origin", answer
        assert answer.header("cache-control") == "no-store", answer
        assert answer.header("x-content-type-options") == "nosniff", answer


def _only_what_was_acknowledged(target: Target, before: Standing) -> None:
    """What was refused has left no row, and upstream has heard of nothing but declines we took."""
    taken = sum(1 for answer in target.heard for line in answer.lines() if _is_taken(line))
    for name, rows in standing(target).rows.items():
        assert 0 <= rows - before.rows[name] <= taken, (name, rows, before, target.heard)
    for entry in target.calls():
        assert entry["method"] == "POST"
        assert entry["offer"] in target.acknowledged, entry
        assert entry["path"].endswith(("/opt_out/", "/opt-out")), entry


def _is_taken(line: dict[str, object]) -> bool:
    return "receipt" in line or "expires_at" in line


def _judge_log(target: Target) -> None:
    """One JSON object per line, no control character, no secret, no body, no traceback."""
    said = target.said()
    for line in said.splitlines():
        assert line.isprintable(), line
        assert json.loads(line).keys() >= {"event", "level", "timestamp"}, line
    for word in target.secrets | target.spoken:
        assert word not in said, said
    assert "Traceback" not in said, said
    assert '"request.failed"' not in said, said
