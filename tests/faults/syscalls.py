"""What a process asked of the kernel, in the order in which it happened, as strace wrote it down.

Meant for `strace -f -yy -xx`: every text is written in hexadecimal, so that a line holds no comma,
quote or bracket that is not strace's own. Knows no meaning of any call.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

HOW_TO_TRACE = (
    "power loss is simulated from a recording that strace makes, and strace is missing or may not "
    "trace here; install it (Debian: apt-get install strace) and allow ptrace"
)

_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+|\?)(?:<[^>]*>| E\w+ \(.*\)| \(.*\))?$")
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>(\(deleted\))?")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one thread, seen twice: when it began and, with a result, when it returned."""

    thread: int
    name: str
    arguments: tuple[str, ...]
    result: int | None = None  # None: it has only begun, or never returned

    def text(self, position: int) -> bytes:
        """Return the bytes of the argument at *position*."""
        return _bytes(self.arguments[position])

    def number(self, position: int) -> int:
        """Return the argument at *position* as a number."""
        return int(self.arguments[position], 0)

    def file(self, position: int = 0) -> str:
        """Return what the descriptor at *position* is open on; nothing if that was unlinked."""
        found = _DESCRIPTOR.match(self.arguments[position])
        if found is None or found[3]:
            return ""
        shown = found[2]
        return _bytes(f'"{shown}"').decode() if shown.startswith("\\x") else shown


def command(trace: str, calls: Sequence[str]) -> list[str]:
    """Return what to put before a command so that its *calls* are written to the file *trace*."""
    return [
        *("strace", "-f", "-qq", "--seccomp-bpf", "-yy", "-xx", "-s", "4000000"),
        *("-e", "signal=none", "-e", f"trace={','.join(calls)}", "-o", trace),
    ]


def can_trace() -> bool:
    """True if strace is there and may trace a child."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        [*command("/dev/null", ["fsync"]), "true"],  # wherever it is installed
        check=False,
        capture_output=True,
    )
    return tried.returncode == 0


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """Yield each call when it began and, once more with its result, when it returned."""
    under_way: dict[int, Call] = {}
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue  # a signal, or an end
        thread, rest = int(found[1]), found[4]
        if found[3]:
            under_way[thread] = Call(thread, found[3], _arguments(rest))
            yield under_way[thread]
        result = _RESULT.search(rest)
        if result is None:
            continue
        begun = under_way.pop(thread)
        yield Call(thread, begun.name, begun.arguments, _number(result[1]))


def _arguments(rest: str) -> tuple[str, ...]:
    end = _RESULT.search(rest)
    told = rest[: end.start()] if end else rest.removesuffix(_UNFINISHED).rstrip()
    return tuple(told.split(", "))


def _number(result: str) -> int | None:
    return None if result == "?" else int(result)


def _bytes(shown: str) -> bytes:
    if not shown.startswith('"') or not shown.endswith('"'):
        raise ValueError(f"not a whole text: {shown[:80]}")
    return bytes.fromhex(shown[1:-1].replace("\\x", ""))
