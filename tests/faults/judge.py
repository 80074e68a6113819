"""The judge: the invariants V1 to V12 over three independent records of one run.

`python tests/faults/judge.py FOLDER` reads a run's records and prints what they show broken. It
imports nothing of the proxy: what must hold is written down here a second time, from the design.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.judge_register import gapless, invented, kept, single
from tests.faults.judge_run import Finding, Run, load
from tests.faults.judge_service import answered, discreet, recovered, reported
from tests.faults.judge_upstream import alike, ended, paced, withdrawn

INVARIANTS: dict[str, Callable[[Run], Iterator[Finding]]] = {
    "V1": kept,
    "V2": reported,
    "V3": invented,
    "V4": withdrawn,
    "V5": alike,
    "V6": ended,
    "V7": single,
    "V8": gapless,
    "V9": paced,
    "V10": answered,
    "V11": discreet,
    "V12": recovered,
}


def judge(run: Run) -> list[Finding]:
    """Return every promise that the records of *run* show broken."""
    return [finding for check in INVARIANTS.values() for finding in check(run)]


def broken(findings: list[Finding]) -> set[str]:
    """Return which invariants *findings* name."""
    return {finding.invariant for finding in findings}


def main() -> int:
    """Judge the run in the folder that the command line names; 1 if there is a finding."""
    findings = judge(load(Path(sys.argv[1])))
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{len(findings)} findings\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
