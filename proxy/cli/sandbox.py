"""`optout-proxy sandbox`: the insurer's API on this machine, to try and to test against."""

from datetime import timedelta
from typing import Any

import click

from proxy.errors import ConfigurationError
from proxy.sandbox.options import SandboxOptions
from proxy.sandbox.serve import run

_CREDENTIALS = ("api_key", "api_secret", "client_id", "client_secret")


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--partner",
    envvar="SANDBOX_PARTNER",
    default="LLODT",
    show_default=True,
    help="Partner code that the paths must name.",
)
@click.option("--api-key", envvar="SANDBOX_API_KEY", help="Of the HMAC APIs.")
@click.option(
    "--api-secret", envvar="SANDBOX_API_SECRET", help="Better given as SANDBOX_API_SECRET."
)
@click.option("--client-id", envvar="SANDBOX_CLIENT_ID", help="Of the OAuth APIs.")
@click.option(
    "--client-secret", envvar="SANDBOX_CLIENT_SECRET", help="Better given as SANDBOX_CLIENT_SECRET."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Calls per second above which it answers 429; 0 for no limit (the insurer's is 20).",
)
@click.option(
    "--clock-skew",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How far the Date header may be off; any distance by default.",
)
def command(
    *,
    host: str,
    port: int,
    partner: str,
    rate: float,
    clock_skew: float | None,
    **given: Any,
) -> None:
    """Play the insurer: strict signatures and tokens, idempotency, and faults on demand.

    Credentials that are not given are made up and printed once.
    """
    options = SandboxOptions(
        partner=partner,
        rate_per_second=rate,
        clock_skew=None if clock_skew is None else timedelta(seconds=clock_skew),
        **{name: value for name, value in given.items() if value},
    )
    for name in _CREDENTIALS:
        if not given[name]:
            click.echo(f"{name}: {getattr(options, name)}")
    try:
        run(options, host, port)
    except OSError as error:
        raise ConfigurationError(
            f"Can not listen on {host} port {port} ({error.strerror}); choose another --port."
        ) from error
