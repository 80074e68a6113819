"""A disk that fails to write or to sync: nothing is acknowledged on the strength of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.acceptance.deployment import until
from tests.faults.cluster import Cluster
from tests.faults.conftest import Make
from tests.faults.disk import needs_strace, refusing, serving
from tests.faults.register import reports, until_delivered
from tests.faults.special_clusters import assert_one_effect

SHOPS = 8  # that decline at once


class Shops:
    """Threads that decline one offer after another, and remember what they heard."""

    def __init__(self, cluster: Cluster) -> None:
        self.acknowledged: set[str] = set()
        self.asked: set[str] = set()
        self._cluster = cluster
        self._closing = threading.Event()

    def _decline(self, shop: int) -> None:
        number = 0
        while not self._closing.is_set():
            number += 1
            offer = f"shop-{shop}-{number}"
            self.asked.add(offer)
            try:
                status = self._cluster.say(offer).status_code
            except requests.RequestException:
                continue  # nobody was there, or has told
            assert status in (202, 503)
            if status == 202:
                self.acknowledged.add(offer)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Decline while this lasts."""
        threads = [threading.Thread(target=self._decline, args=(shop,)) for shop in range(SHOPS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._closing.set()
            for thread in threads:
                thread.join()


def _served_by(cluster: Cluster) -> int:
    child = cluster.processes["web"].child
    assert child is not None
    assert child.poll() is None, "the master has ended too"
    return serving(child.pid).pid


@needs_strace
@pytest.mark.parametrize("calls", ["fdatasync,fsync", "pwrite64"], ids=["sync", "write"])
def test_an_input_output_error_ends_the_process(
    make_cluster: Make, tmp_path: Path, calls: str
) -> None:
    """What the kernel may have dropped is not trusted: a new process reads what is on disk."""
    cluster = make_cluster("sqlite:///optout.db")
    cluster.start_web()
    shops = Shops(cluster)
    with shops.open():
        until(lambda: len(shops.acknowledged) > 50, "some declines")
        before = _served_by(cluster)
        with refusing(before, calls, "EIO", tmp_path / "strace"):
            until(lambda: _served_by(cluster) != before, "another process")
        heard = len(shops.acknowledged)
        until(lambda: len(shops.acknowledged) > heard + 50, "declines to be taken again")

    until_delivered(cluster)
    assert shops.acknowledged <= set(reports(cluster)) <= shops.asked
    assert cluster.delivered() == set(reports(cluster))
    log = (tmp_path / "strace").read_text()
    assert "EIO" in log
    assert log.count("(INJECTED)") <= SHOPS  # it was not tried again and again
    for offer in sorted(shops.acknowledged)[::20]:
        assert_one_effect(cluster.received(offer))
