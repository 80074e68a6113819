"""`optout-proxy demo`: the whole line on this machine, proven first."""

import sys

import click


@click.command("demo")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port of the shop; 0 takes a free one.",
)
@click.option("--check", is_flag=True, help="End after the proofs; exit 1 if one failed.")
@click.option(
    "--tamper",
    type=click.Choice(["hmac", "oauth"]),
    help="Give the insurer another secret, to see what a wrong one looks like.",
)
def command(port: int, check: bool, tamper: str | None) -> None:
    """Show a ticket shop, the proxy and a pretended insurer, in one go.

    First one decline of each API is followed from its token to the insurer's verified request.
    """
    from proxy.demo.run import Wishes, run  # noqa: PLC0415 -- `--help` starts nothing

    sys.exit(run(Wishes(port=port, check=check, tamper=tamper)))
