"""The panel's sentence for every state of an offer."""

from typing import Any

import pytest

from proxy.choices import Choice, Report
from proxy.demo.story import line_of, stations_of
from proxy.demo.witnesses import read


def a_record(**given: Any) -> dict[str, Any]:
    """A proxy's record of an offer that was declined and delivered, but for *given*."""
    return {"choice": "declined", "report": "delivered", "conflict": False, **given}


@pytest.mark.parametrize("conflict", [False, True])
@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("report", Report)
def test_every_state_has_a_sentence(choice: Choice, report: Report, *, conflict: bool) -> None:
    """No state that the register can name leaves the panel without words."""
    tone, sentence = line_of(a_record(choice=choice, report=report, conflict=conflict))

    assert tone in {"quiet", "moving", "done", "trouble"}
    assert sentence.endswith(".")


def test_no_answer_is_not_a_decline() -> None:
    """An offer that was only shown lights up no station but the page."""
    record = a_record(choice="undecided", report="none")

    assert line_of(record)[0] == "quiet"
    assert stations_of(record, []) == {"page": "moving", "proxy": "waiting", "insurer": "waiting"}


def test_a_refused_signature_is_said() -> None:
    """A report that waits because the insurer refused it does not look as if it were leaving."""
    entry = {"algorithm": "hmac-sha512", "verified": False, "why_not": "no", "status": 403}
    unnamed = dict.fromkeys(("api", "offer", "method", "path", "idempotency_key"), "x")
    refused = [read(unnamed | entry)]

    assert line_of(a_record(report="due"), refused)[0] == "trouble"
    assert stations_of(a_record(report="due"), refused)["insurer"] == "trouble"


def test_a_conflict_is_said_first() -> None:
    """Whatever the report, a conflict is what a person must know."""
    assert line_of(a_record(choice="accepted", conflict=True))[0] == "trouble"
