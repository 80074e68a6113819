"""Nothing that anybody says can change where a signed report goes."""

from tests.fuzz.stand_in import Said, StandIn
from tests.fuzz.steering import Steering

TRIALS = 1_500


def test_no_word_moves_a_signed_request() -> None:
    """Host, path, method and signature are the meant ones, or nothing leaves."""
    with StandIn(lambda _: Said(b"")) as insurer, StandIn(lambda _: Said(b"")) as bait:
        steering = Steering(insurer, bait)
        for number in range(TRIALS):
            try:
                steering.try_once(number)
            except BaseException as error:
                error.add_note(f"trial {number}")
                raise

    # Both sides of the rule were seen: what is good goes out, what is not stays.
    assert TRIALS / 4 < steering.sent < TRIALS
    assert TRIALS / 4 < steering.recorded < TRIALS
