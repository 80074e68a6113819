"""Every bad input against the real server, on both engines: refused, and no harm done."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.attacks.cases import Moot, attack
from tests.attacks.mapping import MAPPED
from tests.attacks.target import Target

_FILE = Path(__file__).parents[1] / "vectors" / "bad_inputs.json"
_IDS = [case["id"] for case in json.loads(_FILE.read_text("utf-8"))["cases"]]
_ATTACKS = [(name, case) for name, case in MAPPED if not isinstance(case, Moot)]


def test_every_case_is_in_the_table_once() -> None:
    """No case of the file is left out, none is there twice, and none is invented."""
    assert Counter(name for name, _ in MAPPED) == Counter(_IDS)


def test_a_case_without_a_request_says_why() -> None:
    """What the product has no place for is said in a sentence."""
    reasons = [case.reason for _, case in MAPPED if isinstance(case, Moot)]

    assert all(reason.endswith(".") for reason in reasons)


@pytest.mark.parametrize("name", [name for name, _ in _ATTACKS])
def test_a_bad_input(target: Target, name: str) -> None:
    """Answered as the table says, and everything holds that holds after every attack."""
    attack(target, dict(_ATTACKS)[name])
