"""`optout-proxy check`: what commonly goes wrong, and how to mend it."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

import click

from proxy.assets import folder
from proxy.checks.disks import disk_findings
from proxy.checks.findings import CHECKS, Finding, Verdict, ok
from proxy.checks.keys import key_findings
from proxy.checks.online import online_findings
from proxy.checks.partners import partner_findings
from proxy.checks.postgres import postgres_findings
from proxy.checks.records import record_findings
from proxy.checks.running import service_findings
from proxy.checks.surroundings import surrounding_findings
from proxy.cli.options import Address, Refusal, config_option, configuration_of, in_plain_words
from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.page_check import Expected, Report, as_json, check_page
from proxy.settings import Settings
from proxy.visits import is_visitable

_NAMES = max(map(len, CHECKS)) + 2
_VERDICTS = 6
_WIDTH = 100


@click.command("check")
@config_option
@click.option("--online", is_flag=True, help="Also ask the insurers, and the public address.")
@click.option("--admin", type=Address(), default="127.0.0.1:8081", show_default=True)
@click.option("--page", "pages", metavar="URL", multiple=True, help="Check this page instead.")
@click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="To ask it with.")
@click.option("--json", "as_lines", is_flag=True, help="Print one JSON object, or one a page.")
@click.pass_context
@in_plain_words
def command(
    ctx: click.Context,
    config: Path | None,
    online: bool,
    admin: tuple[str, int],
    pages: tuple[str, ...],
    headers: tuple[str, ...],
    as_lines: bool,
) -> None:
    """Say what is wrong with a deployment, or with a page, and how to mend it."""
    if headers and not pages:
        raise Refusal("--header is about a page: name one with --page URL.")
    if online and pages:
        raise Refusal("--online is about the deployment, --page about a page: run one of them.")
    settings = configuration_of(config).current
    if pages:
        reports = list(_reports(pages, headers, settings))
        for report in reports:
            click.echo(json.dumps(as_json(report)) if as_lines else _text(report))
        ctx.exit(1 if any(report.findings for report in reports) else 0)
    found = []
    for finding in _findings(settings, config, admin, online=online):
        found.append(finding)
        if not as_lines:
            click.echo("\n".join(_lines(finding)))
    is_fine = all(finding.verdict is not Verdict.FAIL for finding in found)
    click.echo(_as_json(found, is_fine=is_fine) if as_lines else _sum(found))
    ctx.exit(0 if is_fine else 1)


def _findings(
    settings: Settings, config: Path | None, admin: tuple[str, int], *, online: bool
) -> Iterator[Finding]:
    """Make every check that can be made, the cheap ones first."""
    yield ok(
        "settings", f"{config or 'The environment'} can be read, and every name in it is known."
    )
    yield from surrounding_findings(settings, os.environ)
    yield from partner_findings(settings)
    yield from key_findings(settings, config)
    database = Database(settings.database, wall)
    try:
        judge = disk_findings(settings, database) if database.is_sqlite else None
        found = list(judge or postgres_findings(database))
        yield from found
        if all(each.check != "database" or each.verdict is Verdict.OK for each in found):
            yield from record_findings(settings, database)
    finally:
        database.dispose()
    yield from service_findings(*admin)
    if online:
        yield from online_findings(settings, _released())


def _released() -> dict[str, str]:
    """Return the integrity of every released version."""
    released: dict[str, str] = json.loads((folder("static") / "s/released.json").read_text("utf-8"))
    return released


def _reports(
    pages: tuple[str, ...], headers: tuple[str, ...], settings: Settings
) -> Iterator[Report]:
    wrong = [page for page in pages if not is_visitable(page)]
    if wrong:
        raise Refusal(f"{wrong[0]} is not an https address (http is for loopback hosts).")
    given = [header.partition(":") for header in headers]
    if any(not name.strip() or not colon for name, colon, _ in given):
        raise Refusal("--header is written NAME:VALUE, such as `Cookie: cart=1`.")
    for page in pages:
        expected = Expected(settings, _released(), wall() // 1000)
        yield check_page(page, {name.strip(): value.strip() for name, _, value in given}, expected)


# -- to print ---------------------------------------------------------------------------------


def _text(report: Report) -> str:
    lines = [f"{'page':<10}{each.says}" for each in report.findings]
    return "\n".join(lines or [f"{'page':<10}ok: {report.page} has choice.js {report.version}"])


def _lines(finding: Finding) -> Iterator[str]:
    """Yield one line on what was found, and beneath it how to mend it."""
    yield f"{finding.check:<{_NAMES}}{finding.verdict:<{_VERDICTS}}{finding.says}"
    margin = " " * (_NAMES + _VERDICTS)
    yield from wrap(
        finding.mend,
        _WIDTH,
        initial_indent=f"{margin}> ",
        subsequent_indent=f"{margin}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _sum(found: list[Finding]) -> str:
    counts = Counter(finding.verdict for finding in found)
    return f"\n{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} warn, {counts[Verdict.FAIL]} fail"


def _as_json(found: list[Finding], *, is_fine: bool) -> str:
    plain = [
        {"check": each.check, "verdict": each.verdict, "says": each.says, "mend": each.mend}
        for each in found
    ]
    return json.dumps({"at": time_of(wall()), "ok": is_fine, "findings": plain})
