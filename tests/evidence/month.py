"""A month of several shops, simulated: `python -m tests.evidence.month --offers 200000 --seed 7`.

Real intake, outbox and sealer under a simulated clock; customers and insurers are dice. What
`report` and `reconcile` print must be the simulation's own count, line by line: at the month's
end, after `reconcile --apply`, and when all that was to be reported has gone its way.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from click.testing import Result

from proxy import migrate
from proxy.app import policy_of
from proxy.choices import Choice, Delivery, Message, Outcome, Source
from proxy.cli import main as optout_proxy
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import Problem
from proxy.exchange import Answer, NoAnswer
from proxy.intake import Intake
from proxy.judge import judge, judge_silence
from proxy.leases import Lane, Wanted
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.receipts import Signer, load_audit_key, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Seals
from tests.core.conftest import Clock
from tests.evidence import month_count as own
from tests.evidence import month_shop as world
from tests.evidence.month_count import DAY, HOUR, Count, Key, Pair, Said
from tests.evidence.month_shop import CLAIMED, MEANWHILE, SECOND, SHOPS, STEP, Insurer, Mail
from tests.settings.home import at
from tests.settings.shell import run

START = 1_717_200_000_000  # 2024-06-01, midnight UTC; commands know the real time, which is later
LEASE = 30 * SECOND
BATCH = 1_000  # messages in one commit, as a shop's server may send
SENDERS = 32
BY = ("day", "partner", "upstream", "product")


class Place:
    """A deployment: its commands, and the parts of its service under the simulation's clock."""

    def __init__(self, folder: Path, url: str | None, clock: Clock) -> None:
        self.home = at(folder)
        settings = self.home.load(world.configuration(url))
        upstreams = {
            (name, upstream.name): upstream
            for name, partner in settings.partners.items()
            for upstream in partner.upstreams.values()
        }
        ledger = Ledger(load_audit_key(settings.audit_key_file)[0])
        key, _ = load_signing_key(settings.signing_key_file)
        self.clock = clock
        self.database = Database(settings.database, clock, server_time=False)
        self.intake = Intake(self.database, ledger, lambda *pair: policy_of(upstreams[pair]))
        self.outbox = Outbox(self.database, ledger, lambda: 0.5)  # no matter who ends first
        self.sealer = Sealer(self.database, Seals(Signer(key, settings.audience).kid, key.sign))
        self.lanes = {
            pair: Lane(bucket=" ".join(pair), rate=0.0, apis={pair: upstream.definition})
            for pair, upstream in upstreams.items()
        }

    def run(self, *words: object) -> Result:
        """Run a command of the proxy; whatever else it says, it must not be used wrongly."""
        result = run(optout_proxy, *words, "--config", self.home.config)
        if result.exit_code not in (0, 1) or not isinstance(result.exception, SystemExit | None):
            raise RuntimeError(f"{words}: {result.output} {result.exception!r}")
        return result

    def audit(self) -> subprocess.CompletedProcess[str]:
        """Verify what is on record, in a process whose end closes what the command leaves open."""
        words: list[str | Path] = [
            sys.executable,
            "-m",
            "proxy",
            "audit",
            "verify",
            "--config",
            self.home.config,
        ]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def report(self) -> list[dict[str, Any]]:
        """Return the lines of `report`, the last one with its completeness statement."""
        by = [word for name in BY for word in ("--by", name)]
        result = self.run("report", *by, "--format", "jsonl")
        lines: list[dict[str, Any]] = [json.loads(line) for line in result.stdout.splitlines()]
        lines[-1]["status"] = result.exit_code
        return lines

    def reconcile(self, orders: Path, pair: Pair, *options: str) -> dict[str, Any]:
        """Compare a list of orders; return what is printed, all kinds side by side."""
        where = ("--partner", pair[0], "--upstream", pair[1], "--json", *options)
        columns = ("--order", "reference", "--at", "at", "--bought", "paid")
        found: dict[str, Any] = json.loads(self.run("reconcile", orders, *where, *columns).stdout)
        missing = found["missing_by_answer"].items()
        return found | {f"missing {answer}": number for answer, number in missing}


