"""The demo's child processes: started together, watched, and gone when the demo is."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 12.0  # seconds for a child to end by itself; `serve` promises 10
LAST_LINES = 12
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ChildDied(Exception):
    """A part of the demo ended by itself; the message says which, with its last lines."""


class Children:
    """Commands of ours in processes of their own; all end with the `with` block.

    Start them from the main thread, before any other: Linux counts the end of the thread that
    started a process as the death of its parent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start `optout-proxy` with *arguments*; its output goes to a file in the folder.

        It gets the signal *orphaned* if the demo dies without ending it.
        """
        name = arguments[0]
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("OPTOUT_")}
        with self._log(name).open("wb") as log:
            self._children[name] = subprocess.Popen(
                [sys.executable, "-m", "proxy", *arguments],
                env=inherited | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends them in order
                preexec_fn=_end_with(os.getpid(), orphaned),  # noqa: PLW1509 -- no other thread runs
            )

    def check(self) -> None:
        """Raise ChildDied if one of them has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                how = f"with exit status {child.returncode}"
                if child.returncode < 0:
                    how = f"by {signal.Signals(-child.returncode).name}"
                raise ChildDied(f"`optout-proxy {name}` ended {how}.\n{self._last_lines(name)}")

    def stop(self) -> None:
        """End them: SIGTERM, and SIGKILL for the whole group of one that does not listen."""
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + PATIENCE
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # the group bears the number of its leader
            child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _last_lines(self, name: str) -> str:
        lines: Sequence[str] = self._log(name).read_text("utf-8", "replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:])


def _end_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    """Return what ties a new process to *parent*: it gets a signal even after `kill -9` of that.

    It may get it several times, once for each thread of the parent that ends. Elsewhere than on
    Linux there is no such tie, and only that one case leaves children behind.
    """
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)  # loaded here: between fork and exec as little as possible

    def tie() -> None:
        library.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the tie was there
            os._exit(1)

    return tie
