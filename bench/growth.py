"""`make bench ARGS=growth`: what a choice costs where millions are on record already.

In CPU time of our process and, on PostgreSQL, of the ones that answer it: what the disk does is
the same. The databases are measured in turn, so that a busy moment of the machine meets them all.
"""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import psutil

from bench.deployed import ENGINES, bodies, folder, send
from bench.growing import AT_ONCE, DAY, DONE, KEY, LANE, LEDGER, SIGN, Growth, grow, message
from bench.progress import say
from bench.row import Row, measured, percentile
from proxy.choices import Delivery, Message
from proxy.clocks import wall
from proxy.database import Database
from proxy.figures import measure
from proxy.intake import Intake
from proxy.leases import Wanted
from proxy.outbox import Outbox
from proxy.retention import Retention
from proxy.sealer import Sealer
from proxy.seals import Seals
from proxy.waiting import first_due
from tests.faults.cluster import Cluster
from tests.faults.postgres import Postgres, a_server

THREADS = 32  # that serve, and as many that send
# Each database is asked by few; what autovacuum does would be counted with whoever is measured.
SERVER = {"shared_buffers": "512MB", "max_wal_size": "8GB", "autovacuum": "off"}
REACH = 1.2


@dataclass(frozen=True, slots=True)
class _Size:
    """How many rows, and how often how many choices are measured on top of them."""

    due: int = 1_000_000
    finished: int = 5_000_000
    rounds: int = 7
    choices: int = 960


_QUICK = _Size(due=20_000, finished=100_000, rounds=2, choices=64)


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of both engines."""
    size = _QUICK if quick else _Size()
    with a_server(SERVER) as server:
        for engine in ENGINES:
            with _cases(engine, server, size) as cases:
                yield from _ratios(engine, cases, size)
                _, due, finished = cases
                yield _taken(engine, due, "what is due first", due.look)
                yield from _upkeep(engine, finished, size)


def _ratios(engine: str, cases: Sequence["_Case"], size: _Size) -> Iterator[Row]:
    """Yield what accepting and delivering cost in each case, of the empty one's."""
    accepted: list[list[float]] = [[] for _ in cases]
    with ExitStack() as stack:
        served = [stack.enter_context(_served(case)) for case in cases]
        for number in range(size.rounds + 1):
            say(f"{engine}: accept, round {number} of {size.rounds}")
            for seconds, accept in zip(accepted, served, strict=True):
                seconds.append(accept(f"round-{number}", size.choices))
    yield from _compared(f"{engine}: accepted", cases, accepted, size)
    recorded: list[list[float]] = [[] for _ in cases]
    delivered: list[list[float]] = [[] for _ in cases]
    for number in range(size.rounds + 1):
        say(f"{engine}: deliver, round {number} of {size.rounds}")
        for n, case in enumerate(cases):
            recorded[n].append(case.cpu_of(lambda one=case: one.accept(size.choices)))
            delivered[n].append(case.cpu_of(lambda one=case: one.deliver(size.choices)))
    yield from _compared(f"{engine}: recorded, without HTTP", cases, recorded, size, reach=None)
    yield from _compared(f"{engine}: claimed and finished", cases, delivered, size)


def _compared(
    what: str,
    cases: Sequence["_Case"],
    seconds: Sequence[Sequence[float]],
    size: _Size,
    reach: float | None = REACH,
) -> Iterator[Row]:
    """Yield what *seconds* of CPU a choice has taken in the empty case, and the others' ratios."""
    base, *others = [one[1:] for one in seconds]  # the first round has filled the caches
    each = [1000 * one / size.choices for one in base]
    yield measured(f"{what}, CPU with nothing on record", each, "ms")
    for case, found in zip(cases[1:], others, strict=True):
        ratios = [a / b for a, b in zip(found, base, strict=True)]
        charted = {"chart": "growth", "bar": f"{what}, {case.name}"} if reach else {}
        yield measured(f"{what}, {case.name}, of nothing", ratios, at_most=reach, **charted)


@contextmanager
def _served(case: "_Case") -> Iterator[Callable[[str, int], float]]:
    """Start `serve` on the database; yield what lets pages decline, and returns the CPU of it.

    It delivers nothing: what is due waits for permits of which there are hardly any.
    """
    upstream = {"settle": '"1h"', "rate_per_second": "0.01"}
    with folder() as place:
        cluster = Cluster(place, case.url, partners={"ACME": upstream})
        audit = place / "audit"
        audit.write_bytes(base64.urlsafe_b64encode(KEY))
        audit.chmod(0o600)

        def accept(name: str, count: int) -> float:
            forms = bodies(cluster, name, count)
            before = case.cpu_with(cluster)
            send(cluster.ports["web"][0], forms)
            return case.cpu_with(cluster) - before

        try:
            cluster.start_web()
            yield accept
        finally:
            cluster.end()


