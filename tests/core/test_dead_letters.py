"""Dead letters: what a person makes due again, and what nobody can."""

from proxy.choices import Choice
from tests.core.conftest import DELIVERED, REFUSED, TIMED_OUT, Register


def test_a_dead_letter_is_requeued_under_a_new_key(register: Register) -> None:
    """After a definite answer the old key would only replay it."""
    register.decline()
    register.attempt(REFUSED)

    assert register.dead_letters.requeue(register.find().id)
    assert register.claim_one().epoch == 2


def test_an_ambiguous_dead_letter_keeps_its_key(register: Register) -> None:
    """Under 47 h the insurer still knows it, so a repeat has no second effect."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(1_000)
    register.attempt(REFUSED)

    assert register.dead_letters.requeue(register.find().id)
    assert register.claim_one().epoch == 1


def test_only_a_dead_letter_can_be_requeued(register: Register) -> None:
    """A delivered one stays delivered."""
    register.decline()
    register.attempt(DELIVERED)

    assert not register.dead_letters.requeue(register.find().id)


def test_a_withdrawn_dead_letter_can_not_be_requeued(register: Register) -> None:
    """The customer accepted since."""
    register.decline()
    register.attempt(REFUSED)
    register.accept()

    assert register.find().choice is Choice.ACCEPTED
    assert not register.dead_letters.requeue(register.find().id)
