"""`optout-proxy serve`: the web side, with the delivery worker inside."""

from contextlib import suppress
from pathlib import Path

import click

from proxy import logs, process
from proxy.cli.options import Address, config_option, configuration_of, in_plain_words
from proxy.errors import ConfigurationError
from proxy.serve import Binds, serve
from proxy.settings import Settings


@click.command("serve")
@config_option
@click.option("--bind", type=Address(), default="127.0.0.1:8080", show_default=True)
@click.option("--admin-bind", type=Address(), default="127.0.0.1:8081", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), help="Requests at once.")
@click.option("--senders", type=click.IntRange(1, 256), help="Opt-outs sent at once.")
@click.option("--no-worker", is_flag=True, help="Deliver nothing; `work` does, elsewhere.")
@in_plain_words
def command(
    config: Path | None,
    bind: tuple[str, int],
    admin_bind: tuple[str, int],
    workers: int,
    threads: int | None,
    senders: int | None,
    no_worker: bool,
) -> None:
    """Accept choices and deliver declines until told to stop."""
    given = {"threads": threads, "senders": senders}
    configuration = configuration_of(config, {k: v for k, v in given.items() if v is not None})
    settings = configuration.current
    logs.configure(settings.log_level)
    process.settle()
    require_possible(settings, workers=workers, no_worker=no_worker)
    for path in (settings.audit_key_file, settings.signing_key_file):
        if not path.exists():
            with suppress(OSError):  # nowhere to say it is no reason not to serve
                click.echo(f"{path} did not exist; a key is made there. Back it up.", err=True)
    binds = Binds(public=bind, private=admin_bind, workers=workers)
    serve(configuration, binds, with_worker=not no_worker)


def require_possible(settings: Settings, *, workers: int, no_worker: bool) -> None:
    """Refuse what the database in use can not give. ConfigurationError, one sentence."""
    if settings.database.startswith("sqlite"):
        if workers > 1:
            raise ConfigurationError(
                "SQLite has one writer, so --workers must be 1; use PostgreSQL for more."
            )
        if no_worker:
            raise ConfigurationError(
                "SQLite has one process, so --no-worker would deliver nothing; use PostgreSQL."
            )
    elif workers > 1 and not no_worker:
        raise ConfigurationError(
            "More than one web process needs --no-worker; start `optout-proxy work` beside them."
        )
