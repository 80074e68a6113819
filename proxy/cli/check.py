"""`optout-proxy check`: what is wrong with the configuration, and how to mend it."""

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from proxy.app import Service
from proxy.assets import folder
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.clocks import wall
from proxy.database import Database
from proxy.errors import ConfigurationError
from proxy.page_check import Expected, Report, as_json, check_page
from proxy.reload import Configuration
from proxy.settings import Settings
from proxy.tokens import Keyring
from proxy.visits import is_visitable

_SAFE_SQLITE = (3, 51, 3)  # https://www.sqlite.org/wal.html#walresetbug


@click.command("check")
@config_option
@click.option("--page", "pages", metavar="URL", multiple=True, help="Check this page instead.")
@click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="To ask it with.")
@click.option("--json", "as_lines", is_flag=True, help="Print one JSON object a page.")
@click.pass_context
@in_plain_words
def command(
    ctx: click.Context,
    config: Path | None,
    pages: tuple[str, ...],
    headers: tuple[str, ...],
    as_lines: bool,
) -> None:
    """Read configuration and secrets, try the database; or look at a page; say what is wrong."""
    if not pages and (headers or as_lines):
        raise Refusal("--header and --json are about a page: name one with --page URL.")
    configuration = configuration_of(config)
    if pages:
        reports = list(_reports(pages, headers, configuration.current))
        for report in reports:
            click.echo(json.dumps(as_json(report)) if as_lines else _text(report))
        ctx.exit(1 if any(report.findings for report in reports) else 0)
    faults = 0
    for name, check in (
        ("settings", lambda: None),
        ("database", lambda: _database(configuration)),
        ("secrets", lambda: _secrets(configuration)),
    ):
        faults += _say(name, check)
    for warning in _warnings(configuration):
        click.echo(f"note      {warning}")
    ctx.exit(1 if faults else 0)


def _reports(
    pages: tuple[str, ...], headers: tuple[str, ...], settings: Settings
) -> Iterator[Report]:
    wrong = [page for page in pages if not is_visitable(page)]
    if wrong:
        raise Refusal(f"{wrong[0]} is not an https address (http is for loopback hosts).")
    given = [header.partition(":") for header in headers]
    if any(not name.strip() or not colon for name, colon, _ in given):
        raise Refusal("--header is written NAME:VALUE, such as `Cookie: cart=1`.")
    released = json.loads((folder("static") / "s/released.json").read_text("utf-8"))
    for page in pages:
        now = wall() // 1000
        expected = Expected(settings, released, now)
        yield check_page(page, {name.strip(): value.strip() for name, _, value in given}, expected)


def _text(report: Report) -> str:
    lines = [f"{'page':<10}{each.says}" for each in report.findings]
    return "\n".join(lines or [f"{'page':<10}ok: {report.page} has choice.js {report.version}"])


def _say(name: str, check: Callable[[], None]) -> int:
    try:
        check()
    except ConfigurationError as error:
        click.echo(f"{name:<10}{error}")
        return 1
    click.echo(f"{name:<10}ok")
    return 0


def _database(configuration: Configuration) -> None:
    database = Database(configuration.current.database, wall)
    try:
        if database.is_sqlite:
            _file(database)
        else:
            database.check()
    finally:
        database.dispose()


def _file(database: Database) -> None:
    """Judge an embedded database; a running `serve` and what a crash has left are not touched."""
    path = Path(database.url.database or "")
    if not path.exists() and not path.with_name(f"{path.name}-wal").exists():
        return  # `serve` makes it
    damages = database.damages()
    if damages:
        more = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
        raise ConfigurationError(
            f"{path.name} is damaged: {damages[0]}{more}. Stop `serve`, keep the file and its "
            "-wal, restore a backup; `optout-proxy audit verify` names the rows."
        )
    _disk(path.parent)


def _disk(folder: Path) -> None:
    """See with a file of our own whether the folder's file system keeps what SQLite commits."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".check-") as own:
            trial = Database(f"sqlite:///{Path(own) / 'trial.db'}", wall)
            try:
                trial.check()
            finally:
                trial.dispose()
    except OSError as error:
        raise ConfigurationError(f"{folder} can not be written ({error.strerror}).") from error


def _secrets(configuration: Configuration) -> None:
    Keyring.from_settings(configuration.current)
    Service(configuration).database.dispose()


def _warnings(configuration: Configuration) -> Iterator[str]:
    settings = configuration.current
    if settings.redis_url is None:
        yield "Without `redis_url` the inbound limits count per process."
    if settings.database.startswith("sqlite") and sqlite3.sqlite_version_info < _SAFE_SQLITE:
        yield (
            f"SQLite {sqlite3.sqlite_version} has a bug with two writers (mended in 3.51.3); "
            "this program writes from one, so leave the file to it alone."
        )
