"""The judge: nothing to find in a run that is right, and each broken promise under its name."""

import ast
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.judge import INVARIANTS, broken, judge
from tests.faults.judge_figures import table
from tests.faults.judge_history import keep, kept
from tests.faults.judge_model import Said, State, after
from tests.faults.judge_picture import picture
from tests.faults.judge_run import Run, load
from tests.faults.judge_sample import BEGIN_MS, a_good_run
from tests.faults.judge_violations import VIOLATIONS

MINUTE = 60_000


def test_a_good_run_gives_no_finding() -> None:
    """Repeats, lost answers, changed minds, dead letters and refusals are no findings."""
    assert judge(a_good_run()) == []


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_broken_promise_is_found(name: str) -> None:
    """What breaks a promise is found under that one, and under no other."""
    invariants, break_it = VIOLATIONS[name]
    run = a_good_run()
    break_it(run)

    found = judge(run)

    assert broken(found) == set(invariants.split()), found


def test_every_invariant_is_broken_once() -> None:
    """No invariant goes without a violation that breaks it alone."""
    assert {invariants for invariants, _ in VIOLATIONS.values()} >= INVARIANTS.keys()


def test_the_judge_knows_nothing_of_the_proxy() -> None:
    """It could not contradict code that it shares."""
    for path in Path(__file__).parent.glob("judge*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] == "proxy" for name in names), path


def test_a_run_is_judged_from_its_files(tmp_path: Path) -> None:
    """Written, packed, unpacked and read again, a run tells the same."""
    run = a_good_run()
    _write(run, tmp_path)
    keep(tmp_path, tmp_path / "packed.tar.xz")

    assert load(tmp_path) == run
    assert kept(tmp_path / "packed.tar.xz") == run


def test_a_run_makes_a_table_and_a_picture() -> None:
    """The documents show what was counted, and can be made again."""
    run = a_good_run()
    run.about["faults"] = [
        {"name": "<kill>", "group": "process", "from_ms": BEGIN_MS, "to_ms": BEGIN_MS + 500}
    ]

    head, _, first, *_ = table([run, run]).splitlines()
    assert head == "|  | sample | sample |"
    assert first == "| declines acknowledged | 6 | 6 |"
    assert "&lt;kill&gt;" in picture(run)


def _write(run: Run, folder: Path) -> None:
    files = {
        "calls": [asdict(call) for call in run.calls],
        "ledger": run.requests,
        "offers": run.offers,
        "facts": run.facts,
        "buckets": run.buckets,
    }
    for name, records in files.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    (folder / "run.json").write_text(json.dumps(run.about), "utf-8")


def _said(choice: str, seq: int, *, name: str = "a", writer: str = "w", at: int = BEGIN_MS) -> Said:
    return Said(id=name, choice=choice, seq=seq, writer=writer, at=at)


def _last(*messages: Said) -> State:
    return after(messages)[-1]


def test_the_model_keeps_the_highest_seq() -> None:
    """Whatever the order of arrival."""
    old, new = _said("accepted", 5), _said("declined", 6, name="b")

    assert _last(old, new).message == _last(new, old).message == "b"


def test_in_the_model_acceptance_wins_a_tie() -> None:
    """Equal seq, other id."""
    no, yes = _said("declined", 5), _said("accepted", 5, name="b")

    assert _last(no, yes).choice == _last(yes, no).choice == "accepted"


def test_the_model_drops_no_acceptance_of_another_writer() -> None:
    """Its own older one it does."""
    no = _said("declined", 6)

    assert _last(no, _said("accepted", 5, name="b")).choice == "declined"
    assert _last(no, _said("accepted", 5, name="b", writer="other")).choice == "accepted"


def test_in_the_model_a_clock_ahead_counts_as_now() -> None:
    """More than five minutes ahead is the time of receipt, five minutes are not."""
    assert _last(_said("declined", BEGIN_MS + 5 * MINUTE)).seq == BEGIN_MS + 5 * MINUTE
    assert _last(_said("declined", BEGIN_MS + 5 * MINUTE + 1)).seq == BEGIN_MS


def test_in_the_model_undecided_changes_nothing() -> None:
    """An offer that is shown again is not unanswered."""
    assert _last(_said("declined", 5), _said("undecided", 9, name="b")).choice == "declined"
