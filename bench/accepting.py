"""How fast choices are accepted, on disk before each answer: beside the bare server.

The bare server is the same gunicorn with as many processes and threads; it verifies the token,
believes the rest and keeps nothing. Both run all the time and are asked in turn, bare twice: where
the kernel puts it, which is what ours is judged by, and with each process kept on one core, as ours
keeps itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import psutil

from bench.deployed import ENGINES, ROOT, bodies, deployed, send
from bench.load import Result
from bench.progress import say
from bench.row import Row, measured, percentile
from tests.acceptance.deployment import free_port, until
from tests.faults.cluster import Cluster, answers

ROUNDS = 7
CHOICES = 4_000  # of each round
WARM = 500
PROCESSES = {"SQLite": 1, "PostgreSQL": 2}
REACH = {"SQLite": 0.8, "PostgreSQL": 0.5}
TAIL = {"SQLite": 3.0, "PostgreSQL": None}  # times the bare server's 99th percentile


@dataclass
class Side:
    """One of the servers, round by round."""

    on_one_core: bool = False  # each process of it, by us
    rate: list[float] = field(default_factory=list)  # accepted per second
    p50: list[float] = field(default_factory=list)  # ms
    p99: list[float] = field(default_factory=list)  # ms
    cpu: list[float] = field(default_factory=list)  # ms of the processes that serve, for a choice

    def add(self, result: Result, cpu: float) -> None:
        """Take another round, which has used *cpu* seconds."""
        self.cpu.append(1000 * cpu / len(result.latencies))
        self.rate.append(len(result.latencies) / result.seconds)
        self.p50.append(1000 * percentile(result.latencies, 50))
        self.p99.append(1000 * percentile(result.latencies, 99))


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield the rows of the table, engine by engine."""
    for engine in ENGINES:
        bare, kept, ours = Side(), Side(on_one_core=True), Side()
        # It settles for long: everything is on disk, and the worker has nothing to do.
        with (
            deployed(engine, processes=PROCESSES[engine], settle="1h") as cluster,
            bare_server(cluster, PROCESSES[engine]) as (port, process),
        ):
            rounds, count = (2, 400) if quick else (ROUNDS, CHOICES)
            web = cluster.processes["web"].child
            assert web is not None
            servers = (
                (port, process, bare),
                (cluster.ports["web"][0], web.pid, ours),
                (port, process, kept),
            )
            for number, size in enumerate([WARM] + [count] * rounds):
                say(f"accept, {engine}: round {number} of {rounds}")
                _ask(servers, bodies(cluster, f"round-{number}", size), counts=number > 0)
        yield from _rows(engine, bare, kept, ours)


def _ask(servers: tuple[tuple[int, int, Side], ...], forms: list[str], *, counts: bool) -> None:
    """Ask each server in turn for the same offers; what only warms it up does not count."""
    for port, process, side in servers:
        before = _cpu(process)
        with _one_core(process) if side.on_one_core else nullcontext():
            result = send(port, forms)
        if counts:
            side.add(result, _cpu(process) - before)


@contextmanager
def _one_core(process: int) -> Iterator[None]:
    """Keep each child of *process* on a core of its own, as far as there are so many."""
    cores = sorted(os.sched_getaffinity(0))
    children = psutil.Process(process).children()
    for number, child in enumerate(children):
        _keep(child, {cores[number % len(cores)]})
    try:
        yield
    finally:
        for child in children:
            _keep(child, set(cores))


def _keep(process: psutil.Process, cores: set[int]) -> None:
    for thread in process.threads():
        os.sched_setaffinity(thread.id, cores)


def _cpu(process: int) -> float:
    """Return the seconds of CPU that a process and its children have used."""
    parent = psutil.Process(process)
    times = [one.cpu_times() for one in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _rows(engine: str, bare: Side, kept: Side, ours: Side) -> Iterator[Row]:
    yield measured(
        f"{engine}: accepted, of bare", _of(ours.rate, bare.rate), at_least=REACH[engine]
    )
    yield measured(f"{engine}: accepted, of bare on one core", _of(ours.rate, kept.rate))
    yield measured(f"{engine}: p99, of bare's", _of(ours.p99, bare.p99), at_most=TAIL[engine])
    yield measured(f"{engine}: p50, of bare's", _of(ours.p50, bare.p50))
    yield measured(f"{engine}: CPU of who serves, of bare's", _of(ours.cpu, bare.cpu))
    processes = PROCESSES[engine]
    told = f"{processes} process" + ("es" if processes > 1 else "")
    sides = {"bare": bare, "bare on one core": kept, f"optout-proxy, {engine}": ours}
    for name, side in ((f"{name}, {told}", side) for name, side in sides.items()):
        who = f"{engine}: {name.partition(',')[0]}"
        yield measured(f"{who}, accepted", side.rate, "/s", digits=0, chart="accepted", bar=name)
        yield measured(f"{who}, p99", side.p99, "ms", digits=0, chart="accepted-p99", bar=name)
        yield measured(f"{who}, CPU of a choice", side.cpu, "ms")


def _of(ours: list[float], bare: list[float]) -> list[float]:
    """Return the ratio of each round: what disturbs a round disturbs both."""
    return [our / other for our, other in zip(ours, bare, strict=True)]


@contextmanager
def bare_server(cluster: Cluster, processes: int) -> Iterator[tuple[int, int]]:
    """The bare server with the deployment's keys; its port and its process."""
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.bare", str(cluster.config), str(port), str(processes)],
        cwd=ROOT,
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the bare server")
        yield port, child.pid
    finally:
        child.terminate()
        child.wait()
