"""A small disk of its own for a database, and a kernel that refuses its system calls."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance.deployment import until

_MEGABYTE = 1024 * 1024

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a disk")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


class Disk:
    """A file system in memory, mounted at *folder*, that can be filled and made read-only."""

    def __init__(self, folder: Path, megabytes: int = 4) -> None:
        self.folder = folder
        self._size = megabytes * _MEGABYTE
        self._ballast = folder / "ballast"

    def mount(self) -> None:
        """Make it and mount it."""
        self.folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={self._size}", "none", str(self.folder))

    def unmount(self) -> None:
        """Take it away, whoever still uses it."""
        _run("umount", "-l", str(self.folder))

    def fill(self) -> None:
        """Leave no room, not for one byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65_536, 4096, 1):
                _write_until_full(file.fileno(), size)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def remount(self, mode: str) -> None:
        """Make it `ro` or `rw`; nobody may write on it at the moment."""
        _run("mount", "-o", f"remount,{mode}", str(self.folder))


def _write_until_full(descriptor: int, size: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(size))
    except OSError:
        return


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@contextmanager
def a_disk(folder: Path, megabytes: int = 4) -> Iterator[Disk]:
    """A mounted disk that is gone at the end."""
    disk = Disk(folder, megabytes)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


@contextmanager
def protected(file: Path) -> Iterator[None]:
    """Let nobody write *file* while this lasts; not even root, whom its mode would not stop."""
    if os.geteuid() != 0:
        file.chmod(0o400)
        yield
        file.chmod(0o600)
        return
    _run("mount", "--bind", str(file), str(file))
    try:
        _run("mount", "-o", "remount,bind,ro", str(file))
        yield
    finally:
        _run("umount", "-l", str(file))


@contextmanager
def refusing(pid: int, calls: str, error: str, log: Path) -> Iterator[None]:
    """Let the kernel answer the system *calls* of a process with *error* while this lasts."""
    tracer = subprocess.Popen(
        [
            *("strace", "-f", "-o", str(log), "-p", str(pid)),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _is_traced(pid), "the tracer")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets go of the process, which lives on
        tracer.wait(30)


def _is_traced(pid: int) -> bool:
    """True when every thread of the process is traced, or the first refusal has ended it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return all("TracerPid:\t0\n" not in (one / "status").read_text() for one in tasks)
    except (FileNotFoundError, ProcessLookupError):
        return not Path(f"/proc/{pid}/task").exists()


def serving(pid: int) -> psutil.Process:
    """Return the process that serves: the child of gunicorn's master, whose id is *pid*."""
    children: list[psutil.Process] = until(psutil.Process(pid).children, "the process that serves")
    return children[0]
