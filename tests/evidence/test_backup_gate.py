"""What becomes of the rows of a restored backup that may have been sent since it was made."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from proxy import backup
from proxy.choices import Report
from proxy.deliveries import story
from proxy.register import Offer
from tests.core.conftest import DELIVERED, HOUR, REPEATED, TIMED_OUT, Register
from tests.evidence.test_backup import faults, put_back, save


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Only SQLite is copied by us."""
    return f"sqlite:///{tmp_path / 'optout.db'}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "backups.db"


def last_fact(register: Register, row: int) -> tuple[str, str | None]:
    """Return kind and outcome of the newest fact of an offer."""
    with register.database.read() as connection:
        told = story(connection, row)
    assert told is not None
    return told[1][-1]["kind"], told[1][-1]["outcome"]


def due(register: Register) -> None:
    """Declined, and not sent when the backup is made."""
    register.decline()


def under_way(register: Register) -> None:
    """A request may be on the wire."""
    register.decline()
    register.claim_one()


def unanswered(register: Register) -> None:
    """An attempt an hour before got no answer."""
    register.decline()
    register.attempt(TIMED_OUT)
    register.clock.pass_ms(HOUR)
    register.accept("other")


SIDES = [
    pytest.param(due, 47 * HOUR - 1, Report.DUE, id="due-in-time"),
    pytest.param(due, 47 * HOUR, Report.DEAD, id="due-too-late"),
    pytest.param(under_way, 47 * HOUR - 1, Report.DUE, id="sending-in-time"),
    pytest.param(under_way, 47 * HOUR, Report.DEAD, id="sending-too-late"),
    pytest.param(unanswered, 46 * HOUR - 2, Report.DUE, id="unanswered-in-time"),
    pytest.param(unanswered, 46 * HOUR, Report.DEAD, id="unanswered-too-late"),
]


@pytest.mark.parametrize(("make", "later", "left"), SIDES)
def test_what_may_have_left_is_judged_by_its_age(
    register: Register, copy: Path, make: Callable[[Register], None], later: int, left: Report
) -> None:
    """On this side of 47 h it goes out again, on that side a person decides; each with a fact."""
    make(register)
    save(register, copy)
    before = register.find()
    register.clock.pass_ms(later)

    restored = put_back(register, copy)

    after = register.find()
    assert (after.report, after.epoch, after.facts) == (left, before.epoch, before.facts + 1)
    assert (restored.gated, restored.again) == (int(left is Report.DEAD), int(left is Report.DUE))
    assert faults(register.database) == []
    told = (
        ("delivery.gated", "ambiguous") if restored.gated else ("delivery.restored", before.outcome)
    )
    assert last_fact(register, after.id) == told


def test_a_young_row_is_sent_with_the_same_key_and_body(register: Register, copy: Path) -> None:
    """And the insurer's 409 says that it has it: no conflict, though we know of no attempt."""
    register.decline(metadata={"seat": "12A"})
    save(register, copy)
    sent = register.attempt(DELIVERED)
    register.clock.pass_ms(HOUR)

    put_back(register, copy)
    again = register.attempt(REPEATED)

    assert (again.epoch, again.body) == (sent.epoch, sent.body)
    assert (register.find().report, register.find().conflict) == (Report.DELIVERED, False)


def test_a_young_row_that_waits_on_becomes_old(register: Register, copy: Path) -> None:
    """The 47 h run from the backup, not from the restore."""
    register.decline()
    save(register, copy)
    register.clock.pass_ms(46 * HOUR)

    put_back(register, copy)
    register.clock.pass_ms(HOUR)

    assert register.claim().deliveries == []
    assert (register.find().report, register.find().outcome) == (Report.DEAD, "ambiguous")


def test_an_acceptance_after_the_restore_is_a_conflict(register: Register, copy: Path) -> None:
    """The decline may stand at the insurer."""
    register.decline()
    save(register, copy)

    put_back(register, copy)
    register.accept()

    assert register.find().conflicts == {"acceptance"}


def test_a_held_row_that_was_bought_meanwhile_is_not_sent_blindly(
    register: Register, copy: Path
) -> None:
    """It waits on, and the doubt with it."""
    register.clock.pass_ms(1)
    register.decline(upstream="purchase")
    save(register, copy)
    register.clock.pass_ms(48 * HOUR)

    put_back(register, copy)
    register.decline(upstream="purchase", choice=None, purchased=True, order="ORDER-1")

    assert register.claim().deliveries == []
    assert register.find(upstream="purchase").report is Report.DEAD


def test_what_is_over_is_left_alone(register: Register, copy: Path) -> None:
    """Neither a row nor a fact is touched."""
    register.decline()
    register.attempt(DELIVERED)
    save(register, copy)
    before = register.find()
    register.clock.pass_ms(90 * HOUR)

    restored = put_back(register, copy)

    assert (restored.gated, restored.again) == (0, 0)
    assert register.find() == before


def test_a_withdrawn_request_under_way_is_not_sent_again(register: Register, copy: Path) -> None:
    """The customer accepted while it was on the wire: a conflict, as at any start."""
    under_way(register)
    register.accept()
    save(register, copy)

    put_back(register, copy)

    found = register.find()
    assert found.report is Report.CANCELLED
    assert found.conflicts == {"acceptance"}
    assert faults(register.database) == []


@pytest.mark.parametrize("seed", range(20))
def test_no_waiting_row_loses_an_older_doubt(seed: int) -> None:
    """Whatever is due: it is dead if and only if the oldest doubt is 47 h old."""
    dice = Random(seed)
    since, now = dice.randrange(100 * HOUR), 100 * HOUR + dice.randrange(HOUR)
    unknown = dice.choice([None, dice.randrange(1, 100 * HOUR)])
    offer = Offer(id=1, partner="P", upstream="u", offer="o", report=Report.DUE, unknown_at=unknown)

    after = backup.doubt(offer, since, now)

    oldest = min(since, unknown or since)
    assert after.unknown_at == oldest
    assert (after.report is Report.DEAD) == (now - oldest >= 47 * HOUR)
