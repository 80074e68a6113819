"""DBOS with SQLite or PostgreSQL: the client enqueues a workflow, a worker process runs it.

As "Queue Worker" in its documentation: web processes have a client, one worker has the workflows.
"""

import sqlite3
import threading

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

from bench.peers import place
from bench.peers.upstream import insurer
from bench.peers.web import Accept, Decline, Web

QUEUE = "declines"
NAME = "peer"
CONNECTIONS = 20  # of a process; the default is 5, and threads would wait for one


@DBOS.step(retries_allowed=True, interval_seconds=2, max_attempts=20, backoff_rate=2)
def send(offer: str) -> None:
    """Send a decline; an exception has it retried."""
    insurer().decline(offer)


@DBOS.workflow()
def report(decline: Decline) -> None:
    """Report a decline: one step, whose end is written down."""
    send(decline["offer"])


def connect() -> Accept:
    """Return what commits a workflow, one for an offer."""
    client = DBOSClient(
        system_database_url=place.database(),
        # On SQLite more connections only fight for the one lock: the default gives a better tail.
        system_database_pool_size=None if path() else CONNECTIONS,
        application_name=NAME,
    )

    def accept(decline: Decline) -> None:
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": "report",
            "workflow_id": insurer().key(decline["offer"]),
        }
        client.enqueue(options, decline)

    return accept


def launch() -> None:
    """Make the tables where there are none, and take up what a dead worker left."""
    config: DBOSConfig = {
        "name": NAME,
        "application_version": "1",
        "executor_id": "worker-1",  # the same after a restart: it recovers only its own
        "system_database_url": place.database(),
        "sys_db_pool_size": CONNECTIONS,
        "max_executor_threads": place.SENDERS,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.launch()
    # Limited by its threads: a limit of the queue (worker_concurrency) was slower. Once a second,
    # the default, would let a decline wait as long.
    DBOS.register_queue(QUEUE, polling_interval_sec=0.05)


def path() -> str:
    """Return where the SQLite database lies; nothing on PostgreSQL."""
    return place.database().partition("sqlite:///")[2]


def prepare() -> None:
    """Make the tables; a client does not."""
    if path():
        # Its default is a rollback journal. A WAL is a property of the file, and much faster.
        # PRAGMA synchronous is FULL in either case: nobody sets it.
        with sqlite3.connect(path()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    launch()
    DBOS.destroy()


def web() -> None:
    """Run the web processes."""
    Web(connect).run()


def work() -> None:
    """Run the worker."""
    launch()
    threading.Event().wait()
