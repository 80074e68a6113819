"""Writes a run's records: what clients said and heard, what the insurer received, the database.

Nothing here judges; `judge_run.py` reads what is written here.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import psutil
import requests
from sqlalchemy import create_engine, make_url, text

from tests.faults.judge_run import Call, Record

TABLES = ("offers", "facts", "buckets")
_PAGE_PAUSE_S = 1.0  # between two looks at the insurer's ledger
_PATIENCE_S = 60.0
_PRINT = 16  # hexadecimal digits of a digest: enough to tell two apart, and the records stay small

# What a fact's digest covers, in order. Written down again: the proxy's own list is not asked.
_COVERED = (
    *("partner", "offer_id", "ordinal", "kind", "at", "source", "message", "said", "seq"),
    *("said_at", "writer", "purchased", "tries", "order_hash", "metadata_hash", "choice"),
    *("report", "epoch", "conflicts", "superseded", "attempt", "outcome", "status", "note"),
)
_TRUTHS = ("purchased", "superseded")  # SQLite gives 0 and 1


class Lines:
    """A file of JSON lines that many threads append to."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file: TextIO = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record."""
        line = json.dumps(record, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        """Leave the file complete."""
        with self._lock:
            self._file.close()


class History:
    """The clients' own record: every call, whatever became of it."""

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / "calls.jsonl")
        self._lock = threading.Lock()
        self.statuses: dict[str, int] = {}

    def add(self, call: Call) -> None:
        """Write *call* down."""
        self._lines.append(asdict(call))
        with self._lock:
            name = str(call.status or "no answer")
            self.statuses[name] = self.statuses.get(name, 0) + 1

    def close(self) -> None:
        """Leave the record complete."""
        self._lines.close()


class LedgerReader:
    """Copies the insurer's ledger page by page while the run goes on: it keeps only so many."""

    def __init__(self, folder: Path, insurer: str) -> None:
        self._lines = Lines(folder / "ledger.jsonl")
        self._url = f"{insurer}/_sandbox/requests"
        self._after = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ledger", daemon=True)
        self.effects: set[str] = set()  # offers that the insurer has

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def finish(self) -> None:
        """Read the rest, answered or not."""
        self._done.set()
        self._thread.join()
        self._read(rest=True)
        self._lines.close()

    def _follow(self) -> None:
        while not self._done.wait(_PAGE_PAUSE_S):
            with suppress(requests.RequestException):
                self._read(rest=False)

    def _read(self, *, rest: bool) -> None:
        """Copy what has ended, up to the first that has not: its answer is still to come."""
        page = requests.get(self._url, params={"after": self._after}, timeout=_PATIENCE_S).json()
        for entry in page:
            if entry["answered_at"] is None and not rest:
                return
            self._after = entry["number"]
            if entry["effect"]:
                self.effects.add(entry["offer"])
            kept = {name: entry["headers"].get(name) for name in ("date", "content-type")}
            self._lines.append(entry | {"headers": kept})


class Reader:
    """Looks into the database from outside, on either engine."""

    def __init__(self, url: str) -> None:
        if make_url(url).get_backend_name() == "sqlite":
            file = make_url(url).database
            self._engine = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
        else:
            self._engine = create_engine(url, pool_pre_ping=True)

    def rows(self, statement: str) -> list[Record]:
        """Return what a SELECT finds."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def dump(self, folder: Path, audit_key: bytes) -> None:
        """Write every row of the register, of the ledger and of the pace."""
        about = {row["id"]: row for row in self.rows("SELECT id, upstream, offer FROM offers")}
        for table in TABLES:
            lines = Lines(folder / f"{table}.jsonl")
            order = "bucket" if table == "buckets" else "id"
            for row in self.rows(f"SELECT * FROM {table} ORDER BY {order}"):
                sealed = {}
                if table == "facts":
                    sealed["sealed"] = is_sealed(row, about.get(row["offer_id"]), audit_key)
                lines.append({name: _shown(value) for name, value in (row | sealed).items()})
            lines.close()


def is_sealed(fact: Record, offer: Record | None, audit_key: bytes) -> bool:
    """Return whether the digest of *fact* fits it and its *offer* under the audit key."""
    if offer is None:
        return False
    values = fact | {name: bool(fact[name]) for name in _TRUTHS}
    covered = [offer["upstream"], offer["offer"], *(values[name] for name in _COVERED)]
    canonical = json.dumps(covered, separators=(",", ":"))
    expected = hmac.digest(audit_key, canonical.encode(), hashlib.sha256)
    return hmac.compare_digest(expected, bytes(fact["digest"]))


def read_audit_key(path: Path) -> bytes:
    """Return the key in *path*."""
    found = path.read_text().strip()
    return base64.urlsafe_b64decode(found + "=" * (-len(found) % 4))


def _shown(value: Any) -> Any:
    return value.hex()[:_PRINT] if isinstance(value, bytes | memoryview) else value


def search(files: Iterable[Path], canaries: Mapping[str, str]) -> list[Record]:
    """Return where each of *canaries* stands in *files*, and how often."""
    found = []
    for file in files:
        content = file.read_bytes()
        for name, canary in canaries.items():
            if hits := content.count(canary.encode()):
                found.append({"file": file.name, "canary": name, "hits": hits})
    return found


def descriptors(processes: Mapping[str, int]) -> dict[str, int]:
    """Return how many files each process, and each of its children, holds open."""
    found = {}
    for name, pid in processes.items():
        parent = psutil.Process(pid)
        for number, process in enumerate([parent, *parent.children(recursive=True)]):
            with suppress(psutil.Error):
                found[f"{name}/{number}"] = process.num_fds()
    return found


def wait_for(condition: Callable[[], bool], patience_s: float) -> bool:
    """Return whether *condition* came true within *patience_s*."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
