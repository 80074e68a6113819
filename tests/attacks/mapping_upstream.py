"""UP: answers of an insurer that refuses, babbles, breaks off or is not the insurer at all.

The page has been answered long before; what is judged is what becomes of the report.
"""

from typing import Any

from tests.acceptance.deployment import PATIENCE_S, until
from tests.attacks.cases import Case, Part
from tests.attacks.target import Target
from tests.attacks.wire import Answer
from tests.faults.register import attempts, read
from tests.upstream.raw_server import RawServer, reply

OPEN_SHOP = "https://open.example"


def decline(target: Target, offer: str) -> list[Answer]:
    """Return the answer to a page that declines *offer*."""
    (answer,) = target.hears(target.page(token=target.token(o=offer)), seconds=PATIENCE_S)
    assert answer.status == 202, answer
    return [answer]


def spoilt(outcome: str, report: str, fault: str, **rule: Any) -> Part:
    """Return the part that an attempt answered with *fault* ends as *outcome*, and *report*."""

    def part(target: Target) -> list[Answer]:
        offer = target.new_offer()
        target.fault(fault, match={"offer": offer}, times=1, **rule)
        heard = decline(target, offer)
        first = first_attempt(target, offer)
        assert (first["outcome"], first["report"]) == (outcome, report), first
        return heard

    return part


def first_attempt(target: Target, offer: str, partner: str = "ACME") -> dict[str, Any]:
    """Return the fact that tells how the first attempt for *offer* ended, once it has."""
    found: list[dict[str, Any]] = until(
        lambda: attempts(target, offer, partner), f"an attempt for {offer}"
    )
    return found[0]


def _redirected(target: Target) -> list[Answer]:
    """Another host is named in the place of an answer: it never hears of us."""
    heard = []
    with RawServer(reply(204)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            place = {"status": status, "location": f"{elsewhere.url}/x"}
            heard += spoilt("redirected", "dead", "redirect", **place)(target)
        assert elsewhere.connections == 0
    return heard


def begin_drip(target: Target) -> None:
    """Have an answer drip into a report; it takes the whole deadline, so it is begun early."""
    target.fault("drip_head", match={"offer": "drip"}, times=1)
    decline(target, "drip")


def _dripped(target: Target) -> list[Answer]:
    """Byte after byte, each in time for a timeout of its own: cut at the deadline all the same."""
    first = first_attempt(target, "drip")
    assert (first["outcome"], first["report"]) == ("timed_out", "due"), first
    return decline(target, target.new_offer())


def _repeated(target: Target) -> list[Answer]:
    """The answer is lost; a second attempt with the same key is answered 409: delivered."""
    offer = target.new_offer()
    target.fault("lost_answer", match={"offer": offer}, times=1)
    heard = decline(target, offer)
    _, second = until(lambda: attempts(target, offer)[1:] and attempts(target, offer), "the 409")
    assert (second["status"], second["report"]) == (409, "delivered"), second
    sent = target.received(offer)
    assert len({(one["idempotency_key"], one["body"]) for one in sent}) == 1
    assert sum(one["effect"] for one in sent) == 1
    return heard


def _unsaid(target: Target) -> list[Answer]:
    """What the insurer puts on its answer reaches neither the page nor the partner."""
    heard = spoilt("delivered", "delivered", "inject_headers")(target)
    offer = heard[0].json()["offer"]
    heard += target.hears(target.get(f"/v1/offers/{offer}", Authorization=target.bearer()))
    names = {name for answer in heard for name, _ in answer.headers}
    assert "set-cookie" not in names
    return heard


def _echoed(target: Target) -> list[Answer]:
    """A refusal that quotes our credentials: they are in no row, and in no line of the log."""
    heard = spoilt("refused", "dead", "echo_secrets", status=400)(target)
    (row,) = read(
        target, "SELECT outcome, status FROM offers WHERE offer = :o", o=heard[0].json()["offer"]
    )
    assert row == {"outcome": "refused", "status": 400}
    notes = [str(fact) for fact in read(target, "SELECT * FROM facts WHERE note IS NOT NULL")]
    assert not [note for note in notes if any(secret in note for secret in target.secrets)]
    return heard


def _declined_openly(target: Target, offer: str) -> list[Answer]:
    token = target.token(kid="open-1", p="OPEN", org=OPEN_SHOP, o=offer)
    request = target.page(token=token, headers={"Origin": OPEN_SHOP})
    heard = target.hears(request, seconds=PATIENCE_S)
    assert [answer.status for answer in heard] == [202], heard
    return heard


def _refreshed(target: Target) -> list[Answer]:
    """Eight reports find their access token expired: one new token, and one retry each."""
    offers = [target.new_offer() for _ in range(9)]
    heard = _declined_openly(target, offers[0])
    first_attempt(target, offers[0], "OPEN")
    target.calls()
    before = target.tokens_bought
    target.fault("expire_tokens", match={"offer": offers[1]}, times=1)
    for offer in offers[1:]:
        heard += _declined_openly(target, offer)
    last = [first_attempt(target, offer, "OPEN")["report"] for offer in offers]
    assert last == ["delivered"] * 9
    calls = [one for one in target.calls() if one["offer"] in offers[1:]]
    assert sum(one["effect"] for one in calls) == 8
    assert target.tokens_bought == before + 1
    return heard


CASES: dict[str, Case] = {
    "UP-01": _redirected,
    "UP-02": _dripped,
    "UP-04": spoilt("answer_too_large", "due", "endless", effect=False),
    "UP-05": (
        spoilt("answer_unreadable", "due", "big_header", effect=False),
        spoilt("answer_unreadable", "due", "big_header", bytes=10, count=500, effect=False),
        spoilt("answer_unreadable", "due", "garbage"),
    ),
    "UP-07": spoilt("unexpected_status", "dead", "bad_json"),
    "UP-08": _repeated,
    "UP-10": spoilt("answer_cut", "due", "truncated", effect=False),
    "UP-11": tuple(
        spoilt("upstream_unavailable", "due", "status", status=503, retry_after=text)
        for text in ("-5", "soon")
    ),
    "UP-13": _unsaid,
    "UP-14": _echoed,
    "UP-16": _refreshed,
}
