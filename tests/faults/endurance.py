"""The long run: clients, faults, healing, and the judge's verdict over the records.

`python tests/faults/endurance.py --engine sqlite --declines 10000 --seed 1 --folder DIR` makes
one and exits 1 on a finding; with `--report` it prints the table of the runs that were kept.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.judge import judge
from tests.faults.judge_figures import figures, table
from tests.faults.judge_history import HISTORIES, keep, kept
from tests.faults.judge_picture import picture
from tests.faults.judge_run import Finding, Run, load
from tests.faults.nemesis import Nemesis, Pause
from tests.faults.nemesis_faults import Faults
from tests.faults.postgres import Postgres, a_server
from tests.faults.records import History, LedgerReader
from tests.faults.shop import Aim, Client
from tests.faults.shop_closing import Closing
from tests.faults.shop_cluster import ENGINES, ShopCluster
from tests.faults.shop_messages import Words
from tests.faults.shop_stranger import Stranger

CLIENTS = 8
_PROGRESS_S = 10.0
_SHOWN = 100  # findings
_IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


class Plan:
    """How long a run is and how hard."""

    def __init__(self, *, engine: str, declines: int, seed: int, short: bool = False) -> None:
        self.engine = engine
        self.declines = declines
        self.seed = seed
        self.short = short
        self.per_second = 60.0 if short else 40.0  # of all clients together: time for many faults
        self.pause = Pause(least=0.2, most=0.6) if short else Pause(least=2.0, most=5.0)
        self.patience_s = 60.0 if short else 1_200.0

    def about(self) -> dict[str, object]:
        """Return what the records say of it."""
        names = ("engine", "declines", "seed", "short", "per_second")
        return {name: getattr(self, name) for name in names}


def run(plan: Plan, folder: Path) -> Run:
    """Make the run that *plan* describes and return its records, which stay in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work, _database(plan, Path(work)) as found:
        url, server = found
        cluster = ShopCluster(Path(work), url, postgres=server)
        try:
            with Stranger() as stranger:
                cluster.start_all(small=plan.short)
                _attack(plan, folder, cluster, stranger)
        finally:
            cluster.end()
    return load(folder)


@contextlib.contextmanager
def _database(plan: Plan, work: Path) -> Iterator[tuple[str, Postgres | None]]:
    if plan.engine == "sqlite":
        yield f"sqlite:///{work}/optout.db", None
        return
    with a_server() as server:
        yield server.create_database("endurance"), server


def _attack(plan: Plan, folder: Path, cluster: ShopCluster, stranger: Stranger) -> None:
    dice = random.Random(plan.seed)
    words = Words(cluster.shop())
    history, ledger = History(folder), LedgerReader(folder, cluster.insurer)
    aim = Aim(declines=plan.declines, per_second=plan.per_second)
    clients = [
        Client(f"client-{number}", random.Random(dice.random()), words, history, aim)
        for number in range(CLIENTS)
    ]
    faults = Faults(cluster, random.Random(dice.random()), stranger.url, short=plan.short)
    nemesis = Nemesis(random.Random(dice.random()), faults, plan.pause)
    begin = time.time_ns() // 1_000_000
    ledger.start()
    nemesis.start()
    for client in clients:
        client.thread.start()
    _watch(clients, aim, nemesis, history, ledger)
    nemesis.stop()
    closing = Closing(cluster, history, ledger, words, dice)
    closing.heal(plan.patience_s)
    closing.write(folder, plan.about() | {"begin_ms": begin}, nemesis.struck, stranger.seen)


def _watch(
    clients: list[Client], aim: Aim, nemesis: Nemesis, history: History, ledger: LedgerReader
) -> None:
    """Wait until all is said, with a line now and then."""
    told = time.monotonic()
    for client in clients:
        while client.thread.is_alive():
            client.thread.join(0.2)
            if time.monotonic() - told > _PROGRESS_S:
                told = time.monotonic()
                say(
                    f"{len(aim.acknowledged)} declines acknowledged, {len(ledger.effects)} with "
                    f"the insurer, {len(nemesis.struck)} faults, answers {history.statuses}"
                )


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, help="one of them; both if not given")
    parser.add_argument("--declines", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the records go; kept if given")
    parser.add_argument("--short", action="store_true", help="only faults that are quickly over")
    parser.add_argument("--keep", action="store_true", help="keep the records and the picture")
    parser.add_argument("--report", action="store_true", help="print the table of kept runs")
    return parser.parse_args()


def main() -> int:
    """Make a run on each engine, or report on those that were kept; 1 if there is a finding."""
    options = _options()
    if options.report:
        runs = [kept(HISTORIES / f"{engine}.tar.xz") for engine in ENGINES]
        say(table(runs))
        return int(any(judge(one) for one in runs))
    engines = [options.engine] if options.engine else ENGINES
    with _folder(options.folder) as folder:
        found = [_one(engine, folder / engine, options) for engine in engines]
    return int(any(found))


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        yield Path(folder)


def _one(engine: str, folder: Path, options: argparse.Namespace) -> bool:
    """Make one run and say what it brought; True if there is a finding."""
    if any(folder.glob("*.jsonl")):
        sys.exit(f"{folder} holds the records of another run")
    plan = Plan(engine=engine, declines=options.declines, seed=options.seed, short=options.short)
    say(f"{engine}: {plan.declines} declines, seed {plan.seed}")
    made = run(plan, folder)
    findings = judge(made)
    _show(made, findings)
    if options.keep:
        keep(folder, HISTORIES / f"{engine}.tar.xz")
        _IMAGES.mkdir(exist_ok=True)
        (_IMAGES / f"endurance-{engine}.svg").write_text(picture(made), "utf-8")
    return bool(findings)


def _show(made: Run, findings: list[Finding]) -> None:
    for finding in findings[:_SHOWN]:
        say(str(finding))
    for name, value in figures(made, findings).items():
        say(f"{name:<44}{value}")


if __name__ == "__main__":
    sys.exit(main())
