"""V4, V5, V6, V9: what reached the insurer was allowed to, looked right, and kept the pace."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import pairwise

from tests.faults.judge_run import Call, Finding, Key, Record, Run, short

_SILENT_AFTER = ("cancelled", "none")  # reports after which nothing may be sent
_TAMPERED = frozenset({"wrong_secret", "expire_tokens"})  # faults that make our proof worthless
_HORIZON_MS = 200  # how far ahead of its permit a row may be claimed
_SECOND_MS = 1000


def withdrawn(run: Run) -> Iterator[Finding]:
    """V4: nothing is claimed or sent after an acknowledged acceptance, or a person is told."""
    for key, row in run.rows.items():
        about = short(key)
        facts = run.history.get(row["id"], [])
        for earlier, fact in pairwise(facts):
            if fact["kind"] == "delivery.claimed" and earlier["choice"] != "declined":
                yield Finding("V4", about, f"claimed for sending though {earlier['choice']}")
        requests = run.attempts.get(key, [])
        heard = any(request["effect"] for request in requests)
        if row["choice"] == "accepted" and heard and not row["conflicts"]:
            yield Finding("V4", about, "accepted, the insurer heard a decline, no conflict is set")
        for call in run.calls_of.get(key, []):
            yield from (Finding("V4", about, what) for what in _after(run, call, requests))
        yield from (Finding("V4", about, what) for what in _unclaimed(run, key, facts))


def _after(run: Run, call: Call, requests: list[Record]) -> Iterator[str]:
    """What left although *call*, an acceptance, was told that nothing would."""
    body = call.body or {}
    if not call.acknowledged or call.said["choice"] != "accepted" or call.answered_ms is None:
        return
    if body["choice"] != "accepted" or body["report"] not in _SILENT_AFTER:
        return
    newer = [
        other.sent_ms
        for other in run.calls_of[call.key]
        if other.said["choice"] == "declined" and (other.answered or other.sent + 1e9) > call.sent
    ]
    until = min(newer, default=None)
    for request in requests:
        late = request["received_at"] > call.answered_ms + run.bound("clock_ms")
        if late and (until is None or request["received_at"] < until):
            yield f"call {request['number']} was made after the acceptance {call.id} was answered"


def _unclaimed(run: Run, key: Key, facts: list[Record]) -> Iterator[str]:
    """Every call belongs to a claim of its epoch, made before it, whose lease still ran."""
    claims: defaultdict[int, list[int]] = defaultdict(list)
    for fact in facts:
        if fact["kind"] == "delivery.claimed":
            claims[fact["epoch"]].append(fact["at"])
    slack = run.bound("clock_ms")
    most = run.about["lease_ms"] + _HORIZON_MS + slack
    for request in run.attempts.get(key, []):
        epoch = run.epoch_of(key, request)
        times = claims.get(epoch, []) if epoch else []
        after = [request["received_at"] - at for at in times]
        if epoch and not any(-slack <= passed <= most for passed in after):
            yield f"call {request['number']} was made under no claim"


def alike(run: Run) -> Iterator[Finding]:
    """V5: the attempts of one epoch carry one key and one body, each with a proof of its own."""
    for key, requests in run.attempts.items():
        bodies: defaultdict[int | None, set[str]] = defaultdict(set)
        for request in requests:
            epoch = run.epoch_of(key, request)
            bodies[epoch].add(request["body"])
            fault = "its key is of no epoch" if epoch is None else _proof_fault(run, key, request)
            if fault:
                yield Finding("V5", short(key), f"call {request['number']}: {fault}")
        for epoch, found in bodies.items():
            if len(found) > 1:
                yield Finding("V5", short(key), f"epoch {epoch} was sent with {len(found)} bodies")


def _proof_fault(run: Run, key: Key, request: Record) -> str:
    if request["verified"]:
        return _date_fault(run, key, request)
    if request["fault"] in _TAMPERED or _is_excused(run, request):
        return ""
    return f"it is not verified: {request['why_not']}"


def _is_excused(run: Run, request: Record) -> bool:
    """An access token that the insurer has just forgotten is refused once, and renewed."""
    began = request["received_at"] - run.bound("recovery_ms")
    return any(
        fault["name"] == "expire_tokens"
        and fault["from_ms"] <= request["received_at"]
        and fault["to_ms"] >= began
        for fault in run.about["faults"]
    )


def _date_fault(run: Run, key: Key, request: Record) -> str:
    if key[1] not in run.about["upstreams"] or run.upstream(key)["auth"] != "hmac":
        return ""
    try:
        sent = parsedate_to_datetime(request["headers"]["date"]).replace(tzinfo=UTC).timestamp()
    except (KeyError, ValueError):
        return "it has no Date"
    age = request["received_at"] - sent * 1000
    if -_SECOND_MS <= age <= run.bound("date_ms") + _SECOND_MS:
        return ""
    begin = int(sent * 1000)
    if age > 0 and run.is_disturbed(begin, request["received_at"]):  # frozen with it in hand
        return ""
    return f"its Date is {age / 1000:.1f} s old"


def ended(run: Run) -> Iterator[Finding]:
    """V6: after a definite answer there is no further attempt in that epoch."""
    for key, requests in run.attempts.items():
        facts = run.history.get(run.rows[key]["id"], []) if key in run.rows else []
        for request in requests:
            epoch = run.epoch_of(key, request)
            end = _end_of(facts, epoch, request["received_at"])
            if end is not None and request["received_at"] > end + run.bound("clock_ms"):
                text = f"call {request['number']} was made after epoch {epoch} had ended"
                yield Finding("V6", short(key), text)
        yield from (Finding("V6", short(key), what) for what in _again(run, key, requests))


def _end_of(facts: list[Record], epoch: int | None, by: int) -> int | None:
    """Return when *epoch* had been ended *by* that time, None while it was open."""
    end: int | None = None
    for fact in facts:
        if fact["epoch"] != epoch or fact["at"] > by:
            continue
        if fact["report"] in ("delivered", "dead"):
            end = fact["at"] if end is None else end
        else:
            end = None
    return end


def _again(run: Run, key: Key, requests: list[Record]) -> Iterator[str]:
    """What was sent again though its answer had come, and nothing had kept us from noting it."""
    if key[1] not in run.about["upstreams"]:
        return
    definite = definite_statuses(run.upstream(key))
    by_key: defaultdict[str | None, list[Record]] = defaultdict(list)
    for request in requests:
        by_key[request["idempotency_key"]].append(request)
    for attempts in by_key.values():
        for one, other in pairwise(attempts):
            if one["fault"] is not None or one["status"] not in definite:
                continue
            if not run.is_disturbed(one["received_at"], other["received_at"]):
                yield f"call {other['number']} came after the answer {one['status']}"


def definite_statuses(upstream: Record) -> set[int]:
    """Return the statuses after which there is nothing left to send."""
    return {*upstream["success"], 400, 404, 409, 410, 422}


def paced(run: Run) -> Iterator[Finding]:
    """V9: no half-open second holds more than rate + 1 calls, and `Retry-After` is respected."""
    for name, upstream in run.about["upstreams"].items():
        requests = [one for one in run.requests if one["api"] == upstream["api"]]
        times = sorted(request["received_at"] for request in requests)
        if upstream["rate"] > 0:
            yield from (Finding("V9", name, what) for what in _crowded(times, upstream["rate"]))
        yield from (Finding("V9", name, what) for what in _impatient(run, requests))


def _crowded(times: list[int], rate: float) -> Iterator[str]:
    first = 0
    worst, at = 0, 0
    for index, time in enumerate(times):
        while times[first] <= time - _SECOND_MS:
            first += 1
        if index - first + 1 > worst:
            worst, at = index - first + 1, times[first]
    if worst > int(rate) + 1:
        yield f"{worst} calls in the second from {at}, at {rate:g}/s"


def _impatient(run: Run, requests: list[Record]) -> Iterator[str]:
    """Calls on a bucket that a 429 had shut, one second of tolerance on either side."""
    for fault in run.about["faults"]:
        if fault.get("status") != 429 or not fault.get("retry_after"):
            continue
        for request in requests:
            answered = request["answered_at"]
            is_meant = request["fault"] == "status" and request["status"] == 429
            if not is_meant or not fault["from_ms"] <= answered <= fault["to_ms"]:
                continue
            begin = answered + _SECOND_MS
            end = answered + int(fault["retry_after"] * 1000) - _SECOND_MS
            if run.is_disturbed(answered - run.bound("recovery_ms"), end):
                continue
            early = [one["number"] for one in requests if begin < one["received_at"] < end]
            if early:
                yield f"calls {early[:5]} came while 429 had shut the bucket"
