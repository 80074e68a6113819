"""All fuzzing, one after the other, and a table of what came of it: `make fuzz`.

Ends with status 1 if anything was found; what broke a target is left in the folder it names.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.api import fuzz
from tests.fuzz.deployment import Fuzzed
from tests.fuzz.mutants import judge_mutants
from tests.fuzz.stand_in import Said, StandIn
from tests.fuzz.steering import Steering
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
REQUESTS = 20_000
MUTANTS = 1_000_000
TRIALS = 100_000
_STEP = 10  # times that a part says how far it is


@dataclass(frozen=True)
class Came:
    """What came of one part."""

    part: str
    tried: str
    found: int
    remark: str = ""


@dataclass(frozen=True)
class Plan:
    """How much is done, and where what was found is left."""

    folder: Path
    seed: int
    minutes: float
    share: float  # of the numbers above

    def some(self, number: int) -> int:
        """Return this run's share of *number*."""
        return max(1, int(number * self.share))


def say(text: str) -> None:
    """Say it at once, whoever reads."""
    print(text, flush=True)  # noqa: T201 - this is a command


def api(plan: Plan) -> Iterator[Came]:
    """Make requests by the document until there were enough of them."""
    wanted, seen, status, rounds = plan.some(REQUESTS), Counter[str](), 0, 0
    with _deployment(plan.folder / "api") as proxy:
        while sum(seen.values()) < wanted and not status:
            seed = str(plan.seed + rounds)
            most = "1000" if plan.share >= 1 else "50"
            status, said, more = fuzz(proxy, "--max-examples", most, "--seed", seed)
            seen, rounds = seen + more, rounds + 1
            say(said if status else f"  {sum(seen.values()):,} requests")
        proxy.examine()
    good = sum(count for name, count in seen.items() if " 20" in name)
    remark = f"{good:,} accepted, {len(seen)} kinds of answer, facts verified"
    yield Came("openapi.yaml", f"{sum(seen.values()):,} requests", int(status != 0), remark)


@contextmanager
def _deployment(folder: Path) -> Iterator[Fuzzed]:
    folder.mkdir()
    proxy = Fuzzed(folder)
    try:
        proxy.start_proxy()
        yield proxy
    finally:
        proxy.end()


def register(plan: Plan) -> Iterator[Came]:
    """Let the register's machine walk far."""
    which = "walks_far" if plan.share >= 1 else "walks_the_table"
    command = [sys.executable, "-m", "pytest", "-q", "tests/core/test_machine.py", "-k", which]
    run = subprocess.run([*command, "-m", ""], cwd=ROOT, check=False)
    steps = "500 walks of up to 50 steps" if plan.share >= 1 else "100 walks of up to 30 steps"
    yield Came("register", steps, int(run.returncode != 0))


def guided(plan: Plan) -> Iterator[Came]:
    """Let atheris look for inputs that break a target."""
    for name in TARGETS:
        yield _guided(plan, name)


def _guided(plan: Plan, name: str) -> Came:
    seconds = str(max(1, round(plan.minutes * 60)))
    log = plan.folder / f"{name}.log"
    with log.open("wb") as output:
        run = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, seconds, str(plan.folder)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            check=False,
        )
    said = log.read_text(errors="replace")
    count = re.search(r"number_of_executed_units: ([0-9]+)", said)
    reached = re.findall(r"cov: ([0-9]+)", said)
    if run.returncode:
        say(said[-2_000:])
    tried = f"{int(count[1]):,} inputs" if count else "no input"
    # A fuzzer that could not start has found something, too: that it does not work here.
    remark = f"{reached[-1]} places reached" if reached else ""
    return Came(f"atheris {name}", tried, int(run.returncode != 0 or not count), remark)


def tokens(plan: Plan) -> Iterator[Came]:
    """Judge tokens that are nearly good."""
    count = plan.some(MUTANTS)
    tally = judge_mutants(count, plan.seed, _progress(count))
    remark = f"{tally.microseconds:.1f} µs each"
    yield Came("tokens", f"{tally.count:,} mutants", len(tally.accepted), remark)


def steering(plan: Plan) -> Iterator[Came]:
    """Try to send signed reports elsewhere."""
    count = plan.some(TRIALS)
    progress = _progress(count)
    found, first = 0, ""
    with StandIn(lambda _: Said(b"")) as insurer, StandIn(lambda _: Said(b"")) as bait:
        steering = Steering(insurer, bait)
        for number in range(plan.seed, plan.seed + count):
            try:
                steering.try_once(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, the table says so
                found += 1
                first = first or f", trial {number}: {error!r:.200}"
            progress(number - plan.seed + 1)
    remark = f"{steering.recorded:,} recorded, {steering.sent:,} sent{first}"
    yield Came("steering", f"{count:,} trials", found, remark)


def _progress(whole: int) -> Callable[[int], None]:
    due = [max(1, whole * step // _STEP) for step in range(1, _STEP + 1)]

    def told(done: int) -> None:
        if due and done >= due[0]:
            say(f"  {done:,}")
            while due and done >= due[0]:
                del due[0]

    return told


PARTS: dict[str, Callable[[Plan], Iterator[Came]]] = {
    "api": api,
    "register": register,
    "tokens": tokens,
    "steering": steering,
    "guided": guided,
}


def main() -> int:
    """Do every part; 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; all if not given")
    parser.add_argument("--minutes", type=float, default=10, help="for each target of atheris")
    parser.add_argument("--share", type=float, default=1, help="of all other numbers; 0.01 say")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--folder", type=Path, help="where logs and findings are left")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(folder, options.seed, options.minutes, options.share)
    say(f"seed {plan.seed}; logs and findings in {folder}")
    came = []
    for name in [options.only] if options.only else PARTS:
        begin = time.monotonic()
        say(f"{name} ...")
        came += list(_each(PARTS[name], plan))
        say(f"  {time.monotonic() - begin:.0f} s")
    _show(came)
    return int(any(one.found for one in came))


def _each(part: Callable[[Plan], Iterator[Came]], plan: Plan) -> Iterator[Came]:
    """Yield what comes of *part*; a part that breaks is a finding, and the next one is done."""
    try:
        yield from part(plan)
    except Exception as error:  # noqa: BLE001 - it stands in the table
        yield Came(part.__name__, "broken off", 1, f"{error!r:.500}")


def _show(came: list[Came]) -> None:
    rows = [
        ("part", "tried", "found", ""),
        *((c.part, c.tried, str(c.found), c.remark) for c in came),
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    say("")
    for part, tried, found, remark in rows:
        say(f"{part:<{widths[0]}}  {tried:>{widths[1]}}  {found:>{widths[2]}}  {remark}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
