"""Who is measured, each started in parts: what answers, then what delivers."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.deployed import ENGINES
from bench.peers import nginx
from bench.peers.site import TOP, Site

SQLITE, POSTGRES = ENGINES
PROCESSES = {SQLITE: 1, POSTGRES: 2}  # that answer; ours and every peer's
HELD_S = 6  # how long ours on SQLite, one process that does it all, holds a decline back


@dataclass(frozen=True, kw_only=True, eq=False)
class Contestant:
    """A peer in Python: a module of this folder with a function for each of its processes."""

    name: str
    module: str = ""
    package: str | None = None  # that has to be installed
    engine: str = SQLITE
    is_prepared: bool = False  # it makes its tables before the first start
    has_worker: bool = True  # without one, what answers delivers
    is_durable: bool = True
    options: Mapping[str, str] = field(default_factory=dict)  # of the upstream, in our settings

    def prepare(self, site: Site) -> None:
        """Do what is done once."""
        if self.is_prepared:
            assert site.role(self.module, "prepare").wait(60) == 0, site.said()

    def start_web(self, site: Site) -> None:
        """Start what answers."""
        site.role(self.module, "web", PROCESSES[self.engine])
        site.until_it_listens()

    def start_work(self, site: Site) -> None:
        """Start what delivers."""
        if self.has_worker:
            site.role(self.module, "work")

    def start(self, site: Site) -> None:
        """Start both, to do their work at once."""
        self.start_web(site)
        self.start_work(site)

    def kill(self, site: Site) -> None:
        """Kill every process of it."""
        site.kill()


class Nginx(Contestant):
    """nginx, which verifies, signs and forwards by itself."""

    def start_web(self, site: Site) -> None:
        """Start it with a configuration of its own."""
        nginx.start(site)
        site.until_it_listens()


class Bare(Contestant):
    """The bare server of bench/bare.py, which delivers nothing."""

    def start_web(self, site: Site) -> None:
        """Start it as bench/accepting.py does."""
        site.script("bare.py", str(site.cluster.config), str(site.port), str(PROCESSES[SQLITE]))
        site.until_it_listens()


class Embedded(Contestant):
    """Ours on SQLite: one process, which delivers as soon as a decline is due."""

    def start_web(self, site: Site) -> None:
        """Start it; what it accepts is held back."""
        site.cluster.start_web()
        site.port = site.cluster.ports["web"][0]

    def start_work(self, site: Site) -> None:
        """Start it again when all of it is due; from now on nothing is held back."""
        site.cluster.processes["web"].stop()
        time.sleep(HELD_S)
        self.start(site)

    def start(self, site: Site) -> None:
        """Start it so that it delivers at once."""
        site.cluster.partners["ACME"].options = {"settle": '"0s"'}
        site.cluster.write(TOP)
        self.start_web(site)

    def kill(self, site: Site) -> None:
        """Kill its process group."""
        site.cluster.processes["web"].kill()


class Clustered(Contestant):
    """Ours on PostgreSQL: two processes that answer and one that delivers."""

    def prepare(self, site: Site) -> None:
        """Make the tables."""
        site.cluster.migrate()

    def start_web(self, site: Site) -> None:
        """Start what answers."""
        site.cluster.start_web("web", "--no-worker", "--workers", str(PROCESSES[POSTGRES]))
        site.port = site.cluster.ports["web"][0]

    def start_work(self, site: Site) -> None:
        """Start what delivers."""
        site.cluster.start_worker("work")

    def kill(self, site: Site) -> None:
        """Kill the process groups of both."""
        for name in ("web", "work"):
            site.cluster.processes[name].kill()


BARE = Bare(name="bare", has_worker=False, is_durable=False)
OURS = {
    SQLITE: Embedded(name="optout-proxy, SQLite", options={"settle": f'"{HELD_S}s"'}),
    POSTGRES: Clustered(name="optout-proxy, PostgreSQL", engine=POSTGRES),
}
PEERS = (
    Contestant(name="Huey, SQLite", module="huey_sqlite", package="huey"),
    Contestant(name="DBOS, SQLite", module="dbos_queue", package="dbos", is_prepared=True),
    Contestant(
        name="DBOS, PostgreSQL",
        module="dbos_queue",
        package="dbos",
        engine=POSTGRES,
        is_prepared=True,
    ),
    Contestant(
        name="Procrastinate, PostgreSQL",
        module="procrastinate_queue",
        package="procrastinate",
        engine=POSTGRES,
        is_prepared=True,
    ),
    Contestant(name="naive forwarder", module="naive", has_worker=False, is_durable=False),
    Nginx(name="nginx with njs", has_worker=False, is_durable=False),
)
