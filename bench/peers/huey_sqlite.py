"""Huey with SQLite: the view enqueues a task, a consumer with 16 threads runs it."""

from huey import SqliteHuey
from huey.signals import SIGNAL_INTERRUPTED

from bench.peers import place
from bench.peers.upstream import insurer
from bench.peers.web import Decline, Web

# fsync: PRAGMA synchronous = FULL on every connection. Its journal is a WAL without being asked.
huey = SqliteHuey("declines", filename=place.database().removeprefix("sqlite:///"), fsync=True)


@huey.task(retries=20, retry_delay=2, retry_backoff=2)
def report(decline: Decline) -> None:
    """Send a decline; an exception has it retried."""
    insurer().decline(decline["offer"])


@huey.signal(SIGNAL_INTERRUPTED)
def interrupted(_signal: str, task: object) -> None:
    """Keep what a consumer was doing when it was asked to stop; there is nothing for a kill."""
    huey.enqueue(task)


def web() -> None:
    """Run the web process; calling a task commits it."""
    Web(lambda: report).run()


def work() -> None:
    """Run the consumer, as `huey_consumer -w 16 -n -d 0.01 -m 0.1` does.

    It has to poll. By default an idle one looks every 0.1 s at first and every 10 s in the end.
    """
    huey.create_consumer(
        workers=place.SENDERS, periodic=False, initial_delay=0.01, max_delay=0.1
    ).run()