def _upkeep(engine: str, case: "_Case", size: _Size) -> Iterator[Row]:
    """Yield what the program does by itself, and how far who accepts can feel it."""
    yield _taken(engine, case, "what time has brought", case.outbox.tick)
    yield _taken(engine, case, "the figures", lambda: measure(case.database))
    sealer = Sealer(case.database, Seals(*SIGN))
    yield _taken(engine, case, f"{size.choices:,} facts sealed", sealer.seal, size.choices)
    yield _taken(engine, case, "a block removed", lambda: case.retention.purge(0.0))
    ratios = []
    for number in range(size.rounds):
        say(f"{engine}: purge, round {number + 1} of {size.rounds}")
        alone = percentile(case.accept(size.choices), 99)
        with case.purging():
            ratios.append(percentile(case.accept(size.choices), 99) / alone)
    yield measured(f"{engine}: accepted while a purge runs, p99, of without", ratios)


def _taken(engine: str, case: "_Case", what: str, did: Callable[[], object], said: int = 0) -> Row:
    """Return the row on what *did* takes after *said* choices each, from its second time on."""
    say(f"{engine}: {what}")
    taken = []
    for _ in range(4):
        case.accept(said)
        taken.append(1000 * case.cpu_of(did))
    return measured(f"{engine}: {what}, {case.name}, CPU", taken[1:], "ms", digits=1)


@dataclass(slots=True, kw_only=True)
class _Case:
    """One database and the core of the program on it, in this process."""

    name: str
    url: str
    server: Postgres | None  # None: SQLite
    database: Database
    intake: Intake
    outbox: Outbox

    def accept(self, count: int) -> list[float]:
        """Record so many declines from as many threads as serve; return the seconds of each."""
        with ThreadPoolExecutor(THREADS) as pages:
            return list(pages.map(self._record, [message() for _ in range(count)]))

    def deliver(self, count: int) -> None:
        """Claim and finish so many, as a worker with 32 senders does."""
        done = 0
        with ThreadPoolExecutor(THREADS) as senders:
            while done < count:
                wanted = Wanted(lanes=[LANE], free=THREADS, lease_ms=30_000)
                taken = self.outbox.claim(wanted).deliveries
                assert len(taken) == THREADS
                assert all(senders.map(self._finish, taken))
                done += len(taken)

    @property
    def retention(self) -> Retention:
        """Who removes what is finished."""
        return Retention(self.database, *SIGN, lambda: {"ACME": 365 * DAY})

    @contextmanager
    def purging(self) -> Iterator[None]:
        """Purge meanwhile."""
        done = Event()

        def purge() -> None:
            while not done.is_set():
                self.retention.purge(0.1)

        thread = Thread(target=purge)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def cpu_of(self, did: Callable[[], object]) -> float:
        """Return the seconds of CPU that *did* takes, here and at the server."""
        before = self._cpu()
        did()
        return self._cpu() - before

    def _record(self, told: Message) -> float:
        began = time.perf_counter()
        self.intake.record(told)
        return time.perf_counter() - began

    def _finish(self, delivery: Delivery) -> bool:
        return self.outbox.finish(delivery, LANE.bucket, DONE)

    def look(self) -> None:
        """See what is due first."""
        with self.database.read() as connection:
            first_due(connection)

    def cpu_with(self, cluster: Cluster) -> float:
        """Return the seconds of CPU that `serve` and the server have used."""
        child = cluster.processes["web"].child
        assert child is not None
        parent = psutil.Process(child.pid)
        return _used([parent, *parent.children(recursive=True)]) + self._served()

    def _cpu(self) -> float:
        return time.process_time() + self._served()

    def _served(self) -> float:
        return _used(self.server.processes()) if self.server else 0.0


def _used(processes: Sequence[psutil.Process]) -> float:
    times = [one.cpu_times() for one in processes]
    return sum(one.user + one.system for one in times)


@contextmanager
def _cases(engine: str, server: Postgres, size: _Size) -> Iterator[list[_Case]]:
    """One database of each size, all open at once."""
    growths = {
        "empty": Growth(),
        f"{size.due:,} due": Growth(due=size.due),
        f"{size.finished:,} finished": Growth(finished=size.finished),
    }
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        cases = []
        for number, (name, growth) in enumerate(growths.items()):
            say(f"{engine}: fill a database, {name}")
            url = f"sqlite:///{place}/{number}.db"
            if engine == "PostgreSQL":
                url = server.create_database(f"growth_{number}")
            cases.append(_open(url, name, growth, server))
            stack.callback(cases[-1].database.stop)
        yield cases


def _open(url: str, name: str, growth: Growth, server: Postgres) -> _Case:
    grow(url, growth)
    database = Database(url, wall)
    database.start()
    return _Case(
        name=name,
        url=url,
        database=database,
        server=None if database.is_sqlite else server,
        intake=Intake(database, LEDGER, lambda *_: AT_ONCE),
        outbox=Outbox(database, LEDGER),
    )
