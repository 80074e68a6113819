"""What the dashboard needs of the process that it runs in."""

from dataclasses import dataclass

from proxy.conflicts import Conflicts
from proxy.database import Database
from proxy.dead_letters import DeadLetters
from proxy.erasure import Erasures
from proxy.receipts import Signer
from proxy.reload import Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Handed in whole; every view asks the settings and the register anew."""

    configuration: Configuration
    database: Database
    audit_key: bytes
    signer: Signer
    dead_letters: DeadLetters
    conflicts: Conflicts
    erasures: Erasures
