"""The command `optout-proxy`: one short function per command, each in a file of its own."""

from importlib import import_module

import click

from proxy import __version__
from proxy.errors import ConfigurationError

_COMMANDS = {
    "audit": "proxy.cli.audit",
    "check": "proxy.cli.check",
    "deliveries": "proxy.cli.deliveries",
    "demo": "proxy.cli.demo",
    "init": "proxy.cli.init",
    "keys": "proxy.cli.keys",
    "migrate": "proxy.cli.migrate",
    "sandbox": "proxy.cli.sandbox",
    "serve": "proxy.cli.serve",
    "snippet": "proxy.cli.snippet",
    "token": "proxy.cli.token",
    "work": "proxy.cli.work",
}


class _Commands(click.Group):
    """Imports a command when it is called: `demo` must not wait for what only `serve` needs."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return every command's name, in alphabetical order."""
        return sorted(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Return the command *name*, if there is one."""
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(_COMMANDS[name]).command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what it can not work with is one sentence and exit status 2."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            ctx.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="optout-proxy")
def main() -> None:
    """Record declined insurance offers durably and report them to the insurer."""
