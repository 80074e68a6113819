"""`optout-proxy users`: who may use the dashboard."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import segno

from proxy import one_time, passwords
from proxy.accounts import NAME_SAYS, Account, Change, Role, is_name, listed
from proxy.cli.options import Refusal, config_option, configuration_of, in_plain_words
from proxy.cli.writing import ask_serve, service_of
from proxy.clocks import time_of, wall
from proxy.database import Database
from proxy.errors import StorageUnavailable
from proxy.receipts import load_audit_key
from proxy.reload import Configuration

_BACK = {"disable": "disabled, and signed out everywhere.", "enable": "enabled."}

name_argument = click.argument("name")
ask_option = click.option(
    "--ask", is_flag=True, help="Ask for the password, or read it from standard input."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("users")
def command() -> None:
    """Make and end accounts of the dashboard."""


@command.command()
@config_option
@name_argument
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    required=True,
    help="A viewer looks; an operator decides as well.",
)
@ask_option
@json_option
@in_plain_words
def add(config: Path | None, name: str, role: str, ask: bool, as_json: bool) -> None:
    """Make an account; print its password and its one-time secret, this once."""
    _equip(config, "add", name, role=role, ask=ask, as_json=as_json)


@command.command()
@config_option
@name_argument
@ask_option
@json_option
@in_plain_words
def reset(config: Path | None, name: str, ask: bool, as_json: bool) -> None:
    """Give an account a new password and one-time secret; sign it out everywhere."""
    _equip(config, "reset", name, role=None, ask=ask, as_json=as_json)


@command.command()
@config_option
@name_argument
@in_plain_words
def disable(config: Path | None, name: str) -> None:
    """Let somebody in no more, and end what is open."""
    _alter(config, "disable", name)


@command.command()
@config_option
@name_argument
@in_plain_words
def enable(config: Path | None, name: str) -> None:
    """Let somebody in again who was disabled, with the same password."""
    _alter(config, "enable", name)


@command.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@in_plain_words
def list_users(config: Path | None, as_json: bool) -> None:
    """List the accounts."""
    database = Database(configuration_of(config).current.database, wall)
    try:
        with database.read() as connection:
            accounts = listed(connection)
    except StorageUnavailable:
        raise click.ClickException("The database can not be read.") from None
    finally:
        database.dispose()
    for account in accounts:
        row = _readable(account)
        click.echo(json.dumps(row) if as_json else _line(row))
    if not accounts and not as_json:
        click.echo("There are no users; `optout-proxy users add` makes one.", err=True)


def _equip(
    config: Path | None, do: str, name: str, *, role: str | None, ask: bool, as_json: bool
) -> None:
    """Make what proves a user, keep what is kept of it, and print it."""
    if not is_name(name):
        raise Refusal(NAME_SAYS)
    configuration = configuration_of(config)
    password = _asked(name) if ask else passwords.fresh()
    secret = one_time.fresh()
    change = Change(
        do=do,
        name=name,
        role=role or Role.VIEWER,
        password=passwords.hashed(password),
        totp=one_time.Codes(_audit_key(configuration)).seal(secret, name),
    )
    _apply(configuration, change)
    address = one_time.address(secret, name, configuration.current.audience)
    told = {"name": name} | ({"role": role} if role else {})
    if not ask:
        told["password"] = password
    if as_json:
        click.echo(json.dumps(told | {"otpauth": address}))
        return
    click.echo(f"{name}: {'added as ' + role if role else 'reset, and signed out everywhere'}.")
    if not ask:
        click.echo(f"\nPassword, shown this once:\n\n    {password}\n")
    click.echo(f"For the authenticator, shown this once:\n\n    {address}\n")
    segno.make(address).terminal(out=sys.stdout, compact=True)


def _alter(config: Path | None, do: str, name: str) -> None:
    _apply(configuration_of(config), Change(do=do, name=name))
    click.echo(f"{name}: {_BACK[do]}")


def _apply(configuration: Configuration, change: Change) -> None:
    """Ask the running `serve`; without one take the lock and do it here."""
    try:
        answer = ask_serve(configuration, command="users", change=change.words())
        if answer is None:
            with service_of(configuration) as service:
                answer = {"refused": service.accounts.change(change)}
    except StorageUnavailable:
        raise click.ClickException("The database can not be written.") from None
    if answer["refused"] is not None:
        raise click.ClickException(answer["refused"])


def _audit_key(configuration: Configuration) -> bytes:
    file = configuration.current.audit_key_file
    if not file.exists():
        with service_of(configuration):  # which makes it, unless facts are on record under one
            pass
    return load_audit_key(file)[0]


def _asked(name: str) -> str:
    """Return a password that somebody chose; it is on no command line, in no list of processes."""
    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    fault = passwords.fault(password, name)
    if fault:
        raise Refusal(fault)
    return password


def _readable(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "role": account.role,
        "comes_by": "password" if account.password else "single sign-on",
        "created_at": time_of(account.created_at),
        "disabled_at": time_of(account.disabled_at),
    }


def _line(row: dict[str, Any]) -> str:
    state = f"disabled {row['disabled_at']}" if row["disabled_at"] else "enabled"
    return f"{row['name']:<24} {row['role']:<8} {row['comes_by']:<14} {state}"
