"""The faults of a run, each as one function that does it and undoes it."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Literal

import requests
from sqlalchemy import make_url

from tests.faults.judge_run import Record
from tests.faults.postgres import Postgres
from tests.faults.shop_cluster import LEASE_S, ShopCluster

Group = Literal["process", "storage", "upstream", "operation"]
ALWAYS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that can go wrong, how likely it is picked and how often at most."""

    name: str
    group: Group
    strike: Callable[[], Record | None]
    weight: float = 1.0
    most: int = ALWAYS


class Faults:
    """The menu for one cluster; *short* leaves out what takes a lease or a pause to get over."""

    def __init__(
        self, cluster: ShopCluster, dice: random.Random, stranger: str, *, short: bool
    ) -> None:
        self._cluster = cluster
        self._dice = dice
        self._stranger = stranger
        self._short = short

    def supervise(self) -> None:
        """Start again what has ended by itself, as whoever runs it would."""
        self._cluster.supervise()

    def menu(self) -> list[Fault]:
        """Return every fault that this engine can have."""
        postgres = self._cluster.postgres
        storage = [self._locked()] if postgres is None else self._postgres(postgres)
        return [*self._processes(), *storage, *self._upstream()]

    # -- processes ----------------------------------------------------------------------------

    def _processes(self) -> list[Fault]:
        faults = [
            Fault(name="kill web", group="process", strike=self._kill_web, weight=2),
            Fault(name="kill web child", group="process", strike=self._kill_child, weight=2),
            Fault(name="restart", group="process", strike=self._restart, weight=2),
            Fault(name="freeze", group="process", strike=self._freeze),
            Fault(name="reload", group="operation", strike=self._reload),
        ]
        if self._cluster.workers and not self._short:
            lost = Fault(name="kill worker", group="process", strike=self._kill_worker, weight=3)
            long = Fault(name="freeze past lease", group="process", strike=self._sleep, most=1)
            faults += [lost, long]
        return faults

    def _kill_web(self) -> Record:
        return self._killed(self._dice.choice(self._cluster.webs))

    def _kill_worker(self) -> Record:
        return self._killed(self._dice.choice(self._cluster.workers))

    def _killed(self, name: str) -> Record:
        self._cluster.processes[name].kill()
        time.sleep(self._dice.random() * 0.5)
        self._cluster.again(name)
        return {"target": name}

    def _kill_child(self) -> Record:
        name = self._dice.choice(self._cluster.webs)
        child = self._cluster.child_of(name)
        if child is not None:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(1)  # its master forks another one
        return {"target": name}

    def _restart(self) -> Record:
        name = self._dice.choice([*self._cluster.webs, *self._cluster.workers])
        begin = time.monotonic()
        status = self._cluster.processes[name].stop()
        seconds = round(time.monotonic() - begin, 2)
        self._cluster.again(name)
        return {"target": name, "exit": status, "seconds": seconds}

    def _freeze(self) -> Record:
        return self._frozen([*self._cluster.webs, *self._cluster.workers], 0.5 + 2.5 * self._much())

    def _sleep(self) -> Record:
        return self._frozen(self._cluster.workers, LEASE_S + 3)

    def _frozen(self, names: list[str], seconds: float) -> Record:
        name = self._dice.choice(names)
        self._cluster.freeze(name)
        time.sleep(seconds)
        self._cluster.thaw(name)
        return {"target": name, "seconds": round(seconds, 2)}

    def _reload(self) -> None:
        self._cluster.reload()

    # -- storage ------------------------------------------------------------------------------

    def _locked(self) -> Fault:
        def strike() -> None:
            file = make_url(self._cluster.settings["database"]).database
            with closing(sqlite3.connect(self._cluster.folder / str(file))) as other:
                other.isolation_level = None
                other.execute("PRAGMA busy_timeout = 5000")
                other.execute("BEGIN IMMEDIATE")
                time.sleep(2)
                other.execute("ROLLBACK")

        return Fault(name="database locked", group="storage", strike=strike)

    def _postgres(self, server: Postgres) -> list[Fault]:
        def kill() -> None:
            server.kill()
            server.start()

        def restart() -> None:
            server.stop("fast")
            server.start()

        def freeze() -> None:
            server.freeze()
            time.sleep(3)
            server.thaw()

        def terminate() -> None:
            others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
            server.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

        return [
            Fault(name="kill PostgreSQL", group="storage", strike=kill),
            Fault(name="restart PostgreSQL", group="storage", strike=restart),
            Fault(name="freeze PostgreSQL", group="storage", strike=freeze),
            Fault(name="cut connections", group="storage", strike=terminate),
        ]

    # -- upstream -----------------------------------------------------------------------------

    def _upstream(self) -> list[Fault]:
        plain: list[tuple[str, dict[str, Any]]] = [
            ("status", {"status": 500}),
            ("status", {"status": 503, "retry_after": 2}),
            ("status", {"status": 429, "retry_after": 3, "times": 3}),
            ("status", {"status": 404, "times": 2}),
            ("hang", {"seconds": 0.3 if self._short else 2.0}),
            ("hang", {"seconds": 0.3, "locked": True, "chance": 0.5}),
            ("reset", {}),
            ("close", {}),
            ("lost_answer", {}),
            ("reset_mid", {}),
            ("truncated", {}),
            ("html", {}),
            ("garbage", {}),
            ("redirect", {"location": self._stranger, "status": 307, "times": 2}),
        ]
        faults = [self._rule(name, 0.5, ALWAYS, **rule) for name, rule in plain]
        if self._short:
            return faults
        return [
            *faults,
            self._rule("expire_tokens", 0.5, 5, times=3),
            self._rule("hang", 0.5, 3, seconds=25.0, times=2),
            self._rule("status", 0.5, 2, status=401, times=4),
            self._rule("wrong_secret", 0.5, 1, times=2),
            self._rule(
                "status", 0.5, 1, status=500, times=3, match={"path_prefix": "/api/oauth/token"}
            ),
        ]

    def _rule(self, fault: str, weight: float, most: int, **rule: Any) -> Fault:
        name = " ".join(
            [fault, *(f"{key}={value}" for key, value in rule.items() if key in _SHOWN)]
        )

        def strike() -> Record:
            url = f"{self._cluster.insurer}/_sandbox/faults"
            chance = {"chance": self._dice.choice([0.5, 1.0])}
            rules = [{"fault": fault, "match": {}} | chance | rule]
            assert requests.post(url, json=rules, timeout=10).ok
            time.sleep(0.3 + 2 * self._much())
            assert requests.delete(url, timeout=10).ok
            return {key: value for key, value in rule.items() if key in _TOLD}

        return Fault(name=name, group="upstream", strike=strike, weight=weight, most=most)

    def _much(self) -> float:
        return self._dice.random() * (0.2 if self._short else 1.0)


_TOLD = ("status", "retry_after")  # what the judge must know
_SHOWN = ("status", "seconds", "retry_after", "match")
