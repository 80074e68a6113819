"""A directed run: one proxy, one client that says what it is told to, the same records."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from tests.faults.judge_run import Call, Record, Run, load
from tests.faults.records import History, LedgerReader, wait_for
from tests.faults.shop import Aim, Client
from tests.faults.shop_closing import Closing
from tests.faults.shop_cluster import PARTNER, ShopCluster
from tests.faults.shop_messages import Words
from tests.faults.shop_stranger import Stranger

PATIENCE_S = 30.0


class Stage:
    """What a directed run plays on; *run* is there when the stage is left."""

    def __init__(self, folder: Path, code: Path | None) -> None:
        (folder / "ground").mkdir(parents=True)
        self.folder = folder
        self.cluster = ShopCluster(
            folder / "ground", f"sqlite:///{folder}/ground/optout.db", code=code, elements=False
        )
        self.stranger = Stranger()
        self.faults: list[Record] = []
        self._begin = _now_ms()
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        """The records."""
        assert self._run is not None
        return self._run

    def start(self) -> None:
        """Start everything."""
        dice = random.Random()
        self.cluster.start_all()
        self._words = Words(self.cluster.shop())
        self._dice = dice
        self._history = History(self.folder)
        self._ledger = LedgerReader(self.folder, self.cluster.insurer)
        aim = Aim(declines=1, per_second=1_000.0)
        self._client = Client("client", dice, self._words, self._history, aim)
        self._ledger.start()

    def say(self, choice: str, offer: str, *, jti: str, **only: Any) -> Call:
        """Say *choice* once from a page whose token has this *jti*; return what was heard."""
        said = {
            "partner": PARTNER,
            "upstream": "tickets",
            "offer": offer,
            "id": str(uuid4()),
            "seq": _now_ms(),
            "choice": choice,
            "purchased": False,
            "order": None,
            "body": None,
        }
        call = self._client.say(self._words.from_page(said | only, jti=jti), "directed")
        self._history.add(call)
        return call

    def fault(self, fault: str, offer: str, **rule: Any) -> None:
        """Script a fault of the insurer for what it hears of *offer*."""
        self.cluster.fault(fault, partner=PARTNER, match={"offer": offer}, **rule)

    def kill(self) -> None:
        """Kill the whole proxy and start it again."""
        begin = _now_ms()
        self.cluster.processes["web-1"].kill()
        self.cluster.again("web-1")
        self.faults.append(
            {"name": "kill", "group": "process", "from_ms": begin, "to_ms": _now_ms()}
        )

    def wait_for_calls(self, offer: str, count: int) -> None:
        """Wait until the insurer has received so many calls for *offer*, answered or not."""
        url = f"{self.cluster.insurer}/_sandbox/requests"

        def came() -> bool:
            return len(requests.get(url, params={"offer": offer}, timeout=10).json()) >= count

        assert wait_for(came, PATIENCE_S)

    def close(self) -> None:
        """Heal, write the records, end every process."""
        self._client.close()
        closing = Closing(self.cluster, self._history, self._ledger, self._words, self._dice)
        closing.heal(PATIENCE_S)
        plan: Record = {"engine": "sqlite", "begin_ms": self._begin, "declines": 0, "seed": 0}
        closing.write(self.folder, plan, self.faults, self.stranger.seen)
        self._run = load(self.folder)


@contextmanager
def directed(folder: Path, code: Path | None = None) -> Iterator[Stage]:
    """Set the stage for one directed run of the package in *code*, ours if there is none."""
    stage = Stage(folder, code)
    try:
        with stage.stranger:
            stage.start()
            yield stage
            stage.close()
    finally:
        stage.cluster.end()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