@dataclass
class Month:
    """What happens, told to the proxy and to the simulation's own count alike."""

    place: Place
    seed: int
    offers: int
    days: int
    count: Count = field(init=False)
    insurer: Insurer = field(init=False)
    never_arrived: Counter[bool] = field(default_factory=Counter)  # True: implied meanwhile
    learned: set[str] = field(default_factory=set)  # the days on which orders were applied
    twice: own.Comparison = field(default_factory=own.Comparison)

    def __post_init__(self) -> None:
        self.count = Count({shop.pair: shop.terms for shop in SHOPS})
        self.insurer = Insurer(self.seed, START, START + self.days * DAY)
        self.mail = Mail(world.stories(self.seed, self.offers, START, self.days))
        self._pool = ThreadPoolExecutor(SENDERS)

    # -- the month ----------------------------------------------------------------------------

    def live(self) -> list[Delivery]:
        """Let the month pass; return what is under way when it ends."""
        flying: list[Delivery] = []
        for begin in range(START + STEP, START + self.days * DAY, STEP):
            self.finish(flying)
            self.at(begin)
            self.record(self.mail.arriving(begin))
            self.at(begin + CLAIMED)
            flying = self.claim()
            self.at(begin + MEANWHILE)
            self.record(self.mail.arriving(begin + MEANWHILE))
            if begin % DAY == 0:
                self.place.sealer.seal()
        return flying

    def at(self, now: int) -> None:
        """Move the clock, and do what time has brought."""
        self.place.clock.now = now
        while self.place.outbox.tick():
            pass

    def record(self, said: Sequence[Said]) -> None:
        """Let messages arrive."""
        for first in range(0, len(said), BATCH):
            batch = said[first : first + BATCH]
            answers = self.place.intake.record_all([_message(one) for one in batch])
            self.twice.wrong += [one.code for one in answers if isinstance(one, Problem)]
        for one in said:
            self.count.hear(one, self.place.clock.now)

    def claim(self) -> list[Delivery]:
        """Claim whatever is due."""
        lanes = list(self.place.lanes.values())
        wanted = Wanted(lanes=lanes, free=20_000, lease_ms=LEASE)
        flying = self.place.outbox.claim(wanted).deliveries
        for one in flying:
            self.count.leave(_key(one), one.send_at, one.lease_until)
        return flying

    def finish(self, flying: Iterable[Delivery]) -> None:
        """Let the insurers answer, four seconds later; of a worker that vanished nothing comes."""
        self.place.clock.now += 4 * SECOND
        answers = [
            (one, self.insurer.ask(_key(one), one.epoch, one.attempt, one.send_at))
            for one in flying
        ]
        heard = [(one, answer) for one, answer in answers if answer != "vanished"]
        kept = self._pool.map(lambda pair: self._finish(*pair), heard)
        for (one, answer), ours in zip(heard, kept, strict=True):
            self.twice.expect(ours, True, f"{_key(one)}: its lease is kept")  # noqa: FBT003
            self.count.end(_key(one), answer, self.place.clock.now)

    def _finish(self, one: Delivery, answer: own.Answer) -> bool:
        lane = self.place.lanes[one.partner, one.upstream]
        success = lane.apis[one.partner, one.upstream].success
        outcome = _outcome(answer, success, self.place.clock.now)
        return self.place.outbox.finish(one, lane.bucket, outcome)

    # -- afterwards ---------------------------------------------------------------------------

    def reconcile(self, when: str, *options: str) -> Counter[str]:
        """Compare every list of orders with the register; return what was applied."""
        applied: Counter[str] = Counter()
        for pair, orders in self.mail.orders.items():
            file = self.place.home.folder / f"{'-'.join(pair)}.csv"
            world.write_orders(file, orders)
            ours = self.count.differences(orders, pair)
            told = self.place.reconcile(file, pair, *options)
            theirs = Counter({kind: told[kind] for kind in own.KINDS})
            self.twice.add(own.KINDS, when, {pair: ours}, {pair: theirs})
            self.twice.expect((told["rows"], told["bad"]), (len(orders), 0), f"{when}, {pair}")
            applied.update(told["applied"] or {})
        return applied

    def apply(self) -> None:
        """Apply what is missing, and let the count know of it as the documents say."""
        began, orders = wall(), [one for listed in self.mail.orders.values() for one in listed]
        self.never_arrived = self.count.never_arrived(orders)
        missing = self.count.missing(orders)
        self.twice.expect(self.reconcile("before"), Counter(), "applied without --apply")
        applied = self.reconcile("with --apply", "--apply")
        self.twice.expect(applied, Counter(reported=len(missing)), "applied")
        for order in missing:
            self.count.hear(own.learned(order), began)
        self.learned = {own.day_of(began), own.day_of(wall())}
        self.twice.expect(self.reconcile("again", "--apply"), Counter(), "applied twice")
        before, _, after = (sums[1] for sums in self.twice.sums[own.KINDS].values())
        unknown = before["missing declined"] + before["missing accepted"]
        self.twice.expect(unknown, self.never_arrived[False], "answers that never arrived")
        self.twice.expect(after["missing declined"], 0, "missing after --apply")

    def let_go(self) -> None:
        """A day later and more: queues empty, holds end, all that is due goes its way."""
        self.at(max(wall(), self.place.clock.now) + 25 * HOUR)
        self.record(self.mail.stuck)
        for _ in range(4 * own.AMBIGUOUS_AFTER // (4 * STEP)):
            self.at(self.place.clock.now + 4 * STEP)
            self.finish(self.claim())
            self.count.wait(self.place.clock.now)
            if not self.count.waits:
                return
        self.twice.wrong.append("something waits for ever")

    # -- the comparison -----------------------------------------------------------------------

    def compare(self, when: str) -> None:
        """Compare `report` with the count, and let `audit verify` look at everything."""
        *lines, last = self.place.report()
        told = {tuple(line[name] for name in BY): _columns(line) for line in lines}
        ours = own.folded(self.count.lines(), self.learned)
        self.twice.add(own.COLUMNS, when, ours, own.folded(told, self.learned))
        total = sum(told.values(), Counter())
        self.twice.expect(_columns(last["total"]), total, f"{when}, the total")
        holds = last["completeness"]["holds"], last["status"]
        self.twice.expect(holds, (True, 0), f"{when}: {last}")
        self.place.sealer.seal()
        audit = self.place.audit()
        self.twice.expect(audit.returncode, 0, f"{when}: {audit.stdout}")


def simulate(place: Place, *, seed: int, offers: int, days: int) -> Month:
    """Live a month on *place*; compare at its end, after what was missing is applied, and later."""
    month = Month(place, seed, offers, days)
    flying = month.live()
    month.count.wait(place.clock.now)
    month.compare("the month's end")
    month.finish(flying)
    month.at(place.clock.now + LEASE)
    month.count.wait(place.clock.now)
    month.apply()
    month.compare("applied")
    month.let_go()
    month.compare("days later")
    month.twice.wrong += month.count.wrong
    return month


@contextmanager
def placed(folder: Path, url: str | None = None) -> Iterator[Place]:
    """Yield a deployment in *folder* with an empty register."""
    place = Place(folder, url, Clock(START))
    migrate.upgrade(place.database)
    place.database.start()
    try:
        yield place
    finally:
        place.database.stop()


def _key(one: Delivery) -> Key:
    return one.partner, one.upstream, one.offer


def _columns(line: dict[str, Any]) -> Counter[str]:
    return Counter({name: line[name] for name in own.COLUMNS})


def _message(said: Said) -> Message:
    """Return what the web side would make of it."""
    partner, upstream, offer = said.key
    return Message(
        partner=partner,
        upstream=upstream,
        offer=offer,
        choice=Choice(said.choice) if said.choice else None,
        id=said.id,
        seq=said.at,
        at=said.at,
        writer=said.writer,
        source=Source(said.source),
        purchased=said.purchased,
        order=said.order,
        late=said.late,
        metadata={"product": said.product} if said.product else {},
    )


def _outcome(answer: own.Answer, success: frozenset[int], now: int) -> Outcome:
    """Return what the sender would make of it."""
    if isinstance(answer, str) and answer != "cut":
        return judge_silence(NoAnswer(answer, sent=answer == "silent"))
    status, flaw = (204, "answer_cut") if answer == "cut" else (int(answer), "")
    headers = {"Retry-After": "90"} if status == 429 else {}
    whole = Answer(status=status, headers=headers, body=b"", flaw=flaw)
    return judge(whole, success=success, now=now / 1000)


def main() -> None:
    """Simulate, print both counts, and exit with 1 on any difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--offers", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--database", help="An empty one.  [default: SQLite in a folder]")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder, placed(Path(folder), given.database) as place:
        month = simulate(place, seed=given.seed, offers=given.offers, days=given.days)
    never, wrong = month.never_arrived, month.twice.wrong
    told = f"answers of orders that never arrived: {never[False]:,}, and implied: {never[True]:,}"
    lines = [*month.twice.table(), told, *(wrong[:20] or ["no difference"])]
    sys.stdout.write("\n".join([*lines, ""]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
