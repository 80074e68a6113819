"""The command `optout-proxy`: one short function per command, each in a file of its own."""

import resource
from importlib import import_module

import click

from proxy import __version__
from proxy.errors import ConfigurationError

_COMMANDS = {
    "audit": "proxy.cli.audit",
    "backup": "proxy.cli.backup",
    "check": "proxy.cli.check",
    "conflicts": "proxy.cli.conflicts",
    "deliveries": "proxy.cli.deliveries",
    "demo": "proxy.cli.demo",
    "erase": "proxy.cli.erase",
    "export": "proxy.cli.export",
    "export verify": "proxy.cli.export",
    "init": "proxy.cli.init",
    "keys": "proxy.cli.keys",
    "migrate": "proxy.cli.migrate",
    "purge": "proxy.cli.purge",
    "receipt": "proxy.cli.receipt",
    "reconcile": "proxy.cli.reconcile",
    "report": "proxy.cli.report",
    "restore": "proxy.cli.backup:restore",
    "sandbox": "proxy.cli.sandbox",
    "serve": "proxy.cli.serve",
    "snippet": "proxy.cli.snippet",
    "token": "proxy.cli.token",
    "users": "proxy.cli.users",
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
        module, _, word = _COMMANDS[name].partition(":")
        word = word or name.partition(" ")[2] or "command"
        command: click.Command = getattr(import_module(module), word)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its first word, or by two: `export verify` is beside `export`."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in _COMMANDS else args)

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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold every secret
