"""`make bench ARGS=cost`: what `serve` takes of a machine, at rest and after much work."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from uuid import uuid4

import psutil
import requests

from bench.deployed import CONNECTIONS, ENGINES, ROOT, folder
from bench.progress import say
from bench.row import Row, measured
from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.postgres import Postgres, a_server

DECLINED = 4  # one in so many choices; the others accept
BATCH = 1_000
LEFT = "SELECT count(*) FROM offers WHERE report IN ('held', 'due', 'sending')"
MEGABYTE = 1 << 20
DATABASE = "cost"


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is done before a look at what it has cost."""

    single: int = 20_000  # choices told one by one, on many connections
    batched: int = 80_000
    counted: int = 5_000  # choices whose syncs and bytes are counted
    starts: int = 3
    idle_s: float = 20.0


_QUICK = _Size(single=1_000, batched=2_000, counted=200, starts=1, idle_s=3.0)


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield what each engine's `serve` costs, its worker included."""
    size = _QUICK if quick else _Size()
    with a_server() as server:
        for engine in ENGINES:
            with _service(engine, server) as service:
                yield from _costs(engine, service, size)


def _costs(engine: str, service: "_Service", size: _Size) -> Iterator[Row]:
    say(f"{engine}: start-up")
    starts = [service.start() for _ in range(size.starts)]
    yield measured(f"{engine}: start until ready", starts, "s")
    yield measured(f"{engine}: memory at start", [service.memory()], "MB", digits=0)
    say(f"{engine}: syncs and bytes of {size.counted:,} choices")
    yield from service.written(engine, size.counted)
    say(f"{engine}: {size.single + size.batched:,} choices")
    service.load(size.single, size.batched)
    service.settle()
    count = size.single + size.batched
    what = f"{engine}: memory after {count:,} choices"
    yield measured(what, [service.memory()], "MB", digits=0, at_most=140)
    say(f"{engine}: idle")
    time.sleep(3.0)  # what the last delivery has left to do
    share = service.idle(size.idle_s)
    yield measured(f"{engine}: idle, share of a core", [share], "%", at_most=0.5)


