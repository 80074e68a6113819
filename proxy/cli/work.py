"""`optout-proxy work`: the delivery worker alone."""

import signal
import threading
from pathlib import Path

import click

from proxy import logs
from proxy.app import Service
from proxy.cli.options import config_option, configuration_of, in_plain_words


@click.command("work")
@config_option
@click.option("--senders", type=click.IntRange(1, 256), help="Opt-outs sent at once.")
@in_plain_words
def command(config: Path | None, senders: int | None) -> None:
    """Deliver declines until told to stop; on SQLite only where no `serve` runs."""
    configuration = configuration_of(config, {"senders": senders} if senders else None)
    logs.configure(configuration.current.log_level)
    service = Service(configuration)
    service.rehearse()
    service.start()
    configuration.watch()
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    signal.signal(signal.SIGHUP, lambda *_: _reload(configuration.reload))
    asked.wait()
    service.stop()


def _reload(reload: object) -> None:
    """Look at the settings in a thread: a signal handler must not wait."""
    threading.Thread(target=reload, daemon=True).start()  # type: ignore[arg-type]
