"""`optout-proxy erase`: the personal data of one offer or one order goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from proxy import migrate
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.clocks import wall
from proxy.control import ask, socket_path
from proxy.database import Database
from proxy.erasure import Erased, Erasures, Found, matching
from proxy.errors import ConfigurationError, StorageUnavailable
from proxy.ledger import Ledger
from proxy.lock import FileLock
from proxy.receipts import load_audit_key
from proxy.settings import Settings

_SAYS = {
    Erased.ERASED: "erased.",
    Erased.NOTHING: "there was nothing to erase.",
    Erased.SENDING: "a request is under way with it; try again in a minute.",
    Erased.UNANSWERED: "a request with it had no answer and may be repeated, as it was; try again"
    " when it is delivered, or 47 h after that request.",
    Erased.UNKNOWN: "it is not there any more.",
}


@click.command("erase")
@config_option
@click.option("--partner", required=True, help="Whose offer or order it is.")
@click.option("--offer", help="The insurer's id of the offer.")
@click.option("--upstream", help="With --offer: only this upstream's.")
@click.option("--order", help="The order reference: every offer bought with it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
@in_plain_words
def command(  # one for each option
    ctx: click.Context,
    config: Path | None,
    partner: str,
    offer: str | None,
    upstream: str | None,
    order: str | None,
    yes: bool,  # click passes it by name
) -> None:
    """Erase customer, metadata and order reference of one offer or order, for good.

    Its choice, its report and the evidence stay. What is still to be reported goes without.
    """
    if bool(offer) == bool(order) or (upstream and not offer):
        raise Refusal("Name --offer, with or without --upstream, or --order.")
    settings = configuration_of(config).current
    with _said():
        found = _find(settings, partner, offer=offer, upstream=upstream, order=order)
    if not found:
        raise click.ClickException(f"{partner} has no such offer.")
    for one in found:
        click.echo(f"{one.id}  {partner}/{one.upstream}  {one.offer}", err=True)
    if not yes:
        click.confirm("Erase their personal data for good?", abort=True, err=True)
    with _said():
        came, is_emptied = _erase(settings, [one.id for one in found])
    for one, became in zip(found, came, strict=True):
        click.echo(f"{one.id}: {_SAYS[became]}")
    if not is_emptied:
        click.echo("Somebody reads the database, so its log still holds it; try again.", err=True)
    is_done = {*came} <= {Erased.ERASED, Erased.NOTHING}
    ctx.exit(0 if is_emptied and is_done else 1)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except StorageUnavailable:
        raise click.ClickException("The database can not be read, or not be written.") from None


def _find(settings: Settings, partner: str, **wanted: str | None) -> list[Found]:
    database = Database(settings.database, wall)
    try:
        with database.read() as connection:
            return matching(connection, partner, **wanted)
    finally:
        database.dispose()


def _erase(settings: Settings, rows: list[int]) -> tuple[list[Erased], bool]:
    """Ask the running `serve`; without one take the lock and do it here."""
    database = Database(settings.database, wall)
    if not database.is_sqlite:
        return _erase_here(settings, database, rows)
    file = Path(database.url.database or "")
    answer = ask(socket_path(file), {"command": "erase", "rows": rows})
    if answer is None:
        lock = FileLock(file)
        lock.take()
        try:
            return _erase_here(settings, database, rows)
        finally:
            lock.release()
    if "error" in answer:
        raise click.ClickException(answer["error"])
    return [Erased(word) for word in answer["came"]], bool(answer["emptied"])


def _erase_here(
    settings: Settings, database: Database, rows: list[int]
) -> tuple[list[Erased], bool]:
    if not settings.audit_key_file.exists():  # one made anew would make the facts look forged
        raise ConfigurationError(f"{settings.audit_key_file} is gone; restore it.")
    ledger = Ledger(load_audit_key(settings.audit_key_file)[0])
    migrate.require_current(database)
    database.start()
    try:
        return Erasures(database, ledger).erase(rows)
    finally:
        database.stop()
