"""How each command is typed in the run: the list is compared with the commands that there are."""

import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from proxy.cli import main
from tests.settings.shell import run
from tests.test_docs import COMMANDS

Values = Mapping[str, Any]

# Those that would not end: they are processes of the run.
PROCESSES = ("demo", "sandbox", "serve", "work")
# When nothing else holds the database.
ALONE = ("restore", "migrate")

_USERS: dict[str, list[Values]] = {
    "users add": [
        {"name": "ann", "role": "viewer"},
        {"name": "ben", "role": "operator", "as_json": True},
    ],
    "users disable": [{"name": "ann"}],
    "users enable": [{"name": "ann"}],
    "users list": [{}, {"as_json": True}],
    "users reset": [{"name": "ben"}, {"name": "ben", "as_json": True}],
}


def table(out: Path, given: Path) -> dict[str, list[Values]]:
    """Return the ways that each command is typed; what it writes goes to *out*."""
    keys = {"keys": given / "keys.json"}
    receipt = (given / "receipt").read_text()
    orders = {"file": given / "orders.csv", "partner": "ACME", "upstream": "calm"}
    span = {"as_json": True}
    return {
        "audit seal": [{"out": out / "seal.json"}],
        "audit verify": [{}, span, {"seal": out / "seal.json", **keys}],
        "backup": [{"file": out / "copy.db"}],
        "check": [{}, {"pages": "http://127.0.0.1:9/"}],
        "conflicts list": [{}, span],
        "conflicts resolve": [{"row": 1, "word": "reported", "note": "seen"}],
        "deliveries list": [{}, span],
        "deliveries requeue": [{"every": True, "partner": "ACME", "note": "again"}],
        "deliveries show": [{"row": row, "as_json": row % 2 == 0} for row in range(1, 20)],
        "erase": [{"partner": "ACME", "offer": "calm", "upstream": "calm", "yes": True}],
        "export": [
            {"out": out / "export.csv"},
            {"out": out / "export.jsonl", "kind": "jsonl", "orders": True},
        ],
        "export verify": [{"file": out / "export.csv", **keys}],
        "init": [{"folder": out / "new"}, {"folder": out / "json", "as_json": True}],
        "keys new": [{"partner": "ACME"}],
        "keys retire": [{"kid": "acme-1"}],
        "migrate": [{}],
        "purge": [{"dry_run": True}, {}],
        "receipt verify": [{"receipt": receipt, **keys}, {"receipt": receipt[:-4], **keys}],
        "reconcile": [orders, {**orders, "as_json": True}],
        "report": [{}, {"kind": "html", "out": out / "report.html"}, {"kind": "json"}],
        "restore": [{"file": out / "copy.db", "force": True}],
        "snippet": [{}, span],
        "token inspect": [{"token": "eA.eA.AAAAAA.eA"}],
        "token mint": [{"offer": "minted", "upstream": "calm"}],
        **_USERS,
        **{name: [] for name in PROCESSES},
    }


def typed(name: str, values: Values) -> Iterator[str]:
    """Yield the words of a command with *values* by the names of its parameters."""
    for parameter in COMMANDS[name].params:
        value = values.get(parameter.name or "")
        if value is None or value is False:
            continue
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        if value is not True:
            yield str(value)


def said_by(name: str, values: Values) -> tuple[int, str]:
    """Run a command; return its status, and what it says or would be printed if it broke."""
    result = run(main, *name.split(), *typed(name, values))
    broken = result.exception
    if broken is None or isinstance(broken, SystemExit):
        return result.exit_code, result.output
    return -1, result.output + "".join(traceback.format_exception(broken))


def files_of(name: str) -> list[str]:
    """Return the parameters of a command that name a file, the configuration among them."""
    parameters = COMMANDS[name].params
    return [each.name or "" for each in parameters if isinstance(each.type, click.Path)]
