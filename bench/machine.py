"""What a figure was measured on and with, as one sentence."""

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

import proxy
from bench.deployed import ROOT
from tests.faults.postgres import a_server

LIBRARIES = (
    "flask",
    "gunicorn",
    "sqlalchemy",
    "psycopg",
    "requests",
    "cryptography",
    "huey",
    "dbos",
    "procrastinate",
)


def facts() -> str:
    """Return the date, the machine, its systems and the libraries; a server is started to ask."""
    return f"{time.strftime('%Y-%m-%d')}; {_hardware()}; {_systems()}; {_libraries()}."


def _hardware() -> str:
    memory = psutil.virtual_memory().total / 2**30
    disks = sorted({_disk(ROOT), _disk(Path(tempfile.gettempdir()))})
    return f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {' and '.join(disks)}"


def _systems() -> str:
    with a_server() as server:
        ((postgres,),) = server.rows("SHOW server_version")
    return (
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, PostgreSQL {postgres}"
    )


def _libraries() -> str:
    return ", ".join((f"optout-proxy {proxy.__version__}", *_installed()))


def _installed() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:  # what is compared with is not always there
            continue


def _cpu() -> str:
    """Return the name of the processor, as Linux tells it if it does."""
    told = Path("/proc/cpuinfo")
    for line in told.read_text("utf-8").splitlines() if told.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _disk(path: Path) -> str:
    """Return the kind of file system that *path* lies on."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next(mounts[each] for each in (path, *path.parents) if each in mounts)
