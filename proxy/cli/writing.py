"""Commands that write: through the running `serve`, and without one here, under its lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from proxy.app import Service
from proxy.clocks import wall
from proxy.control import ask, socket_path
from proxy.database import Database
from proxy.reload import Configuration


def ask_serve(configuration: Configuration, **question: Any) -> dict[str, Any] | None:
    """Return what the running `serve` answers; None where it is not running, or on PostgreSQL.

    Raises ClickException with what it says is wrong.
    """
    database = Database(configuration.current.database, wall)
    if not database.is_sqlite:
        return None
    answer = ask(socket_path(Path(database.url.database or "")), question)
    if answer is not None and "error" in answer:
        raise click.ClickException(answer["error"])
    return answer


@contextmanager
def service_of(configuration: Configuration) -> Iterator[Service]:
    """Yield a service without a worker, which holds the lock until the block ends."""
    service = Service(configuration, with_worker=False)
    service.start()
    try:
        yield service
    finally:
        service.stop()
