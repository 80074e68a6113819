"""`optout-proxy work`: the delivery worker alone."""

import signal
from pathlib import Path

import click
import structlog

from proxy import logs, process
from proxy.app import Service
from proxy.cli.options import Address, config_option, configuration_of, in_plain_words
from proxy.listeners import listen, require_private, serve_private

log = structlog.get_logger()

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@click.command("work")
@config_option
@click.option("--senders", type=click.IntRange(1, 256), help="Opt-outs sent at once.")
@click.option("--admin-bind", type=Address(), help="Serve readiness and metrics there.")
@in_plain_words
def command(config: Path | None, senders: int | None, admin_bind: tuple[str, int] | None) -> None:
    """Deliver declines until told to stop; on SQLite only where no `serve` runs."""
    configuration = configuration_of(config, {"senders": senders} if senders else None)
    logs.configure(configuration.current.log_level)
    process.settle()
    listener = None
    if admin_bind:
        require_private(configuration.current, admin_bind[0])
        listener = listen(*admin_bind, option="--admin-bind")
    service = Service(configuration)
    service.rehearse()
    logs.tell(service.telemetry.warned)
    # Waited for, not handled: a handler must not wait, and could meet itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        service.start()
        configuration.watch()
        if listener:
            serve_private(listener, configuration, service.condition, service.telemetry.counters)
        log.info("worker.started", senders=configuration.current.senders)
        while signal.sigwait(_SIGNALS) == signal.SIGHUP:
            configuration.reload()
        service.stop()
        log.info("worker.stopped")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
