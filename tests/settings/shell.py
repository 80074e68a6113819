"""Commands, run as the shell would."""

import stat
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result


def run(command: click.Command, *arguments: object, **more: Any) -> Result:
    """Run a command as the shell would."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments], **more)


def mode(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)
