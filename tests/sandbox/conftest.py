"""A running sandbox for every test that asks for one."""

from collections.abc import Iterator

import pytest

from proxy.sandbox.serve import Sandbox
from tests.sandbox.caller import Caller, calling


@pytest.fixture
def caller() -> Iterator[Caller]:
    """A caller of a fresh sandbox with random credentials."""
    with calling(Sandbox()) as one:
        yield one


@pytest.fixture
def sandbox(caller: Caller) -> Sandbox:
    """The sandbox that `caller` calls."""
    return caller.sandbox
