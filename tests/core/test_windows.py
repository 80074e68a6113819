"""Windows: an insurer that hangs keeps few senders, and what works is never in its way."""

import pytest

from proxy.choices import Kind
from proxy.windows import LEAST, Windows

HANGS = ("ACME", "hangs")
SENDERS = 32


def _failing(*upstreams: str) -> Windows:
    windows = Windows(SENDERS)
    for upstream in upstreams:
        for _ in range(10):
            windows.learn(("ACME", upstream), Kind.TRANSIENT)
    return windows


def test_a_new_upstream_has_no_limit_of_its_own() -> None:
    """What has not failed is not held back."""
    assert HANGS not in Windows(SENDERS).sizes({})


def test_each_failure_halves_and_each_answer_widens() -> None:
    """Down fast, up again while it answers."""
    windows = Windows(SENDERS)
    windows.learn(HANGS, Kind.TRANSIENT)
    windows.learn(HANGS, Kind.TRANSIENT)
    windows.learn(HANGS, Kind.DELIVERED)

    assert windows.sizes({})[HANGS] == SENDERS // 4 + 1


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TRANSIENT])
def test_any_answer_counts(kind: Kind) -> None:
    """A refusal is an answer too: the insurer does not hang."""
    windows = _failing("hangs")
    windows.learn(HANGS, kind)

    assert windows.sizes({})[HANGS] == LEAST + 1


def test_one_sender_goes_on_asking() -> None:
    """Half of it is none, which would be for good."""
    windows = Windows(1)
    windows.learn(HANGS, Kind.TRANSIENT)

    assert windows.sizes({})[HANGS] == 1


def test_a_failing_upstream_is_still_asked() -> None:
    """By more than one offer, since one alone may be what hangs."""
    assert _failing("hangs").sizes({})[HANGS] == LEAST > 1


def test_many_that_fail_share_half_of_the_senders() -> None:
    """Sixty insurers that hang leave half of the senders to the others."""
    sizes = _failing(*(f"hangs-{number}" for number in range(60))).sizes({})

    assert sum(sizes.values()) == SENDERS // 2


def test_what_is_under_way_counts_for_their_half() -> None:
    """However long it stays under way."""
    windows = _failing(*(f"hangs-{number}" for number in range(60)))
    flying = {("ACME", f"hangs-{number}"): 1 for number in range(SENDERS // 2)}
    sizes = windows.sizes(flying)

    assert {pair for pair, size in sizes.items() if size} == set(flying)
    assert all(sizes[pair] == 1 for pair in flying)


def test_those_that_wait_longest_are_asked_first() -> None:
    """Each has its turn, or nobody would see that it is back."""
    windows = _failing(*(f"hangs-{number}" for number in range(60)))
    first = {pair for pair, size in windows.sizes({}).items() if size}
    for pair in first:
        windows.learn(pair, Kind.TRANSIENT)
    second = {pair for pair, size in windows.sizes({}).items() if size}

    assert first.isdisjoint(second)
