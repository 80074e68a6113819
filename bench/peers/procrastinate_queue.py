"""Procrastinate with PostgreSQL: the view defers a job, a worker runs 16 of them at once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import procrastinate
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy, SyncPsycopgConnector
from sqlalchemy import make_url

from bench.peers import place
from bench.peers.upstream import insurer
from bench.peers.web import Accept, Decline, Web

tasks = procrastinate.Blueprint()
senders = ThreadPoolExecutor(place.SENDERS)  # asyncio's own would be 6 on two cores


@tasks.task(name="report", retry=RetryStrategy(max_attempts=20, exponential_wait=2))
async def report(**decline: str) -> None:
    """Send a decline on a thread; an exception has it retried."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(senders, insurer().decline, decline["offer"])


# Its documentation has this every ten minutes; a job of a dead worker is never taken up without.
@tasks.periodic(cron="* * * * * */10")
@tasks.task(name="retry", queueing_lock="retry", pass_context=True)
async def retry(context: JobContext, timestamp: int) -> None:  # noqa: ARG001  # given to each
    """Take up the jobs of workers without a heartbeat."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs():
        await manager.retry_job(job)


def app(connector: type[PsycopgConnector | SyncPsycopgConnector]) -> App:
    """Return the application with its tasks; its pool has room for every thread that sends."""
    url = (
        make_url(place.database())
        .set(drivername="postgresql")
        .render_as_string(hide_password=False)
    )
    made = App(connector=connector(conninfo=url, max_size=20))
    made.add_tasks_from(tasks, namespace="peer")
    return made


def connect() -> Accept:
    """Return what commits a job, over connections of a pool without asyncio."""
    made = app(SyncPsycopgConnector).open()
    task = made.tasks["peer:report"]

    def accept(decline: Decline) -> None:
        task.defer(**decline)

    return accept


def prepare() -> None:
    """Make the tables."""
    with app(SyncPsycopgConnector).open() as made:
        made.schema_manager.apply_schema()


def web() -> None:
    """Run the web processes."""
    Web(connect).run()


def work() -> None:
    """Run the worker."""
    app(PsycopgConnector).run_worker(concurrency=place.SENDERS)
