"""Random changes of a register's file, each on a copy of its own: `audit verify` must name them.

`python -m tests.evidence.tampering --changes 300 --seed 1` makes one run, and exits 1 on a change
that was not found, or not in its row.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proxy import migrate
from proxy.audit import Wrong
from proxy.choices import Message, Source
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.intake import Intake
from proxy.ledger import Ledger
from proxy.outbox import Outbox
from proxy.receipts import Signer, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Seals, read_json
from tests.core.conftest import (
    DELIVERED,
    POLICIES,
    REFUSED,
    START,
    TIMED_OUT,
    Clock,
    Register,
    a_message,
)
from tests.evidence.tampering_changes import WITH_A_SEAL, Names, changes
from tests.evidence.tampering_copy import Copy
from tests.evidence.test_seals_tampering import KEY, PARTNERS, named
from tests.settings.home import Home, at

OFFERS = 150
A_DAY = 15  # offers
SHOWN = 20  # rows that the command names before it counts the rest
_SAMPLE = 50  # of so many changes one is verified by the command itself


@dataclass(frozen=True)
class Stage:
    """A sealed register that was closed in order, its key and its seal; and two others."""

    home: Home
    whole: Path
    stranger: Path
    sister: Path
    seal: Path

    @property
    def key(self) -> Ed25519PrivateKey:
        """What blocks are signed with."""
        return load_signing_key(self.home.folder / "secrets" / "signing.pem")[0]

    def command(self, path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `audit` on the file *path*, in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", "audit", *words, "--config", str(self.home.config)],
            env={**os.environ, "OPTOUT_DATABASE": f"sqlite:///{path}"},
            check=False,
            capture_output=True,
            text=True,
        )


@dataclass(frozen=True)
class Done:
    """One change, what must be named, and what was."""

    what: str
    names: Names
    found: list[Wrong]
    said: list[Wrong] | None = None  # by the command, where it was asked: the first of them

    @property
    def missed(self) -> Names:
        """Return what should have been named and was not; all of it if the command disagrees."""
        if self.said is not None and self.said != self.found[:SHOWN]:
            return self.names
        return [one for one in self.names if not is_named(one, self.found)]


def is_named(expected: Wrong, found: list[Wrong]) -> bool:
    """True when one of *found* is about that fact, that block, or anything of that offer."""
    about = (expected.offer_id, expected.partner, expected.block)
    return any(
        (one.offer_id, one.partner, one.block) == about and expected.ordinal in (None, one.ordinal)
        for one in found
    )


# -- the registers ----------------------------------------------------------------------------


def set_up(folder: Path, offers: int = OFFERS) -> Stage:
    """Make the registers in *folder*."""
    home = at(folder)
    home.secret("audit", base64.urlsafe_b64encode(KEY).decode().rstrip("="))
    made = Stage(
        home=home,
        whole=folder / "whole.db",
        stranger=folder / "stranger.db",
        sister=folder / "sister.db",
        seal=folder / "seal.json",
    )
    fill(made.whole, Ledger(KEY), made.key, offers)
    fill(made.sister, Ledger(KEY), made.key, offers, start=START + 7)
    fill(made.stranger, Ledger(b"another audit key"), made.key, offers)
    sealed = made.command(made.whole, "seal", "--out", str(made.seal))
    assert sealed.returncode == 0, sealed.stderr
    return made


def fill(
    path: Path, ledger: Ledger, key: Ed25519PrivateKey, offers: int, start: int = START
) -> None:
    """Record *offers* day by day, and seal what was recorded on all days but the last."""
    clock = Clock(start)
    database = Database(f"sqlite:///{path}", clock, server_time=False)
    migrate.upgrade(database)
    database.start()
    sealer = Sealer(database, Seals(Signer(key, "test").kid, key.sign), most=25)
    register = Register(
        database=database,
        clock=clock,
        intake=Intake(database, ledger, lambda _, upstream: POLICIES[upstream], lambda _: None),
        outbox=Outbox(database, ledger, lambda: 0.5),
        dead_letters=DeadLetters(database, ledger),
    )
    for day in range(offers // A_DAY):
        sealer.seal()
        _a_day(register, day)
    database.stop()


def _a_day(register: Register, day: int) -> None:
    """Record some histories of `A_DAY` offers; each column of a fact has a value somewhere."""
    everyone, some, few = range(A_DAY), range(0, A_DAY, 2), range(0, A_DAY, 4)
    rounds = [
        [_said(register, day, n, "undecided" if n % 3 else "declined") for n in everyone],
        [_said(register, day, n, "declined", metadata={"seat": "1"}, tries=2) for n in some],
        [_said(register, day, n, "accepted", **_bought(f"A-{day}-{n}")) for n in few],
        [_said(register, day, n, None, **_bought(f"B-{day}-{n}")) for n in few[::2]],
    ]
    for messages in rounds:
        register.intake.record_all(messages)
    for outcome in (DELIVERED, REFUSED, TIMED_OUT):
        (delivery,) = register.claim(most=1).deliveries
        assert register.outbox.finish(delivery, register.bucket, outcome)
        if outcome is REFUSED:
            assert register.dead_letters.requeue(delivery.row, "Insurer, case 88")
    register.clock.pass_ms(60_000)


def _said(register: Register, day: int, number: int, choice: str | None, **only: Any) -> Message:
    """Return what was said of an offer of one of the partners."""
    register.clock.pass_ms(11)
    told: dict[str, Any] = {
        "partner": PARTNERS[number % 3 % 2],
        "id": f"{day}-{number}-{choice}",  # the same in every run
        "seq": register.clock.now,
    }
    return a_message(f"offer-{day}-{number}", choice, **told, **only)


def _bought(order: str) -> dict[str, Any]:
    return {"purchased": True, "order": order, "source": Source.SERVER}


# -- the run ----------------------------------------------------------------------------------


def plan(count: int, seed: int) -> list[str]:
    """Return *count* names of changes in any order, each of them as often as the others."""
    names = list(changes())
    drawn = [names[number % len(names)] for number in range(count)]
    Random(seed).shuffle(drawn)
    return drawn


def run(made: Stage, count: int, seed: int) -> Iterator[Done]:
    """Make *count* changes, each on a fresh copy, and look what is named."""
    known = changes()
    for number, what in enumerate(plan(count, seed)):
        path = made.home.folder / "copy.db"
        shutil.copyfile(made.whole, path)
        dice = Random(f"{seed}-{number}")
        copy = Copy(path, dice, stranger=made.stranger, sister=made.sister)
        names = known[what](copy)
        copy.close()
        with_seal = what in WITH_A_SEAL
        said = verified(made, path, with_seal=with_seal) if number % _SAMPLE == 0 else None
        yield Done(what, names, found(made, path, with_seal=with_seal), said)
        path.unlink()


def found(made: Stage, path: Path, *, with_seal: bool = False) -> list[Wrong]:
    """Return what the command's own functions name."""
    kept = json.loads(made.seal.read_text())["seals"] if with_seal else []
    keys = Signer(made.key, "test").public_keys()
    return named(path, keys, [read_json(one) for one in kept])


def verified(made: Stage, path: Path, *, with_seal: bool = False) -> list[Wrong]:
    """Return what the command itself says; it exits with 1 if that is anything, else with 0."""
    words = ["verify", "--json", *(["--seal", str(made.seal)] if with_seal else [])]
    done = made.command(path, *words)
    said = [Wrong(**json.loads(line)) for line in done.stdout.splitlines()]
    assert done.returncode == (1 if said else 0), done.stderr
    return said


def main() -> None:
    """Make one run and tell of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("changes", 300), ("seed", 1), ("offers", OFFERS)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = set_up(Path(folder), asked.offers)
        if found(made, made.whole, with_seal=True):
            sys.exit("The register is wrong before anything was changed.")
        done = list(run(made, asked.changes, asked.seed))
    missed = [one for one in done if one.missed]
    for one in missed:
        click.echo(f"{one.what}: not named {one.missed}, found {one.found}")
    click.echo(f"{len(done)} changes, {len(done) - len(missed)} named in their rows")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
