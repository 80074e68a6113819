"""What reaches the disk of SQLite: fsyncs and bytes, as strace sees the kernel asked for them.

Run as a program, under strace: does the work, and marks in the trace where each part begins.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.cost.at_once import MOST, a_meeting
from tests.faults import syscalls

BATCH = 16
BATCHES = 62
_SYNCS = ("fsync", "fdatasync")
_CALLS = (*_SYNCS, "pwrite64", "write")


def count(folder: Path, environ: Mapping[str, str]) -> dict[str, float]:
    """Return the counts of this program, run in *folder*."""
    trace = folder / "trace"
    subprocess.run(
        [*tracer(trace), sys.executable, "-m", "tests.cost.writes", str(folder)],
        env=dict(environ),
        check=True,
        timeout=100,
    )
    syncs, written = _told(trace)
    return {
        f"fsyncs for {BATCHES} commits of choices": syncs["choices"],
        f"fsyncs for {BATCHES} claims and {BATCHES} finishes": syncs["deliveries"],
        f"fsyncs for {MOST} choices at once": syncs["many"],
        "bytes written per choice, 16 at once": written["choices"] / BATCH / BATCHES,
        "bytes written per delivery, 16 at once": written["deliveries"] / BATCH / BATCHES,
    }


def tracer(trace: Path, *options: str) -> list[str]:
    """Return what to put before a command, or a process' id, so that *trace* tells its writes."""
    return [
        *("strace", "-f", "-qq", "--seccomp-bpf", "-yy", "-s", "0", "-e", "signal=none", *options),
        *("-e", f"trace={','.join(_CALLS)}", "-o", str(trace)),
    ]


def _told(trace: Path) -> tuple[Counter[str], Counter[str]]:
    """Return how many fsyncs there were in each part, and how many bytes were written."""
    syncs: Counter[str] = Counter()
    written: Counter[str] = Counter()
    part = "begin"
    with trace.open() as lines:
        for call in syscalls.calls(lines):
            file = Path(call.file())
            if call.result is None:
                continue  # seen again when it returns
            if file.suffix == ".mark":
                part = file.stem
            elif call.name in _SYNCS:
                syncs[part] += 1
            elif file.name.startswith("optout.db"):
                written[part] += call.result
    return syncs, written


def _work(folder: Path) -> None:
    with a_meeting(f"sqlite:///{folder / 'optout.db'}") as meeting:
        _mark(folder, "choices")
        for _ in range(BATCHES):
            meeting.record(BATCH)
        _mark(folder, "deliveries")
        for _ in range(BATCHES):
            meeting.deliver(BATCH)
        _mark(folder, "many")
        meeting.record(MOST)
        _mark(folder, "end")


def _mark(folder: Path, part: str) -> None:
    (folder / f"{part}.mark").write_text("from here")


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
