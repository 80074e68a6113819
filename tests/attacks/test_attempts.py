"""What else an attacker would try, on both engines: refused, and no harm done."""

import pytest

from tests.attacks import attempts_content, attempts_wire
from tests.attacks.cases import Moot, attack
from tests.attacks.target import Target

ATTEMPTS = attempts_wire.ATTEMPTS | attempts_content.ATTEMPTS


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt(target: Target, name: str) -> None:
    """Answered as the table says, and everything holds that holds after every attack."""
    case = ATTEMPTS[name]
    assert not isinstance(case, Moot)
    attack(target, case)
