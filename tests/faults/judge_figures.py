"""The figures of a run, and the table that runs make."""

from collections import Counter
from collections.abc import Iterable

from tests.faults.judge import judge
from tests.faults.judge_run import Finding, Run

_ROWS = (
    "engine",
    "declines acknowledged",
    "messages acknowledged",
    "no answer or 503",
    "refused",
    "faults",
    "minutes",
    "upstream calls",
    "delivered",
    "dead",
    "cancelled",
    "conflicts",
    "lost",
    "invented",
    "claimed or sent after an acceptance",
    "neither delivered nor dead",
    "findings",
)
_PROMISES = {
    "lost": "V1",
    "neither delivered nor dead": "V2",
    "invented": "V3",
    "claimed or sent after an acceptance": "V4",
}


def figures(run: Run, findings: list[Finding]) -> dict[str, str]:
    """Return what there was and what was found, in the order of the table."""
    acknowledged = {call.id: call for call in run.calls if call.acknowledged}
    declines = [call for call in acknowledged.values() if call.said["choice"] == "declined"]
    statuses = Counter(call.status for call in run.calls)
    reports = Counter(row["report"] for row in run.offers)
    counted = Counter(finding.invariant for finding in findings)
    found = {
        "engine": run.about["engine"],
        "declines acknowledged": len(declines),
        "messages acknowledged": len(acknowledged),
        "no answer or 503": statuses[None] + statuses[503],
        "refused": sum(n for status, n in statuses.items() if status and 400 <= status < 500),
        "faults": len(run.about["faults"]),
        "minutes": round((run.about["end_ms"] - run.about["begin_ms"]) / 60_000, 1),
        "upstream calls": len(run.requests),
        "delivered": reports["delivered"],
        "dead": reports["dead"],
        "cancelled": reports["cancelled"],
        "conflicts": sum(bool(row["conflicts"]) for row in run.offers),
        **{name: counted[invariant] for name, invariant in _PROMISES.items()},
        "findings": len(findings),
    }
    return {name: _shown(found[name]) for name in _ROWS}


def table(runs: Iterable[Run]) -> str:
    """Return the Markdown table of *runs*, one column each."""
    columns = [figures(run, judge(run)) for run in runs]
    head, *rows = [[name, *(column[name] for column in columns)] for name in _ROWS]
    lines = [["", *head[1:]], ["---", *("--:" for _ in columns)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
