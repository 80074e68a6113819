"""`kill -9` while blocks are closed: nothing is lost, and nothing is sealed twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import audit
from proxy.ledger import Ledger
from proxy.receipts import Signer, load_signing_key
from proxy.sealer import Sealer
from proxy.seals import Seals
from tests.core import conftest as core
from tests.core.conftest import Register, a_message

KEY = b"audit key of a test, 32 bytes at least"

postgres, url, clock, database = core.postgres, core.url, core.clock, core.database
make_register, register = core.make_register, core.register

# A process of its own, which dies at the stage that it is told.
_SEALER = """
import os, signal, sys
from pathlib import Path
from proxy import seals
from proxy.clocks import wall
from proxy.database import Database
from proxy.receipts import Signer, load_signing_key

url, folder, stage = sys.argv[1:]
key, _ = load_signing_key(Path(folder) / "signing.pem")
database = Database(url, wall)
database.start()
signed = 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def sign(payload):
    global signed
    signed += 1
    if stage == "signing" and signed == 3:
        die()
    return key.sign(payload)

def close(connection, plans):
    written = seals.close(connection, plans)
    if stage == "before the commit":
        die()
    return written

maker = seals.Seals(Signer(key, "test").kid, sign)
for _ in range(3):
    with database.read() as connection:
        plan = maker.plan(connection, until=1_000_000, now=1, most=4)
    assert database.write(close, plan)
    if stage == "after the commit":
        die()
"""


@pytest.mark.parametrize(
    ("stage", "closed"), [("signing", 2), ("before the commit", 0), ("after the commit", 1)]
)
def test_killed_while_sealing(
    register: Register, url: str, tmp_path: Path, stage: str, closed: int
) -> None:
    """The successor goes on where the last commit was."""
    register.intake.record_all([a_message(f"offer-{n}") for n in range(12)])
    key, _ = load_signing_key(tmp_path / "signing.pem")
    signer = Signer(key, "test")
    command = [sys.executable, "-c", _SEALER, url, str(tmp_path), stage]
    killed = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    assert Sealer(register.database, Seals(signer.kid, key.sign)).seal() == 12 - 4 * closed
    tally = audit.Tally()
    with register.database.snapshot() as connection:
        found = list(audit.verify(connection, Ledger(KEY)))
        assert found + list(audit.verify_blocks(connection, signer.public_keys(), tally)) == []
    assert tally == audit.Tally(blocks=closed + (closed < 3), sealed=12, newer=0)