class _Service:
    """One `serve` on either engine, and the sandbox that it reports to."""

    def __init__(self, cluster: Cluster, server: Postgres | None) -> None:
        self._cluster = cluster
        self._server = server  # None: SQLite
        self._told = 0

    def start(self) -> float:
        """Start it, anew if it runs; return after how many seconds it was ready."""
        if "web" in self._cluster.processes:
            self._cluster.processes["web"].stop()
        began = time.perf_counter()
        self._cluster.start_web(wait=False)
        until(self._is_ready, "readiness")
        return time.perf_counter() - began

    def memory(self) -> float:
        """Return the megabytes that its processes hold, each page shared out among its holders."""
        return sum(_pss(process.pid) for process in self._tree()) / MEGABYTE

    def idle(self, seconds: float) -> float:
        """Return how much of a core it takes with nothing to do, in per cent."""
        before, began = self._cpu(), time.perf_counter()
        time.sleep(seconds)
        return (self._cpu() - before) / (time.perf_counter() - began) * 100

    def written(self, engine: str, count: int) -> Iterator[Row]:
        """Yield what one choice has the disk write, where many come at once; none is delivered."""
        before = self._bytes()
        self._tell(count, "accepted")
        each = (self._bytes() - before) / count
        yield measured(f"{engine}: written for a choice", [each / 1000], "kB", digits=1)
        if which("strace") is None:
            return
        writing = self._tree() if self._server is None else self._server.processes()
        with _syncs_of(writing, self._cluster.folder / "syncs") as syncs:
            self._tell(count, "accepted")
            yield measured(f"{engine}: syncs for a choice", [syncs() / count], digits=3)

    def load(self, single: int, batched: int) -> None:
        """Tell so many choices one by one, and so many in batches."""
        declined = single // DECLINED
        self._tell(declined, "declined")
        self._tell(single - declined, "accepted")
        for _ in range(0, batched, BATCH):
            lines = [self._line("accepted" if n % DECLINED else "declined") for n in range(BATCH)]
            answer = requests.post(
                f"{self._cluster.url()}/v1/choices/batch",
                data="\n".join(lines),
                headers=self._cluster.headers() | {"Content-Type": "application/x-ndjson"},
                timeout=60,
            )
            assert answer.status_code == 200, answer.text

    def settle(self) -> None:
        """Wait until everything is delivered, as long as there is progress."""
        while left := self._ask(LEFT):
            until(lambda most=left: self._ask(LEFT) < most, "a delivery")

    def _tell(self, count: int, choice: str) -> None:
        """Tell *choice* of so many offers from a second process, on many connections."""
        host = self._cluster.url().removeprefix("http://")
        lines = [self._line(choice) for _ in range(count)]
        head = "".join(f"{name}: {text}\r\n" for name, text in self._cluster.headers().items())
        head = f"POST /v1/choices HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
        job = {
            "host": "127.0.0.1",
            "port": int(host.rpartition(":")[2]),
            "requests": [f"{head}Content-Length: {len(one)}\r\n\r\n{one}" for one in lines],
            "connections": CONNECTIONS,
            "rate": 0,
        }
        done = subprocess.run(
            [sys.executable, str(ROOT / "bench/load.py")],
            input=json.dumps(job).encode(),
            capture_output=True,
            check=True,
        )
        statuses = json.loads(done.stdout)["statuses"]
        assert statuses == {"202": count}, statuses

    def _line(self, choice: str) -> str:
        self._told += 1
        now = int(time.time() * 1000)
        told = {"offer": f"offer-{self._told}", "choice": choice, "id": str(uuid4())}
        return json.dumps(told | {"seq": now, "at": now})

    def _tree(self) -> list[psutil.Process]:
        child = self._cluster.processes["web"].child
        assert child is not None
        parent = psutil.Process(child.pid)
        return [parent, *parent.children(recursive=True)]

    def _cpu(self) -> float:
        times = [process.cpu_times() for process in self._tree()]
        return sum(one.user + one.system for one in times)

    def _bytes(self) -> int:
        """Return what was written to files; on PostgreSQL to its log alone.

        Not what the kernel says of the disk: it counts whole folios, of 64 kB where a page is 4 kB.
        """
        if self._server is None:
            return sum(process.io_counters().write_chars for process in self._tree())
        ((written,),) = self._server.rows("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        return int(written)

    def _ask(self, statement: str) -> int:
        """Ask the database something that is a number, from outside."""
        if self._server is not None:
            return int(self._server.rows(statement, DATABASE)[0][0])
        file = f"file:{self._cluster.folder}/optout.db?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as connection:
            return int(connection.execute(statement).fetchone()[0])

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self._cluster.admin_url()}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False


@contextmanager
def _service(engine: str, server: Postgres) -> Iterator[_Service]:
    """A deployment on the disk that this repository lies on; its sandbox answers at once."""
    is_embedded = engine == "SQLite"
    url = "sqlite:///optout.db" if is_embedded else server.create_database(DATABASE)
    with folder() as place:
        cluster = Cluster(place, url)
        try:
            cluster.start_insurers()
            if not is_embedded:
                cluster.migrate()
            yield _Service(cluster, None if is_embedded else server)
        finally:
            cluster.end()


@contextmanager
def _syncs_of(processes: Sequence[psutil.Process], log: Path) -> Iterator[Callable[[], int]]:
    """Watch *processes*; yield what counts how often they have had the disk write through."""
    pids = [part for process in processes for part in ("-p", str(process.pid))]
    command = ["strace", "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", str(log), *pids]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: all(_is_traced(process.pid) for process in processes), "the tracer")
        yield lambda: sum("sync(" in line for line in log.read_text().splitlines())
    finally:
        tracer.terminate()
        tracer.wait()


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def _pss(pid: int) -> int:
    """Return the bytes of a process, those that it shares divided by who shares them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
