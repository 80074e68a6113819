"""Mitigations taken away one at a time: the attack that each one stops is seen to succeed."""

import re
from pathlib import Path

import pytest

from tests.attacks import conditions
from tests.attacks.cases import Moot, attack
from tests.attacks.mapping import MAPPED
from tests.attacks.regressions import REGRESSIONS
from tests.attacks.target import Target
from tests.faults.planted import planted

_CASES = dict(MAPPED)


def test_every_category_has_its_regression() -> None:
    """One for each: none of the categories could pass whatever the product does."""
    categories = {name.partition("-")[0] for name in _CASES}

    assert sorted(one.case.partition("-")[0] for one in REGRESSIONS.values()) == sorted(categories)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_an_attack_is_seen_to_succeed(tmp_path: Path, name: str) -> None:
    """The package without the mitigation serves as ever, and fails the case that attacks it."""
    regression = REGRESSIONS[name]
    case = _CASES[regression.case]
    assert not isinstance(case, Moot)
    code = planted(tmp_path / "code", regression.edits)
    target = Target(tmp_path, "sqlite:///optout.db", code=code)
    try:
        if regression.case.startswith("UP-"):
            target.start_insurers()
        target.start_web()
        target.said()
        conditions.hold(target, conditions.standing(target))

        with pytest.raises(AssertionError, match=re.compile(regression.sign, re.DOTALL)):
            attack(target, case)
    finally:
        target.end()
