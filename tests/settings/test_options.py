"""Where commands find their configuration, and how a refusal is said."""

import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import click

from proxy.cli.init import command as init
from proxy.cli.options import config_option, configuration_of, in_plain_words, load_settings
from proxy.settings import load
from tests.settings.home import BASE, Home
from tests.settings.shell import run


@click.command()
@config_option
def audience(config: Path | None) -> None:
    """Print the audience."""
    click.echo(load_settings(config).audience)


@click.command()
@config_option
@in_plain_words
def threads(config: Path | None) -> None:
    """Print the number of threads after a reload, as an option has set it."""
    configuration = configuration_of(config, {"threads": 3})
    configuration.reload()
    click.echo(configuration.current.threads)


def test_the_configuration_is_named_by_a_variable(home: Home) -> None:
    """OPTOUT_CONFIG, as in a container."""
    assert run(audience, env={"OPTOUT_CONFIG": str(home.config)}).stdout == "optout-proxy:test\n"


def test_the_configuration_of_this_folder(tmp_path: Path) -> None:
    """After `init` nothing has to be named."""
    with chdir(tmp_path):
        run(init)
        result = run(audience)

    assert result.stdout == "optout-proxy:prod\n"


def test_the_environment_alone(tmp_path: Path) -> None:
    """No file is needed where variables say everything."""
    env = {"OPTOUT_AUDIENCE": "optout-proxy:env", "OPTOUT_PUBLIC_URL": "https://p.example"}

    with chdir(tmp_path):
        result = run(audience, env=env)

    assert result.stdout == "optout-proxy:env\n"


def test_no_configuration_at_all(tmp_path: Path) -> None:
    """One sentence on stderr, exit status 2."""
    with chdir(tmp_path):
        result = run(audience)

    assert result.exit_code == 2
    assert result.stderr == (
        "There is no configuration; `optout-proxy init` writes one, --config FILE names one.\n"
    )


def test_a_wrong_configuration(home: Home) -> None:
    """The sentence, nothing before it, exit status 2."""
    home.write(BASE.replace("audience", "audienc"))

    result = run(audience, "--config", home.config)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "optout.toml: the top table has no setting `audienc`; the nearest one is `audience`.\n"
    )


def test_options_outlive_a_reload(home: Home) -> None:
    """What the command line said is not undone by the file."""
    home.write(f"threads = 9\n{BASE}")

    assert run(threads, "--config", home.config).stdout.endswith("\n3\n")


def test_as_a_process(tmp_path: Path) -> None:
    """The command itself: init, mint, inspect, and a refusal with exit status 2."""

    def shell(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proxy", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False)

    config = ("--config", str(tmp_path / "optout.toml"))
    shell("init", str(tmp_path))
    minted = shell("token", "mint", *config, "--offer", "abc")
    inspected = shell("token", "inspect", *config, given=minted.stdout)
    (tmp_path / "secrets" / f"{next(iter(kids(tmp_path)))}").chmod(0o644)
    refused = shell("token", "mint", *config, "--offer", "abc")

    assert "genuine and in time" in inspected.stdout
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is open to every user of this machine; run `chmod 600 " in refused.stderr


def kids(folder: Path) -> list[str]:
    """Return the kids of a configuration."""
    partners = load(folder / "optout.toml", {}).partners.values()
    return [key.kid for partner in partners for key in partner.signing_keys]
