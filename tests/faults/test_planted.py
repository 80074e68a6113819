"""Planted faults, one at a time, in runs made for them: the judge names what each one breaks.

The same run of the package as it is gives no finding, so it is the fault that is seen.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.faults.judge import broken, judge
from tests.faults.judge_run import Finding
from tests.faults.planted import Edit, planted
from tests.faults.shop_directed import Stage, directed


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


ACKNOWLEDGES_BEFORE_COMMIT: Sequence[Edit] = (
    (
        "database.py",
        "                    results[index] = answer\n",
        _lines(
            "                    results[index] = answer",
            "                    works[index].end(answer)",
            "            if any('record' in work.handler.__name__ for work in works):",
            "                time.sleep(0.5)  # before the commit: a kill can come in between",
        ),
    ),
    (
        "database.py",
        _lines(
            "        for work, result in zip(works, results, strict=True):",
            "            work.end(result)",
        ),
        "",
    ),
)
NEW_KEY_PER_ATTEMPT: Sequence[Edit] = (
    (
        "sender.py",
        "            epoch=delivery.epoch,\n",
        "            epoch=delivery.attempt * 7919,\n",
    ),
)
CANCELS_WHILE_SENDING: Sequence[Edit] = (
    (
        "register.py",
        "        case Report.HELD | Report.ABANDONED:\n",
        "        case Report.HELD | Report.ABANDONED | Report.SENDING:\n",
    ),
)
# Read plainly: whatever comes under a token that was used before is taken for a replay of it.
DEDUPLICATES_ON_TOKEN: Sequence[Edit] = (
    (
        "intake.py",
        "self._earlier.get((message.partner, message.id))",
        "self._earlier.get((message.partner, message.writer))",
    ),
    (
        "intake.py",
        _lines(
            "            if not earlier.is_same(message, offer):",
            '                return Problem("idempotency_key_reused")',
        ),
        "",
    ),
    (
        "intake.py",
        "wanted = standing | {(message.partner, message.id) for message in messages}",
        "wanted = {(message.partner, message.writer) for message in messages}",
    ),
    (
        "intake.py",
        "_PAIR = (facts.c.partner, facts.c.message)",
        "_PAIR = (facts.c.partner, facts.c.writer)",
    ),
    ("intake.py", '("partner", "message")', '("partner", "writer")'),
    ("intake.py", "(row.partner, row.message): _Earlier(", "(row.partner, row.writer): _Earlier("),
)
FOLLOWS_REDIRECTS: Sequence[Edit] = (
    ("exchange.py", "allow_redirects=False", "allow_redirects=True"),
    (
        "exchange.py",
        "    def get_redirect_target(self, _response: Response) -> None:\n",
        "    def _nobody_asks(self, _response: Response) -> None:\n",
    ),
)


def jti_of(offer: str) -> str:
    """Return the name of the only token of *offer*."""
    return offer.rjust(22, "-")


def killed_at_once(stage: Stage, offer: str) -> None:
    """A decline is acknowledged, and the proxy dies the moment that it is."""
    assert stage.say("declined", offer, jti=jti_of(offer)).acknowledged
    stage.kill()


def an_answer_is_lost(stage: Stage, offer: str) -> None:
    """The insurer has the decline, and its answer never arrives."""
    stage.fault("lost_answer", offer, times=1)
    assert stage.say("declined", offer, jti=jti_of(offer)).acknowledged
    stage.wait_for_calls(offer, 2)


def accepted_while_sending(stage: Stage, offer: str) -> None:
    """The customer accepts while the report is under way."""
    stage.fault("hang", offer, seconds=2.0, times=1)
    assert stage.say("declined", offer, jti=jti_of(offer)).acknowledged
    stage.wait_for_calls(offer, 1)
    assert stage.say("accepted", offer, jti=jti_of(offer)).acknowledged


def two_messages_under_one_token(stage: Stage, offer: str) -> None:
    """A page says one thing and then, with the same token, another; and repeats the first."""
    first = stage.say("accepted", offer, jti=jti_of(offer))
    assert first.acknowledged
    assert stage.say("declined", offer, jti=jti_of(offer)).acknowledged
    same = {name: first.said[name] for name in ("id", "seq")}
    assert stage.say("accepted", offer, jti=jti_of(offer), **same).acknowledged


def sent_elsewhere(stage: Stage, offer: str) -> None:
    """The insurer's answer is a redirect to somebody else."""
    stage.fault("redirect", offer, times=1, status=307, location=stage.stranger.url)
    assert stage.say("declined", offer, jti=jti_of(offer)).acknowledged
    stage.wait_for_calls(offer, 1)


Play = Callable[[Stage, str], None]
FAULTS: dict[str, tuple[Play, Sequence[Edit], set[str]]] = {
    "acknowledges before the commit": (killed_at_once, ACKNOWLEDGES_BEFORE_COMMIT, {"V1"}),
    "a new key for every attempt": (an_answer_is_lost, NEW_KEY_PER_ATTEMPT, {"V2", "V5"}),
    "cancels while sending": (accepted_while_sending, CANCELS_WHILE_SENDING, {"V4"}),
    "deduplicates on the token": (two_messages_under_one_token, DEDUPLICATES_ON_TOKEN, {"V1"}),
    "follows redirects": (sent_elsewhere, FOLLOWS_REDIRECTS, {"V2", "V11"}),
}


def played(folder: Path, plays: Iterable[Play], code: Path | None = None) -> list[Finding]:
    """Return what the judge finds in a run of *plays*, each about an offer of its own."""
    with directed(folder, code) as stage:
        for number, play in enumerate(plays):
            play(stage, f"directed-{number}")
    return judge(stage.run)


def test_the_package_as_it_is_breaks_nothing(tmp_path: Path) -> None:
    """All these plays, one after the other, without a fault in the package: no finding."""
    assert played(tmp_path / "run", [play for play, _, _ in FAULTS.values()]) == []


@pytest.mark.parametrize("name", FAULTS)
def test_the_judge_sees_a_planted_fault(tmp_path: Path, name: str) -> None:
    """Each fault is found under the invariants that it breaks, and under no other."""
    play, edits, invariants = FAULTS[name]
    code = planted(tmp_path / "code", edits)

    found = played(tmp_path / "run", [play], code)

    assert broken(found) == invariants, found
