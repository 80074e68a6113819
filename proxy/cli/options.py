"""What commands share: where the settings are, and how a refusal is said."""

import os
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from proxy.errors import ConfigurationError
from proxy.reload import Configuration
from proxy.settings import Settings, load
from proxy.settings_sources import PREFIX

CONFIG_NAME = "optout.toml"
_LAST_PORT = 65_535

P = ParamSpec("P")
R = TypeVar("R")
Command = TypeVar("Command", bound=Callable[..., Any])


class Refusal(click.ClickException):
    """The command was used wrongly: one sentence on stderr, exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Write the sentence, and nothing before it."""
        click.echo(self.message, file=file, err=file is None)


class Address(click.ParamType[tuple[str, int]]):
    """`HOST:PORT`, also `[::1]:8080`."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port of *value*."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdigit() or int(port) > _LAST_PORT:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


def config_option(command: Command) -> Command:
    """Add --config: the file named, or the one in this folder, or None if there is none."""
    return click.option(
        "--config",
        envvar=f"{PREFIX}CONFIG",
        type=click.Path(path_type=Path),
        callback=_or_here,
        help=f"The configuration file.  [default: {CONFIG_NAME}]",
    )(command)


def in_plain_words(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a ConfigurationError of *command* into its sentence on stderr and exit status 2."""

    @wraps(command)
    def spoken(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            raise Refusal(str(error)) from None

    return spoken


def load_settings(path: Path | None) -> Settings:
    """Return the settings in *path* and the environment; refuse in sentences what is wrong."""
    return configuration_of(path).current


@in_plain_words
def configuration_of(
    path: Path | None, overrides: Mapping[str, object] | None = None
) -> Configuration:
    """Return the settings in *path* and the environment, to be reloaded from there.

    *overrides* are top settings that options of the command gave: they outlive a reload.
    """
    if path is None and not any(name.startswith(PREFIX) for name in os.environ):
        raise ConfigurationError(
            "There is no configuration; `optout-proxy init` writes one, --config FILE names one."
        )
    given = {f"{PREFIX}{name.upper()}": str(value) for name, value in (overrides or {}).items()}
    environ = {**os.environ, **given}
    return Configuration(load(path, environ), path, environ)


def _or_here(_context: click.Context, _option: click.Parameter, given: Path | None) -> Path | None:
    here = Path(CONFIG_NAME)
    return given or (here if here.is_file() else None)
