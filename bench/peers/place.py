"""Where a process of a peer stands: told by its environment, which bench/peers/peer.py writes."""

import os
from functools import cache
from pathlib import Path

from proxy.settings import Settings, load

SENDERS = 16  # threads that deliver


@cache
def settings() -> Settings:
    """Return the settings of the deployment that this process belongs to."""
    return load(Path(os.environ["PEER_CONFIG"]), {})


def database() -> str:
    """Return the URL of the peer's own database, as SQLAlchemy writes it."""
    return os.environ["PEER_DATABASE"]


def port() -> int:
    """Return the port to listen on."""
    return int(os.environ["PEER_PORT"])


def processes() -> int:
    """Return how many web processes to have."""
    return int(os.environ["PEER_PROCESSES"])
