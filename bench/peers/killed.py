"""What became of acknowledged declines after one `kill -9` of every process of a contestant.

The insurer takes some, then stops answering, so that many declines wait and some are under way: of
these it has done one half.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

import requests

from bench.deployed import CONNECTIONS, bodies
from bench.peers.contestants import Contestant
from bench.peers.site import Site, a_site
from tests.acceptance.deployment import PATIENCE_S, until
from tests.faults.cluster import HOST, ORIGIN
from tests.faults.postgres import Postgres

TAKEN = 1 / 3  # of all declines, before the insurer stops answering
UNDER_WAY = 8  # at least, when the kill comes; a worker has 16 threads
HANG_S = 300.0  # longer than anybody waits
LONGEST_S = 90  # after the restart, for a decline to come that has not come yet
QUIET_S = 5  # after the last one, for one that comes again


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How the acknowledged declines ended."""

    told: int  # to the contestant
    acknowledged: int
    twice: int  # sent more than once; the insurer knew the key again and did nothing
    doubled: int  # had an effect more than once
    lost: int  # without an effect in the end

    def __str__(self) -> str:
        said = f"{self.lost} of {self.acknowledged} acknowledged lost, {self.twice} sent twice"
        if self.doubled:
            said += f", {self.doubled} with two effects"
        refused = self.told - self.acknowledged
        return said + (f"; {refused} of {self.told} not accepted" if refused else "")


def fate(contestant: Contestant, *, postgres: Postgres | None, count: int) -> Fate:
    """Have *contestant* accept *count* declines, kill it, start it again, and look."""
    with a_site(postgres, contestant.options) as site:
        contestant.prepare(site)
        contestant.start(site)
        taken = int(count * TAKEN)
        site.cluster.fault("hang", seconds=HANG_S, effect=True, chance=0.5, skip=taken)
        site.cluster.fault("hang", seconds=HANG_S, effect=False, skip=taken)
        with ThreadPoolExecutor(CONNECTIONS) as shoppers:
            forms = bodies(site.cluster, "offer", count)
            said = [shoppers.submit(_tell, site.port, form) for form in forms]
            if contestant.has_worker:
                until(lambda: all(one.done() for one in said), "every answer")
            until(lambda: len(site.cluster.received()) >= taken + UNDER_WAY, "the insurer")
            contestant.kill(site)
        kept = [f"offer-{number}" for number, one in enumerate(said) if one.result()]
        site.cluster.heal()
        contestant.start(site)
        return _look(site, count, kept)


def _tell(port: int, form: str) -> bool:
    """Return whether the decline was acknowledged."""
    try:
        answer = requests.post(
            f"http://127.0.0.1:{port}/v1/choices",
            data=form,
            headers={
                "Host": HOST,
                "Origin": ORIGIN,
                "Content-Type": "application/x-www-form-urlencoded",
            },
            timeout=PATIENCE_S,
        )
    except requests.RequestException:
        return False
    return answer.status_code == HTTPStatus.ACCEPTED


def _look(site: Site, told: int, kept: Sequence[str]) -> Fate:
    """Wait until all has come, or nothing comes any more; count."""
    end = time.monotonic() + LONGEST_S
    while set(kept) - site.cluster.delivered() and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(QUIET_S)
    received = site.cluster.received()
    sent = Counter(entry["offer"] for entry in received if entry["verified"])
    effects = Counter(entry["offer"] for entry in received if entry["effect"])
    return Fate(
        told=told,
        acknowledged=len(kept),
        twice=sum(sent[offer] > 1 for offer in kept),
        doubled=sum(effects[offer] > 1 for offer in kept),
        lost=sum(effects[offer] == 0 for offer in kept),
    )
