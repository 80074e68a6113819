"""A sender that tests may wait for."""

import pytest

from proxy.sender import Sender

AUDIENCE = "optout-proxy:test"


@pytest.fixture
def sender() -> Sender:
    """Return a sender with time enough for everything that does answer."""
    return Sender(audience=AUDIENCE, deadline=10)


@pytest.fixture
def hasty() -> Sender:
    """Return a sender that waits half a second in all."""
    return Sender(audience=AUDIENCE, deadline=0.5)
