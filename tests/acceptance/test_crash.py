"""`kill -9` at any moment: no acknowledged decline is lost, none is invented."""

import random
import threading
import time
from collections import defaultdict
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.acceptance.deployment import Deployment, until

DECLINES = 500
KILLS = 50
CLIENTS = 8


class Shop:
    """Clients that tell declines and tell them again, under the same id, until acknowledged."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._left = list(range(DECLINES))
        self._lock = threading.Lock()
        self.acknowledged: set[str] = set()
        self.told: set[str] = set()
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        """Open the doors."""
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    return
                offer = f"offer-{self._left.pop()}"
            self._tell(offer)

    def _tell(self, offer: str) -> None:
        self.told.add(offer)
        message: dict[str, Any] = {"id": str(uuid4()), "seq": int(time.time() * 1000)}
        while offer not in self.acknowledged:
            try:
                answer = self._deployment.say(offer, **message)
            except requests.RequestException:
                time.sleep(0.01)
                continue
            if answer.status_code == 202:
                self.acknowledged.add(offer)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_kills_lose_and_invent_nothing(deployment: Deployment) -> None:
    """500 declines, the whole process group killed at 50 random moments, restarted each time."""
    dice = random.Random(20261121)
    deployment.fault("hang", seconds=0.02)
    shop = Shop(deployment)
    shop.start()
    for kill in range(KILLS):
        goal = DECLINES * kill // KILLS
        until(lambda goal=goal: len(shop.acknowledged) >= goal, "acknowledgements")
        time.sleep(dice.random() * 0.05)  # any moment, not only after an acknowledgement
        deployment.proxy.kill()
        deployment.start_proxy()
    for thread in shop.threads:
        thread.join()

    assert len(shop.acknowledged) == DECLINES
    until(lambda: _delivered(deployment) >= shop.acknowledged, "every delivery")
    keys: dict[str, set[str]] = defaultdict(set)
    for entry in deployment.received():
        keys[entry["offer"]].add(entry["idempotency_key"])
        assert entry["verified"], entry
    assert set(keys) == shop.told  # nothing invented
    assert {len(of_offer) for of_offer in keys.values()} == {1}  # repeats carry the same key
    assert {deployment.offer(offer)["report"] for offer in shop.acknowledged} == {"delivered"}


def _delivered(deployment: Deployment) -> set[str]:
    return {entry["offer"] for entry in deployment.received() if entry["status"] in (204, 409)}
