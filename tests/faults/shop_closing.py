"""The end of a run: heal, wait until nothing is left to do, and write the records."""

import json
import platform
import random
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests

from tests.faults.judge_run import Record
from tests.faults.records import (
    History,
    LedgerReader,
    Reader,
    descriptors,
    read_audit_key,
    search,
    wait_for,
)
from tests.faults.shop import Aim, Client
from tests.faults.shop_cluster import LEASE_S, ShopCluster
from tests.faults.shop_messages import Words

# What a run tolerates, in ms unless it says otherwise; part of its records.
BOUNDS = {
    "answer_ms": 15_000,  # of the intake, with the database away or frozen
    "clock_ms": 100,  # between two processes' readings of one machine's clock
    "date_ms": 3_000,  # from the stamp on a request to its arrival, two cores shared by all
    "exit_ms": 12_000,  # from SIGTERM to the end
    "recovery_ms": 10_000,  # until a fault of ours has no effect any more
    "descriptors": 200,  # files
}
_ASK_S = 60.0
_NUDGE_S = 20.0  # between two declines that let a paused credential show that it works


class Closing:
    """Everything that follows the last fault."""

    def __init__(
        self,
        cluster: ShopCluster,
        history: History,
        ledger: LedgerReader,
        words: Words,
        dice: random.Random,
    ) -> None:
        self._cluster = cluster
        self._history = history
        self._ledger = ledger
        self._words = words
        self._dice = dice
        self._reader = Reader(cluster.settings["database"])
        aim = Aim(declines=1, per_second=100.0)
        self._client = Client("closing", dice, words, history, aim)
        self.settled = False

    def heal(self, patience_s: float) -> None:
        """Take every fault away and wait until nothing is due, sending or paused."""
        cluster = self._cluster
        assert requests.delete(f"{cluster.insurer}/_sandbox/faults", timeout=_ASK_S).ok
        cluster.supervise()
        self._nudge(cluster.upstreams)
        end, nudged = time.monotonic() + patience_s, time.monotonic()
        while not wait_for(self._is_quiet, 1.0) and time.monotonic() < end:
            if time.monotonic() - nudged > _NUDGE_S and not self._waiting():
                self._nudge(cluster.upstreams)  # a paused credential has no row left to probe with
                nudged = time.monotonic()

    def _nudge(self, upstreams: Iterable[str]) -> None:
        for upstream in upstreams:
            telling = self._words.telling(self._dice, "declined", upstream=upstream)
            self._client.tell(telling, "decline")

    def _is_quiet(self) -> bool:
        paused = self._reader.rows("SELECT bucket FROM buckets WHERE paused_at IS NOT NULL")
        return not paused and not self._waiting()

    def _waiting(self) -> int:
        query = "SELECT count(*) AS rows FROM offers WHERE report IN ('due', 'sending')"
        return int(self._reader.rows(query)[0]["rows"])

    # -- records ------------------------------------------------------------------------------

    def write(
        self, folder: Path, plan: dict[str, Any], faults: list[Record], strangers: list[Record]
    ) -> None:
        """Write the records of the run into *folder*; the processes are stopped on the way."""
        seen = {
            "dead_shown": self._dead_shown(),
            "descriptors": self._descriptors(),
            "public_keys": self._get(f"{self._web}/.well-known/choice-keys.json"),
            "bookings": self._get(f"{self._cluster.insurer}/_sandbox/bookings"),
        }
        self._client.close()
        self._ledger.finish()
        self._history.close()
        key = read_audit_key(self._cluster.folder / "audit")
        self._reader.dump(folder, key)
        versions = self._versions()
        self._reader.close()
        seen |= self._stop()
        about = {
            "audience": self._cluster.settings["audience"],
            "versions": versions,
            "lease_ms": LEASE_S * 1000,
            "upstreams": self._cluster.known_upstreams(),
            "bounds": BOUNDS,
            "end_ms": time.time_ns() // 1_000_000,
            "faults": faults,
            "strangers": strangers,
            "ended": self._cluster.ended,
        }
        document = plan | about | seen | self._search(folder)
        (folder / "run.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")

    @property
    def _web(self) -> str:
        return self._cluster.url(self._cluster.webs[0])

    def _get(self, url: str) -> Any:
        host = self._cluster.shop().host if url.startswith(self._web) else None
        answer = requests.get(url, headers={"Host": host} if host else {}, timeout=_ASK_S)
        assert answer.ok, answer.text
        return answer.json()

    def _dead_shown(self) -> int:
        """Return how many dead letters an operator is shown."""
        url = f"{self._cluster.admin_url(self._cluster.webs[0])}/metrics"
        for line in requests.get(url, timeout=_ASK_S).text.splitlines():
            if line.startswith('proxy_deliveries{report="dead"}'):
                return int(float(line.rpartition(" ")[2]))
        return 0

    def _descriptors(self) -> dict[str, int]:
        names = (*self._cluster.webs, *self._cluster.workers)
        return descriptors({name: self._cluster.pid(name) for name in names})

    def _stop(self) -> Record:
        names = (*self._cluster.webs, *self._cluster.workers)
        return {"exits": {name: self._cluster.processes[name].stop() for name in names}}

    def _versions(self) -> dict[str, str]:
        query = "SELECT current_setting('server_version') AS version"
        if self._cluster.postgres is None:
            query = "SELECT sqlite_version() AS version"
        return {
            "optout-proxy": version("optout-proxy"),
            "Python": platform.python_version(),
            "database": str(self._reader.rows(query)[0]["version"]),
        }

    def _search(self, folder: Path) -> Record:
        """Look for secrets in all that was written, for the customer's words in the logs."""
        logs = [process.log for process in self._cluster.processes.values()]
        (folder / "logs").mkdir()
        for log in logs:
            shutil.copy(log, folder / "logs")
        outputs = [*logs, *folder.glob("*.jsonl")]
        leaks = search(outputs, self._cluster.secrets())
        leaks += search(logs, {"order or metadata": self._cluster.canary})
        return {"searched": [path.name for path in outputs], "leaks": leaks}
