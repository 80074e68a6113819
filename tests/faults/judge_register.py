"""V1, V3, V7, V8: the register holds what was acknowledged, all of it, once, and no more."""

from collections import Counter
from collections.abc import Iterator

from tests.faults.judge_model import Said, State, after
from tests.faults.judge_receipts import receipt_fault
from tests.faults.judge_run import Call, Finding, Key, Record, Run, short

_REGISTER = ("choice", "seq", "message", "purchased")


def kept(run: Run) -> Iterator[Finding]:
    """V1: every acknowledged message is there with its content, and the register follows."""
    for call in run.calls:
        if call.acknowledged:
            yield from (Finding("V1", call.id, what) for what in _lost(run, call))
    for key, row in run.rows.items():
        yield from (Finding("V1", short(key), what) for what in _astray(run, row))
        yield from (Finding("V1", short(key), what) for what in _misordered(run, row))


def _astray(run: Run, row: Record) -> Iterator[str]:
    """What differs from the model, after any of the messages and in the end."""
    states = _states(run, row)
    for fact, state in zip(_messages(run, row), states, strict=True):
        if fact["choice"] != state.choice:
            yield f"{fact['choice']} after message {fact['message']}, not {state.choice}"
    final = states[-1] if states else State()
    for name in _REGISTER:
        if row[name] != getattr(final, name):
            yield f"{name} is {row[name]!r}, not {getattr(final, name)!r}"
    if row["order_reference"] != final.order:
        yield "the order is not the first one that was told"


def _lost(run: Run, call: Call) -> Iterator[str]:
    body = call.body or {}
    if (body.get("id"), body.get("offer")) != (call.id, call.said["offer"]):
        yield "the acknowledgement is for another message"
    facts = run.recorded.get((call.said["partner"], call.id), [])
    if not facts:
        yield "acknowledged and not recorded"
        return
    fact = facts[0]
    yield from _differences(run, call, fact)
    if not body.get("replayed") and body.get("choice") != fact["choice"]:
        yield f"answered {body.get('choice')}, recorded as {fact['choice']}"
    if fault := receipt_fault(run.about, call, fact):
        yield fault


def _differences(run: Run, call: Call, fact: Record) -> Iterator[str]:
    row = run.rows.get(call.key)
    if row is None or row["id"] != fact["offer_id"]:
        yield "recorded for another offer"
    said = call.said
    found = (fact["said"], fact["seq"], bool(fact["purchased"]))
    if found != (said["choice"], said["seq"], said["purchased"]):
        yield f"recorded as {found}"


def _messages(run: Run, row: Record) -> list[Record]:
    """Return the facts that record a message of *row* which a client knows of."""
    facts = run.history.get(row["id"], [])
    return [fact for fact in facts if fact["message"] in run.told]


def _states(run: Run, row: Record) -> list[State]:
    return after(
        Said(
            id=call.id,
            choice=call.said["choice"],
            seq=call.said["seq"],
            writer=call.writer,
            at=fact["at"],
            purchased=call.said["purchased"],
            order=call.said["order"],
        )
        for fact in _messages(run, row)
        for call in (_first(run, fact),)
    )


def _first(run: Run, fact: Record) -> Call:
    """Return the call that *fact* records: a later one with its id is a replay."""
    calls = run.told[fact["message"]]
    possible = [call for call in calls if call.may_have_happened and call.writer == fact["writer"]]
    return min(possible or calls, key=lambda call: call.sent)


def _misordered(run: Run, row: Record) -> Iterator[str]:
    """What was acknowledged before another message was sent is recorded before it."""
    latest_sent = float("-inf")
    for fact in _messages(run, row):
        calls = [call for call in run.told[fact["message"]] if call.may_have_happened]
        answered = [call.answered for call in calls if call.acknowledged and call.answered]
        if answered and min(answered) < latest_sent:
            yield f"message {fact['message']} was acknowledged first and is recorded later"
        latest_sent = max(latest_sent, min((call.sent for call in calls), default=latest_sent))


def invented(run: Run) -> Iterator[Finding]:
    """V3: every fact, row and upstream call comes from a client's call that was not refused."""
    for fact in run.facts:
        yield from (Finding("V3", fact["message"], what) for what in _unsaid(run, fact))
    for key in run.rows.keys() - run.calls_of.keys():
        yield Finding("V3", short(key), "in the register, and no client spoke of it")
    for key, requests in run.attempts.items():
        yield from (Finding("V3", short(key), what) for what in _unasked(run, key, requests))
    for booking in run.about["bookings"]:
        yield Finding("V3", str(booking), "a decline became a purchase")


def _unsaid(run: Run, fact: Record) -> Iterator[str]:
    if fact["message"] is None:
        return
    calls = [call for call in run.told.get(fact["message"], []) if call.may_have_happened]
    if not calls:
        yield "recorded, and no client sent it without being refused"
    elif not any(_is_as_said(call, fact) for call in calls):
        yield "recorded with content that no client sent"


def _is_as_said(call: Call, fact: Record) -> bool:
    said = call.said
    sent = (said["choice"], said["seq"], said["purchased"], said["partner"])
    return sent == (fact["said"], fact["seq"], bool(fact["purchased"]), fact["partner"])


def _unasked(run: Run, key: Key, requests: list[Record]) -> Iterator[str]:
    if key[1] not in run.about["upstreams"]:
        yield "a call that no upstream is configured for"
        return
    upstream = run.upstream(key)
    path = upstream["path"].format(partner_code=upstream["partner_code"], offer=key[2])
    calls = run.calls_of.get(key, [])
    declines = [call.sent_ms for call in calls if call.said["choice"] == "declined"]
    bodies = {"{}"} | {call.said["body"] for call in calls if call.said.get("body")}
    slack = run.bound("clock_ms")
    for request in requests:
        if not declines or request["received_at"] < min(declines) - slack:
            yield f"call {request['number']} reports what no client declined"
        if (request["method"], request["path"]) != ("POST", path):
            yield f"call {request['number']} is {request['method']} {request['path']}"
        if request["partner"] != upstream["partner_code"]:
            yield f"call {request['number']} is for another partner"
        if request["body"] not in bodies:
            yield f"call {request['number']} has a body that nobody gave"


def single(run: Run) -> Iterator[Finding]:
    """V7: at most one row per offer, and one fact per message."""
    rows = Counter((row["partner"], row["upstream"], row["offer"]) for row in run.offers)
    for key, count in rows.items():
        if count > 1:
            yield Finding("V7", short(key), f"{count} rows")
    for (_, message), facts in run.recorded.items():
        if len(facts) > 1:
            yield Finding("V7", message, f"recorded {len(facts)} times")


def gapless(run: Run) -> Iterator[Finding]:
    """V8: the facts of an offer are numbered from 1, sealed, and end in what the row says."""
    for row in run.offers:
        facts = run.history.get(row["id"], [])
        about = short((row["partner"], row["upstream"], row["offer"]))
        if [fact["ordinal"] for fact in facts] != list(range(1, row["facts"] + 1)) or not facts:
            yield Finding("V8", about, f"{row['facts']} facts counted, {len(facts)} found")
            continue
        last = facts[-1]
        if last["digest"] != row["digest"]:
            yield Finding("V8", about, "the row names another fact as its last")
        for name in ("choice", "report", "epoch", "conflicts"):
            if last[name] != row[name]:
                text = f"its last fact says {name} {last[name]}, the row {row[name]}"
                yield Finding("V8", about, text)
    for fact in run.facts:
        if not fact["sealed"]:
            yield Finding("V8", f"fact {fact['id']}", "its digest does not fit its content")
