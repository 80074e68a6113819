"""`optout-proxy work`: the delivery worker alone."""

import signal
from pathlib import Path

import click
import structlog

from proxy import logs
from proxy.app import Service
from proxy.cli.options import config_option, configuration_of, in_plain_words

log = structlog.get_logger()

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


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
    # Waited for, not handled: a handler must not wait, and could meet itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        service.start()
        configuration.watch()
        log.info("worker.started", senders=configuration.current.senders)
        while signal.sigwait(_SIGNALS) == signal.SIGHUP:
            configuration.reload()
        service.stop()
        log.info("worker.stopped")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
