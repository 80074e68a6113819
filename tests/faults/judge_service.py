"""V2, V10, V11, V12: everything arrives, callers are answered, nothing leaks, nothing is left."""

from collections.abc import Iterator

from tests.faults.judge_run import Finding, Key, Record, Run, short

_ENDS = frozenset({"delivered", "dead"})
_UNAVAILABLE = 503
_SERVER_ERRORS = 500
_PASSING = frozenset({401, 408, 423, 425, 429})  # statuses that do not end a report

# The codes that the intake may refuse with: the closed list of design section 6, with statuses.
CODES = {
    "body_too_large": 413,
    "browser_not_allowed": 403,
    "customer_invalid": 422,
    "customer_mismatch": 422,
    "customer_not_allowed": 422,
    "fetch_context_not_allowed": 403,
    "host_not_allowed": 400,
    "idempotency_key_reused": 422,
    "invalid_json": 400,
    "invalid_request": 400,
    "length_required": 411,
    "method_not_allowed": 405,
    "not_found": 404,
    "offer_mismatch": 403,
    "origin_mismatch": 403,
    "origin_missing": 403,
    "origin_not_allowed": 403,
    "pan_detected": 422,
    "partner_disabled": 403,
    "rate_limited": 429,
    "request_in_progress": 409,
    "request_timeout": 408,
    "server_key_invalid": 401,
    "token_bad_signature": 401,
    "token_claims_invalid": 401,
    "token_expired": 401,
    "token_malformed": 401,
    "token_missing": 401,
    "token_not_yet_valid": 401,
    "token_offers_exhausted": 403,
    "token_partner_mismatch": 401,
    "token_unknown_key": 401,
    "token_wrong_audience": 401,
    "unsupported_content_encoding": 415,
    "unsupported_media_type": 415,
}


def reported(run: Run) -> Iterator[Finding]:
    """V2: every decline that stands is delivered, as the insurer confirms, or visibly dead."""
    for key, row in run.rows.items():
        if row["choice"] == "declined" and not _may_rest(run, key, row):
            yield Finding("V2", short(key), f"declined, and its report is {row['report']}")
        requests = run.attempts.get(key, [])
        ours = [one for one in requests if run.epoch_of(key, one) == row["epoch"]]
        if row["report"] == "delivered" and not any(one["effect"] for one in ours):
            yield Finding("V2", short(key), "delivered, and the insurer does not have it")
        if row["report"] == "dead" and not _is_refused(run.upstream(key)["success"], row, ours):
            yield Finding("V2", short(key), f"dead of {row['outcome']}, and nothing refused it")
    dead = sum(row["report"] == "dead" for row in run.offers)
    if run.about["dead_shown"] != dead:
        text = f"{dead} dead letters, {run.about['dead_shown']} of them shown"
        yield Finding("V2", "dead letters", text)


def _may_rest(run: Run, key: Key, row: Record) -> bool:
    if row["report"] in _ENDS:
        return True
    if row["report"] == "none":  # declined after it was accepted and bought: a person must look
        return "purchase" in row["conflicts"].split()
    waits = run.upstream(key)["report_on"] == "purchase" and not row["purchased"]
    return waits and row["report"] in ("held", "abandoned")


def _is_refused(success: list[int], row: Record, requests: list[Record]) -> bool:
    """A dead letter has a refusal on record; only what was tried too often or too long has none."""
    if row["outcome"] in ("ambiguous", "poison"):
        return True
    statuses = {one["status"] for one in requests} - {None, *success, *_PASSING}
    return any(status < _SERVER_ERRORS for status in statuses)


def answered(run: Run) -> Iterator[Finding]:
    """V10: the intake says yes, no for a reason on the list, or come back later; and soon."""
    for call in run.calls:
        about = f"{call.kind} of {call.who} at {call.sent:.3f}"
        if call.status is None or call.answered is None:
            continue
        if (call.answered - call.sent) * 1000 > run.bound("answer_ms"):
            yield Finding("V10", about, f"answered after {call.answered - call.sent:.1f} s")
        if call.status == _UNAVAILABLE:
            if not call.retry_after:
                yield Finding("V10", about, "503 without Retry-After")
        elif call.status // 100 != 2 and CODES.get(call.code or "") != call.status:
            yield Finding("V10", about, f"answered {call.status} {call.code}")
        elif call.kind == "bad" and call.status // 100 == 2:
            yield Finding("V10", about, "bad input was accepted")


def discreet(run: Run) -> Iterator[Finding]:
    """V11: no canary in any output, and no stranger was shown a credential."""
    for leak in run.about["leaks"]:
        yield Finding("V11", leak["file"], f"holds the {leak['canary']}, {leak['hits']} times")
    for stranger in run.about["strangers"]:
        text = (
            f"received {stranger['method']} with {', '.join(stranger['credentials']) or 'nothing'}"
        )
        yield Finding("V11", "another host", text)
    if not run.about["searched"]:
        yield Finding("V11", "outputs", "nothing was searched for canaries")


def recovered(run: Run) -> Iterator[Finding]:
    """V12: after healing nothing waits, nothing is claimed, nothing is shut, nothing leaks."""
    for key, row in run.rows.items():
        if row["report"] in ("due", "sending"):
            yield Finding("V12", short(key), f"is left {row['report']}")
        elif row["claim"] is not None:
            yield Finding("V12", short(key), f"is left with a claim, {row['report']}")
    for bucket in run.buckets:
        if bucket["paused_at"] is not None:
            yield Finding("V12", bucket["bucket"], f"is left paused: {bucket['reason']}")
    yield from _processes(run)


def _processes(run: Run) -> Iterator[Finding]:
    """What was asked to stop did, in time; nothing else ended; files are given back."""
    for fault in run.about["faults"]:
        if "exit" in fault and not _ended_well(run, fault):
            text = f"asked to stop it ended with {fault['exit']} after {fault['seconds']} s"
            yield Finding("V12", fault["target"], text)
    for one in run.about["ended"]:
        yield Finding("V12", one["process"], f"ended by itself with {one['status']}")
    for name, status in run.about["exits"].items():
        if status != 0:
            yield Finding("V12", name, f"asked to stop at the end, ended with {status}")
    for name, count in run.about["descriptors"].items():
        if count > run.bound("descriptors"):
            yield Finding("V12", name, f"has {count} files open")


def _ended_well(run: Run, fault: Record) -> bool:
    return fault["exit"] == 0 and bool(fault["seconds"] * 1000 <= run.bound("exit_ms"))
