"""What most shops would write: call the insurer in the view, answer when it has answered."""

from bench.peers.upstream import insurer
from bench.peers.web import Decline, Web


def accept(decline: Decline) -> None:
    """Wait for the insurer; nothing is stored."""
    insurer().decline(decline["offer"])


def web() -> None:
    """Run the web process."""
    Web(lambda: accept).run()
