"""What a process says of itself: whether it can work, what to look at, and figures at a bound."""

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import text

from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.readings import LEAST_S, SHARE, Readings
from tests.acceptance.deployment import PATIENCE_S, until
from tests.core.conftest import Clock
from tests.faults.cluster import Cluster
from tests.faults.postgres import a_server
from tests.operate.watched import Monitor, a_cluster


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Cluster]:
    """One `serve` on SQLite."""
    with a_cluster(tmp_path) as cluster:
        cluster.start_web()
        yield cluster


def test_wrong_settings_are_told_and_turn_no_traffic_away(served: Cluster) -> None:
    """The old settings go on working, so the process is ready, and says what to mend."""
    monitor = Monitor(served.admin_url())
    served.config.write_text("publik = 1\n" + served.config.read_text())
    child = served.processes["web"].child
    assert child is not None
    child.send_signal(signal.SIGHUP)
    until(lambda: monitor.total("proxy_settings_alarm") == 1, "the alarm")
    status, told = monitor.asked("/readyz")

    assert (status, told["ready"], told["reasons"]) == (200, True, [])
    assert [one for one in told["warnings"] if one.startswith("settings: ") and "publik" in one]


def test_a_refused_credential_is_told_by_its_name(served: Cluster) -> None:
    """By the partner and upstream that use it; its key is nowhere."""
    monitor = Monitor(served.admin_url())
    served.fault("status", status=401, times=5)
    served.say("offer-1")
    until(lambda: monitor.total("proxy_credential_paused", credential="ACME/tickets"), "the pause")
    until(lambda: monitor.total("proxy_credentials_paused") == 1, "the next count")
    status, told = monitor.asked("/readyz")

    assert status == 200
    assert told["warnings"] == ["delivery: an upstream refuses a credential, and its reports wait"]
    assert "key-1" not in monitor.text() + json.dumps(told)


def test_another_schema_is_a_reason(tmp_path: Path) -> None:
    """Somebody has migrated the database under us, further than this version understands."""
    with a_server() as server:
        url = server.create_database("schema")
        with a_cluster(tmp_path, url) as cluster:
            cluster.start_web("web", "--no-worker")
            database = Database(url, wall)
            with database.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
            database.dispose()
            status, told = Monitor(cluster.admin_url()).asked("/readyz")

    assert status == 503
    (reason,) = told["reasons"]
    assert reason.startswith("schema: The database was migrated by a newer version")


# -- figures at a bound -----------------------------------------------------------------------


class Counting:
    """A register that is counted when it is let, by the clock of the test."""

    def __init__(self, clock: Clock, takes_ms: int = 0) -> None:
        self.clock = clock
        self.takes_ms = takes_ms
        self.times = 0
        self.let = threading.Event()
        self.let.set()
        self.is_away = False

    def __call__(self) -> Mapping[str, float]:
        """Count."""
        assert self.let.wait(PATIENCE_S)
        self.times += 1
        self.clock.pass_ms(self.takes_ms)
        if self.is_away:
            raise StorageUnavailable
        return {"deliveries.due": float(self.times)}


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still unless the test moves it."""
    return Clock(now=0)


def readings_of(counting: Counting) -> Readings:
    """Return what asks *counting*, by its clock."""
    return Readings(counting, clock=lambda: counting.clock.now / 1000)


def test_a_quick_count_is_made_once_a_second_at_most(clock: Clock) -> None:
    """However often a monitor asks."""
    counting = Counting(clock)
    readings = readings_of(counting)

    assert [readings()["deliveries.due"] for _ in range(5)] == [1.0] * 5
    clock.pass_ms(round(LEAST_S * 1000))
    assert [readings()["deliveries.due"] for _ in range(5)] == [2.0] * 5


def test_a_long_count_takes_a_twentieth_of_the_time(clock: Clock) -> None:
    """And the figures say how old they are, and how long they took."""
    counting = Counting(clock, takes_ms=3_000)
    readings = readings_of(counting)
    readings()
    clock.pass_ms(3_000 * SHARE - 1)
    waited = readings()
    clock.pass_ms(1)
    readings()

    assert waited["deliveries.due"] == 1.0
    assert waited["figures_took_seconds"] == 3.0
    assert waited["figures_age_seconds"] == pytest.approx(3 * (SHARE + 1), abs=0.01)
    assert counting.times == 2


def test_a_count_that_hangs_keeps_nobody_waiting(clock: Clock) -> None:
    """Older figures are shown, with their age; no second count is begun."""
    counting = Counting(clock)
    readings = readings_of(counting)
    readings()
    counting.let.clear()
    clock.pass_ms(60_000)

    shown = [readings() for _ in range(2)]
    counting.let.set()
    until(lambda: counting.times == 2, "the count to end")
    assert [one["deliveries.due"] for one in shown] == [1.0, 1.0]
    assert shown[0]["figures_age_seconds"] == 60.0
    assert counting.times == 2


def test_who_can_not_wait_is_given_what_is_at_hand(clock: Clock) -> None:
    """Nothing before the first count has ended; a count is begun all the same."""
    counting = Counting(clock)
    counting.let.clear()
    readings = readings_of(counting)

    assert readings.at_hand() is None
    counting.let.set()
    until(readings.at_hand, "the count that was begun")
    assert counting.times == 1


def test_a_register_that_is_away_is_no_old_figure(clock: Clock) -> None:
    """A monitor must not take what was for what is; and it is asked again a second later."""
    counting = Counting(clock)
    readings = readings_of(counting)
    readings()
    counting.is_away = True
    clock.pass_ms(1_000)
    with pytest.raises(StorageUnavailable):
        readings()
    counting.is_away = False
    clock.pass_ms(1_000)

    assert readings()["deliveries.due"] == 3.0
