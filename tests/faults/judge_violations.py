"""Ways to break the good run of `judge_sample.py`, each with the invariants that it breaks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.faults.judge_run import Record, Run
from tests.faults.judge_sample import BEGIN_MS

Break = Callable[[Run], object]


def _row(run: Run, offer: str) -> Record:
    return next(row for row in run.offers if row["offer"] == offer)


def _facts(run: Run, offer: str) -> list[Record]:
    return [fact for fact in run.facts if fact["offer_id"] == _row(run, offer)["id"]]


def _requests(run: Run, offer: str) -> list[Record]:
    return [request for request in run.requests if request["offer"] == offer]


def _call(run: Run, offer: str, number: int = 0) -> int:
    return [index for index, call in enumerate(run.calls) if call.said["offer"] == offer][number]


def _change(run: Run, offer: str, number: int = 0, **only: Any) -> None:
    index = _call(run, offer, number)
    run.calls[index] = replace(run.calls[index], **only)


def _answer(run: Run, offer: str, **only: Any) -> None:
    _change(run, offer, body=(run.calls[_call(run, offer)].body or {}) | only)


def _repeat(run: Run, offer: str, later_ms: int = 300, **only: Any) -> None:
    """The last attempt of *offer* is made once more."""
    request = _requests(run, offer)[-1]
    later = {name: request[name] + later_ms for name in ("received_at", "answered_at")}
    run.requests.append(request | {"number": 99, "effect": False} | later | only)


# -- V1 -------------------------------------------------------------------------------------------


def _gone(run: Run) -> None:
    """A decline that was acknowledged, and that nobody has heard of since."""
    row = _row(run, "dead")
    run.facts[:] = [fact for fact in run.facts if fact["offer_id"] != row["id"]]
    run.offers.remove(row)
    run.requests[:] = [one for one in run.requests if one["offer"] != "dead"]
    run.about["dead_shown"] = 0


def _swapped(run: Run) -> None:
    other = run.calls[_call(run, "kept")].body or {}
    _answer(run, "plain", receipt=other["receipt"])


def _reordered(run: Run) -> None:
    """The acceptance of `back` is recorded before the decline that was acknowledged first."""
    first, second = _facts(run, "back")[:2]
    for name in ("message", "said", "seq"):
        first[name], second[name] = second[name], first[name]


# -- V2, V3 ---------------------------------------------------------------------------------------


def _held(run: Run) -> None:
    for record in (_facts(run, "plain")[-1], _row(run, "plain")):
        record["report"] = "held"


def _unsaid(run: Run) -> None:
    """A fact under an id that no client has used; it changed nothing."""
    fact = _facts(run, "plain")[-1]
    older = {"kind": "choice.recorded", "message": "nobody's", "said": "declined", "seq": 1}
    fact |= older


def _unspoken(run: Run) -> None:
    """An offer in the register of which no client spoke."""
    row = _row(run, "kept") | {"id": 99, "offer": "nobody's", "choice": "undecided"}
    row |= {"message": None, "seq": 0, "facts": 1}
    fact = _facts(run, "kept")[0] | {"id": 99, "offer_id": 99, "kind": "offer.shown"}
    run.offers.append(row)
    run.facts.append(fact | {"message": None, "said": None, "choice": "undecided"})


def _refused(run: Run) -> None:
    """What is recorded was refused, and its client told so."""
    _change(run, "kept", status=400, code="invalid_request", body=None)


def _misdirected(run: Run) -> None:
    """The call about `plain` names an offer that was only accepted."""
    path = "/x/partners/LLODT/offers/kept/opt_out/"
    key = run.idempotency_key(("ACME", "tickets", "kept"), 1)
    request = _requests(run, "plain")[0]
    other = {"offer": "kept", "path": path, "idempotency_key": key, "effect": False, "number": 99}
    run.requests.append(request | other | {"status": 500, "fault": "status"})


# -- V4 -------------------------------------------------------------------------------------------


def _claimed(run: Run) -> None:
    """`back` is claimed between its acceptance and its second decline, and sent nowhere."""
    facts = _facts(run, "back")
    run.facts[:] = [fact for fact in run.facts if fact not in facts]
    claim = facts[1] | {"id": 99, "kind": "delivery.claimed", "message": None, "said": None}
    facts.insert(2, claim)
    for number, fact in enumerate(facts):
        fact["ordinal"] = number + 1
    _row_of(run, facts)["facts"] = len(facts)
    run.facts += facts


def _row_of(run: Run, facts: list[Record]) -> Record:
    return next(row for row in run.offers if row["id"] == facts[0]["offer_id"])


def _too_late(run: Run) -> None:
    """Epoch 1 of `back` was claimed, cancelled by the acceptance, and sent all the same."""
    facts = _facts(run, "back")
    answered = run.calls[_call(run, "back", 1)].answered_ms or 0
    facts[0] |= {"kind": "delivery.claimed"}  # stands for the decline and its claim at once
    key = run.idempotency_key(("ACME", "tickets", "back"), 1)
    times = {"received_at": answered + 20, "answered_at": answered + 30}
    request = _requests(run, "back")[0] | times | {"number": 99, "idempotency_key": key}
    run.requests.append(request | {"effect": False, "status": 500, "fault": "status"})


def _untold(run: Run) -> None:
    for record in (*_facts(run, "late"), _row(run, "late")):
        record["conflicts"] = ""


def _unclaimed(run: Run) -> None:
    for fact in _facts(run, "lost"):
        if fact["kind"] == "delivery.claimed":
            fact["kind"] = "delivery.released"


# -- V5, V7, V8, V9 -------------------------------------------------------------------------------


def _other_body(run: Run) -> None:
    """Two attempts of one epoch, each with a body that the client gave."""
    said = run.calls[_call(run, "lost")].said
    _change(run, "lost", said=said | {"body": '{"a":1}'})
    _requests(run, "lost")[1]["body"] = '{"a":1}'


def _twice(run: Run) -> None:
    row, fact = _row(run, "kept"), _facts(run, "kept")[0]
    run.facts.append(fact | {"id": 99, "ordinal": 2})
    row["facts"] = 2


def _hurried(run: Run) -> None:
    """Twelve calls in the tenth of a second before the answer that ended it."""
    for number in range(12):
        _repeat(run, "dead", -number - 1, number=100 + number, status=500, fault="status")


def _impatient(run: Run) -> None:
    """A 429 asks for 3 s of silence, and the other calls of the run come all the same."""
    _repeat(run, "plain", -5, status=429, fault="status")
    at = run.requests[-1]["answered_at"]
    run.about["faults"].append(
        {"name": "status", "group": "upstream", "from_ms": at - 100, "to_ms": at + 100}
        | {"status": 429, "retry_after": 3}
    )


def _leak(run: Run) -> None:
    run.about["leaks"].append({"file": "web.log", "canary": "key", "hits": 1})


def _stranger(run: Run) -> None:
    run.about["strangers"].append({"method": "GET", "credentials": ["x-api-key"]})


VIOLATIONS: dict[str, tuple[str, Break]] = {
    "an acknowledged decline is gone": ("V1", _gone),
    "recorded with another seq": ("V1 V3", lambda run: _facts(run, "kept")[0].update(seq=1)),
    "the register names another message": ("V1", lambda run: _row(run, "kept").update(message="x")),
    "the register holds another seq": ("V1", lambda run: _row(run, "kept").update(seq=1)),
    "the receipt is for another message": ("V1", _swapped),
    "the receipt has no signature": ("V1", lambda run: _answer(run, "kept", receipt="e30.e30")),
    "the answer is for another message": ("V1", lambda run: _answer(run, "kept", id="x")),
    "the answer tells another choice": ("V1", lambda run: _answer(run, "late", choice="accepted")),
    "what was said first is recorded later": ("V1", _reordered),
    "an order that nobody told": ("V1", lambda run: _row(run, "kept").update(order_reference="x")),
    "a decline stays held": ("V2", _held),
    "delivered, and the insurer knows nothing": (
        "V2",
        lambda run: _requests(run, "plain")[0].update(effect=False),
    ),
    "dead without a refusal": ("V2", lambda run: _requests(run, "dead")[0].update(status=500)),
    "a dead letter that nobody is shown": ("V2", lambda run: run.about.update(dead_shown=0)),
    "a message that nobody sent": ("V3", _unsaid),
    "an offer that nobody named": ("V3", _unspoken),
    "a refused message is in the register": ("V3", _refused),
    "a call about an offer that was accepted": ("V3 V4", _misdirected),
    "another path": ("V3", lambda run: _requests(run, "plain")[0].update(path="/x/buy")),
    "a body that nobody gave": ("V3", lambda run: _requests(run, "plain")[0].update(body="{1}")),
    "another partner": ("V3", lambda run: _requests(run, "plain")[0].update(partner="X")),
    "a purchase": ("V3", lambda run: run.about["bookings"].append("plain")),
    "claimed though accepted": ("V4", _claimed),
    "sent after the acceptance was answered": ("V4", _too_late),
    "accepted, reported, and nobody is told": ("V4", _untold),
    "sent under no claim": ("V4", _unclaimed),
    "another key": (
        "V5",
        lambda run: _repeat(run, "plain", -1, idempotency_key="x", status=500, fault="status"),
    ),
    "another body": ("V5", _other_body),
    "not verified": ("V5", lambda run: _requests(run, "plain")[0].update(verified=False)),
    "an old Date": (
        "V5",
        lambda run: _requests(run, "lost")[1]["headers"].update(
            date="Thu, 04 Nov 2021 18:07:11 GMT"
        ),
    ),
    "no Date": ("V5", lambda run: _requests(run, "lost")[1]["headers"].clear()),
    "sent again after a success": ("V6", lambda run: _repeat(run, "plain")),
    "sent again after a refusal": ("V6", lambda run: _repeat(run, "dead")),
    "two rows for one offer": ("V7", lambda run: run.offers.append(dict(_row(run, "kept")))),
    "a message recorded twice": ("V7", _twice),
    "a fact is missing": ("V8", lambda run: run.facts.remove(_facts(run, "lost")[2])),
    "a fact was altered": ("V8", lambda run: _facts(run, "lost")[2].update(sealed=False)),
    "the row's last fact is another": ("V8", lambda run: _row(run, "lost").update(digest="00")),
    "the row was altered": ("V8", lambda run: _row(run, "kept").update(epoch=2)),
    "too many calls in a second": ("V9", _hurried),
    "a call while the bucket is shut": ("V9", _impatient),
    "an answer off the list": ("V10", lambda run: _change(run, "bad", code="boom")),
    "an error of ours": ("V10", lambda run: _change(run, "bad", status=500)),
    "bad input is taken": ("V10", lambda run: _change(run, "bad", status=201)),
    "a late answer": ("V10", lambda run: _change(run, "bad", answered=BEGIN_MS / 1000 + 60)),
    "503 without Retry-After": ("V10", lambda run: _change(run, "plain", 2, retry_after=None)),
    "a secret in a log": ("V11", _leak),
    "a credential shown elsewhere": ("V11", _stranger),
    "nobody looked": ("V11", lambda run: run.about.update(searched=[])),
    "a claim is left": ("V12", lambda run: _row(run, "plain").update(claim="left")),
    "a bucket is left paused": ("V12", lambda run: run.buckets[0].update(paused_at=BEGIN_MS)),
    "files are left open": ("V12", lambda run: run.about["descriptors"].update(web=101)),
    "a process ended by itself": (
        "V12",
        lambda run: run.about["ended"].append({"process": "web", "status": 1}),
    ),
    "a process did not stop well": ("V12", lambda run: run.about["exits"].update(web=1)),
}
