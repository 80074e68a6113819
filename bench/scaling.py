"""`make bench ARGS=scaling`: what a choice costs, and what would wait when; draws the pictures.

The costs are measured on this machine, the queues simulated: docs/scaling.md has both.
"""

import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import Engine, event

from bench.chart import Line, chart
from bench.deployed import ROOT, folder
from bench.progress import say
from bench.queueing import Lane, Run, about, arrivals, crowd, simulate, waiting
from bench.row import Row
from proxy import migrate
from proxy.choices import Choice, Kind, Message, Outcome, Source
from proxy.clocks import wall
from proxy.database import Database
from proxy.intake import Intake
from proxy.leases import Lane as Claimed
from proxy.leases import Wanted
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.register import Policy
from proxy.upstreams import APIS
from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.postgres import Postgres, a_server

IMAGES = ROOT / "docs/images"
CHOICES = 3_000  # for each cost
LANES = (1, 10, 100, 1_000)  # credentials that one round of claims looks at
ALONE = 50  # choices one by one, to count statements
PEAK, PEAK_S = 50_000, 60.0
SETTLE_S = 5.0
CALL_S = 1.3  # of one report at the insurer
SPARE = (5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)  # per cent of senders beyond the load
SEED = 1
AT_ONCE = Policy(on_purchase=False, settle_ms=0, hold_ms=1, implied_ms=None)
DONE = Outcome(kind=Kind.DELIVERED, reason="delivered", status=204)


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield every figure, the measured ones first; a quick look has only those."""
    with a_server() as server:
        for engine in ("sqlite", "postgresql"):
            say(f"scaling: {engine}")
            yield from _costs(engine, server)
            yield from _statements(engine, server)
            yield from _rounds(engine, server)
    if not quick:
        say("scaling: simulations")
        yield from peaks()
        yield from crowds()


# -- measured ---------------------------------------------------------------------------------


@contextmanager
def _cluster(engine: str, server: Postgres, settle: str) -> Iterator[Cluster]:
    """A deployment with one worker, on the disk that this repository lies on."""
    url = "sqlite:///optout.db" if engine == "sqlite" else server.create_database(f"c{wall()}")
    with folder() as place:
        cluster = Cluster(place, url, partners={"ACME": {"settle": f'"{settle}"'}})
        try:
            cluster.start_insurers()
            if engine != "sqlite":
                cluster.migrate()
            cluster.start()
            yield cluster
        finally:
            cluster.end()


def _costs(engine: str, server: Postgres) -> Iterator[Row]:
    """Yield what accepting and delivering cost, in batches as a busy service works."""
    offers = [f"offer-{number}" for number in range(CHOICES)]
    with _cluster(engine, server, "1h") as cluster:
        before, cpu = _stored(cluster, server), _cpu(cluster, server)
        wrote = _written(cluster, server)
        _say_all(cluster, offers)
        after = _stored(cluster, server)
        yield _row(engine, "accept, CPU", _each(_cpu(cluster, server), cpu), "ms")
        yield _row(engine, "accept, kept", (after - before) / CHOICES, "bytes")
        yield _row(
            engine, "accept, written", (_written(cluster, server) - wrote) / CHOICES, "bytes"
        )
    with _cluster(engine, server, "20s") as cluster:
        _say_all(cluster, offers)
        before, cpu = _stored(cluster, server), _cpu(cluster, server)
        wrote = _written(cluster, server)
        until(lambda: len(cluster.received()) >= CHOICES, "every delivery")
        after = _stored(cluster, server)
        yield _row(engine, "deliver, CPU", _each(_cpu(cluster, server), cpu), "ms")
        yield _row(engine, "deliver, kept", (after - before) / CHOICES, "bytes")
        yield _row(
            engine, "deliver, written", (_written(cluster, server) - wrote) / CHOICES, "bytes"
        )


def _row(engine: str, what: str, figure: float, unit: str) -> Row:
    shown = f"{figure:.2f}" if figure < 100 else f"{figure:,.0f}"
    return Row(what=f"{engine}: {what}", figure=f"{shown} {unit}".strip(), values=(figure,))


def _each(after: float, before: float) -> float:
    return (after - before) * 1000 / CHOICES


def _say_all(cluster: Cluster, offers: Sequence[str]) -> None:
    """Let the shop's server decline each offer with a call of its own, eight at once."""
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(cluster.say, offers)} == {202}


def _processes(cluster: Cluster, server: Postgres) -> list[psutil.Process]:
    own = [
        psutil.Process(process.child.pid)
        for name, process in cluster.processes.items()
        if process.child and process.child.poll() is None and not name.startswith("insurer")
    ]
    own += [child for process in own for child in process.children(recursive=True)]
    return own if cluster.is_embedded else own + server.processes()


