"""A token is its key's word or it is nothing."""

from proxy.errors import CODES
from tests.fuzz.mutants import ALIEN, GENUINE, RING, judge_mutants
from tests.tokens.tools import IAT


def test_what_is_mutated_is_good() -> None:
    """The mutants are nearly good: without a change each would be accepted."""
    assert [RING.check(token, IAT).partner for token in GENUINE] == ["ACME"] * len(GENUINE)


def test_20_000_mutants() -> None:
    """Changed, cut, mixed, spelt otherwise or signed by others: none is accepted."""
    tally = judge_mutants(20_000, seed=20260101)

    assert tally.accepted == []
    assert sum(tally.codes.values()) == tally.count == 20_000
    assert tally.codes.keys() <= CODES.keys()
    assert {"token_malformed", "token_bad_signature", "token_unknown_key"} <= tally.codes.keys()
    assert {"token_wrong_audience", "token_partner_mismatch"} <= tally.codes.keys()


def test_each_alien_is_refused() -> None:
    """Other keys, purposes, digests and deployments."""
    assert len(set(ALIEN) - set(GENUINE)) == len(ALIEN)