def _cpu(cluster: Cluster, server: Postgres) -> float:
    """Return the seconds of CPU that the proxy and its database have used."""
    times = [process.cpu_times() for process in _processes(cluster, server)]
    return sum(one.user + one.system for one in times)


def _written(cluster: Cluster, server: Postgres) -> int:
    """Return the bytes that they have written to files, on PostgreSQL to its log alone.

    Not what the kernel says of the disk: it counts whole folios, of 64 kB where a page is 4 kB.
    """
    if cluster.is_embedded:
        return sum(process.io_counters().write_chars for process in _processes(cluster, server))
    ((written,),) = server.rows("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    return int(written)


def _stored(cluster: Cluster, server: Postgres) -> int:
    """Return the size of the database, less its log."""
    if cluster.is_embedded:
        return _pages(cluster.folder / "optout.db")
    name = cluster.database.rpartition("/")[2]
    ((size,),) = server.rows(f"SELECT pg_database_size('{name}')")
    return int(size)


def _pages(file: Path) -> int:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        ((count,),) = connection.execute("PRAGMA page_count")
        ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    return int(count * size)


@contextmanager
def _core(engine: str, server: Postgres) -> Iterator[tuple[Database, Intake, Outbox]]:
    """The core of the program in this process, to look at its statements."""
    with folder() as place:
        url = f"sqlite:///{place}/optout.db"
        if engine != "sqlite":
            url = server.create_database(f"s{wall()}")
        database, ledger = Database(url, wall), Ledger(b"a key of the bench, 32 bytes at least")
        migrate.upgrade(database)
        database.start()
        try:
            intake = Intake(database, ledger, lambda *_: AT_ONCE, lambda _: None)
            yield database, intake, Outbox(database, ledger)
        finally:
            database.stop()


def _message(number: int, partner: str = "ACME") -> Message:
    now = wall()
    return Message(
        partner=partner,
        upstream="tickets",
        offer=f"offer-{number}",
        choice=Choice.DECLINED,
        id=f"00000000-0000-4000-8000-{number:012}",
        seq=now,
        at=now,
        writer="server",
        source=Source.SERVER,
    )


def _wanted(lanes: int, free: int = 32) -> Wanted:
    """Return a claim over so many lanes, the one with something due among them."""
    pairs = [("ACME", "tickets"), *((f"P{number}", "tickets") for number in range(lanes - 1))]
    made = [
        Claimed(bucket=f"bucket-{partner}", rate=0.0, apis={(partner, name): APIS["xcover-offers"]})
        for partner, name in pairs
    ]
    return Wanted(lanes=made, free=free, lease_ms=30_000)


def _statements(engine: str, server: Postgres) -> Iterator[Row]:
    """Yield how many statements a choice takes that comes alone; in company they are shared."""
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    with _core(engine, server) as (_, intake, outbox):
        event.listen(Engine, "before_cursor_execute", count)
        try:
            for number in range(ALONE):
                intake.record(_message(number))
            yield _row(engine, "accept, statements alone", counted / ALONE, "")
            counted = 0
            for _ in range(ALONE):
                (delivery,) = outbox.claim(_wanted(1, free=1)).deliveries
                outbox.finish(delivery, "bucket-ACME", DONE)
            yield _row(engine, "deliver, statements alone", counted / ALONE, "")
        finally:
            event.remove(Engine, "before_cursor_execute", count)


def _rounds(engine: str, server: Postgres) -> Iterator[Row]:
    """Yield what one round of claims takes over so many credentials: one has work, or all have.

    In CPU time, the database's with ours: that is the same on a machine with other work.
    """
    for crowded in (False, True):
        with _core(engine, server) as (_, intake, outbox):
            for number, lanes in enumerate(LANES):
                wanted = _wanted(lanes)
                told = list(wanted.lanes) if crowded else list(wanted.lanes[:1])
                figures = []
                for turn in range(5):
                    first = (number * 5 + turn) * max(LANES)
                    for n, lane in enumerate(told):
                        intake.record(_message(first + n, next(iter(lane.apis))[0]))
                    before = _cpu_here(engine, server)
                    taken = outbox.claim(wanted)
                    figures.append((_cpu_here(engine, server) - before) * 1000)
                    assert taken.deliveries
                whose = "all with work" if crowded else "one with work"
                figure = statistics.median(figures)
                yield _row(engine, f"claim over {lanes:,} credentials, {whose}", figure, "ms")


def _cpu_here(engine: str, server: Postgres) -> float:
    """Return the seconds of CPU that this process and its database have used."""
    served = [] if engine == "sqlite" else [one.cpu_times() for one in server.processes()]
    return time.process_time() + sum(one.user + one.system for one in served)


# -- simulated --------------------------------------------------------------------------------


def peaks() -> Iterator[Row]:
    """Yield what becomes of a peak at several paces, and draw it."""
    dues = [at + SETTLE_S for at in crowd(PEAK, PEAK_S, SEED)]
    times = [15.0 * step for step in range(380)]
    lines = []
    for rate, failing in ((20.0, 0.0), (10.0, 0.0), (10.0, 0.05)):
        lane = Lane(rate=rate, due=dues)
        run = simulate([lane], senders=64, seconds=about(CALL_S), seed=SEED, failing=failing)
        assert len(run.delivered) == len(dues)
        left = waiting(run, dues, times)
        named = f"{rate:g}/s" + (f", {failing * 100:g} % unanswered" if failing else "")
        lines.append(Line(named, [at / 60 for at in times], [float(count) for count in left]))
        yield Row(what=f"peak at {named}", figure=_peak(run, left, len(dues)))
    title = f"{PEAK:,} declines in a minute: how many wait"
    picture = chart(title, "minutes", "declines due and not delivered", lines)
    (IMAGES / "scaling-peak.svg").write_text(picture, "utf-8")


def _peak(run: Run, left: Sequence[int], count: int) -> str:
    last = max(one.at for one in run.delivered)
    open_s = [one.at - one.unknown_at for one in run.delivered if one.unknown_at is not None]
    longest = f", longest unknown {max(open_s) / 60:.0f} min" if open_s else ""
    return (
        f"{count:,} declines, most waiting {max(left):,}, last after {last / 60:.1f} min{longest}"
    )


def crowds() -> Iterator[Row]:
    """Yield how late 1,000 partners are with so many senders, and draw it."""
    lines = []
    for load in (50.0, 100.0, 200.0):
        senders = [round(load * CALL_S * (1 + spare / 100)) for spare in SPARE]
        late = [_lateness(load, count) for count in senders]
        lines.append(Line(f"{load:g}/s in all", SPARE, late))
        for count, seconds in zip(senders, late, strict=True):
            figure = f"{count} senders: p95 {seconds:.2f} s"
            yield Row(what=f"1,000 partners, {load:g}/s", figure=figure)
    title = "1,000 partners: 95 of 100 declines are sent within"
    across = f"senders beyond declines a second x {CALL_S:g} s, in per cent"
    picture = chart(title, across, "seconds from due to sent", lines)
    (IMAGES / "scaling-partners.svg").write_text(picture, "utf-8")
    yield from beside_a_peak()


def _crowd(load: float, seconds: float) -> list[Lane]:
    """Return 1,000 partners, few of them large: the n-th has a share of 1/n."""
    shares = [1 / number for number in range(1, 1_001)]
    whole = sum(shares)
    rates = [load * share / whole for share in shares]
    return [
        Lane(rate=max(10.0, 2 * rate), due=arrivals(rate, seconds, SEED + number))
        for number, rate in enumerate(rates)
    ]


def _lateness(load: float, senders: int) -> float:
    """Return within how many seconds 95 of 100 declines that were due had left."""
    lanes = _crowd(load, 600.0)
    run = simulate(lanes, senders=senders, seconds=about(CALL_S), seed=SEED)
    waits = _waits(run, set(range(len(lanes))))
    return waits[int(len(waits) * 0.95)]


def _waits(run: Run, wanted: set[int]) -> list[float]:
    """Return how long the declines of the lanes *wanted* waited to be sent, sorted.

    The senders take them in the order in which they were due, lane by lane.
    """
    left: dict[int, list[float]] = {}
    for one in run.attempts:
        left.setdefault(one.lane, []).append(one.at)
    dues: dict[int, list[float]] = {}
    for each in run.delivered:
        dues.setdefault(each.lane, []).append(each.due)
    return sorted(
        at - due
        for lane in wanted & left.keys()
        for at, due in zip(left[lane], sorted(dues[lane]), strict=True)
    )


def beside_a_peak() -> Iterator[Row]:
    """Yield how late the other partners are while one of them has its peak."""
    lanes = _crowd(50.0, 600.0)
    peak = [60 + at for at in crowd(PEAK, PEAK_S, SEED)]
    lanes[500] = Lane(rate=20.0, due=peak)
    for senders in (78, 104):
        run = simulate(lanes, senders=senders, seconds=about(CALL_S), seed=SEED)
        waits = _waits(run, set(range(1_000)) - {500})
        figure = f"{senders} senders: p95 {waits[int(len(waits) * 0.95)]:.2f} s"
        yield Row(what="999 beside one with a peak", figure=figure)
