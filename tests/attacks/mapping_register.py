"""IDEM and SES: the same thing twice, another thing under the same name, and who may ask."""

from typing import Any

from tests.acceptance.deployment import PATIENCE_S, until
from tests.attacks.cases import Case, Part, refused, taken
from tests.attacks.mapping_tokens import respelt
from tests.attacks.mapping_upstream import decline, first_attempt
from tests.attacks.target import OTHER_SHOP, Target
from tests.attacks.wire import Answer
from tests.faults.register import read

_ANOTHER = '"sha256:' + "0" * 64 + '"'


def said(target: Target, request: bytes, **expected: object) -> Answer:
    """Return the answer to a good *request*; it says what is *expected*."""
    (answer,) = target.hears(request, seconds=PATIENCE_S)
    assert answer.status == 202, answer
    told = answer.json()
    assert {name: told[name] for name in expected} == expected, told
    return answer


def _one_report(target: Target, offer: str) -> None:
    """One row, and upstream has heard of it once."""
    (row,) = read(target, "SELECT facts FROM offers WHERE offer = :o", o=offer)
    assert row["facts"] >= 1
    assert first_attempt(target, offer)["report"] == "delivered"
    assert len(target.received(offer)) == 1


def _twice(target: Target) -> list[Answer]:
    """A message that comes again is the same message."""
    request = target.page()
    first = said(target, request, replayed=False)
    offer = first.json()["offer"]
    again = said(target, request, replayed=True)
    assert again.json()["receipt"] == first.json()["receipt"]
    (row,) = read(
        target,
        "SELECT count(*) AS facts FROM facts f JOIN offers o ON o.id = f.offer_id"
        " WHERE o.offer = :o AND f.source = 'page'",
        o=offer,
    )
    assert row["facts"] == 1
    _one_report(target, offer)
    return [first, again]


def _changed(target: Target) -> list[Answer]:
    """The id of a message stands for its content: nothing else may come under it."""
    offer = target.new_offer()
    same: dict[str, Any] = {"id": "0000000a-0000-4000-8000-00000000000a", "seq": "1000"}
    first = said(target, target.page(token=target.token(o=offer), **same), choice="declined")
    others: list[dict[str, Any]] = [
        {**same, "choice": "accepted"},
        {**same, "seq": "1001"},
        {**same, "purchased": "1", "order": "ORDER-1"},
    ]
    part = refused(
        "idempotency_key_reused",
        lambda t: (
            [t.page(token=t.token(o=offer), **other) for other in others]
            + [t.page(token=t.token(), **same)]
        ),
    )
    heard = part(target)
    (row,) = read(target, "SELECT choice, seq, purchased FROM offers WHERE offer = :o", o=offer)
    assert (row["choice"], row["seq"], bool(row["purchased"])) == ("declined", 1000, False)
    return [first, *heard]


def _two_tokens(target: Target) -> list[Answer]:
    """Two tokens for one offer are two ways to the one row."""
    offer = target.new_offer()
    heard = [said(target, target.page(token=target.token(o=offer))) for _ in range(2)]
    _one_report(target, offer)
    return heard


def _from_elsewhere(target: Target) -> list[Answer]:
    """A message that was good is not so from another page."""
    fields = target.fields()
    first = said(target, target.page(**fields))
    other, mine = {"Origin": OTHER_SHOP}, {"Origin": "https://www.shop.example"}
    heard = refused("origin_not_allowed", lambda t: t.page(headers=other, **fields))(target)
    heard += refused("origin_mismatch", lambda t: t.page(headers=mine, **fields))(target)
    return [first, *heard]


def _accepted_in_time(target: Target) -> list[Answer]:
    """An acceptance before the report is sent: it never is. This partner's settle for an hour."""
    token = target.token(kid="other-1", p="OTHER", org=OTHER_SHOP)
    pages = [
        target.page(token=token, headers={"Origin": OTHER_SHOP}, choice=choice, seq=seq)
        for choice, seq in (("declined", "1000"), ("accepted", "1001"))
    ]
    first = said(target, pages[0], report="due")
    last = said(target, pages[1], report="cancelled", conflict=False)
    assert target.received(first.json()["offer"]) == []
    return [first, last]


def _accepted_while_sending(target: Target) -> list[Answer]:
    """An acceptance while the report is under way: nobody says that it was in time."""
    offer = target.new_offer()
    target.fault("hang", match={"offer": offer}, times=1, seconds=1.0)
    heard = decline(target, offer)
    until(lambda: target.received(offer), "the report to leave")
    accepted = target.page(token=target.token(o=offer), choice="accepted")
    heard.append(said(target, accepted, report="sending", conflict=True))
    assert first_attempt(target, offer)["report"] == "delivered"
    assert len(target.received(offer)) == 1
    return heard


def _flood(target: Target) -> list[Answer]:
    """One token has its limit, and nobody else feels it."""
    flooding = target.token()

    def is_so() -> bool:
        (answer,) = target.hears(target.page(token=flooding), seconds=PATIENCE_S)
        assert answer.status in (202, 429), answer
        return answer.status == 429

    with target.changed(is_so, token="20/hour"):
        heard = refused(
            "rate_limited", lambda t: [t.page(token=flooding) for _ in range(20)], then=_patient
        )(target)
        other = target.token(kid="other-1", p="OTHER", org=OTHER_SHOP)
        good = [target.page(), target.page(token=other, headers={"Origin": OTHER_SHOP})]
        return heard + taken(lambda _: good)(target)


def _patient(_: Target, answer: Answer) -> None:
    wait = answer.header("retry-after")
    assert wait is not None
    assert 1 <= int(wait) <= 3600


def _of_another_token(target: Target) -> list[Answer]:
    """A token speaks for its own offer, whichever the form names; the other one stays as it was."""
    offer = target.new_offer()
    first = said(target, target.page(token=target.token(o=offer)))
    heard = refused("offer_mismatch", lambda t: t.page(offer=offer, choice="accepted"))(target)
    (row,) = read(target, "SELECT choice FROM offers WHERE offer = :o", o=offer)
    assert row["choice"] == "declined"
    return [first, *heard]


def _same_key(target: Target) -> list[Answer]:
    """An `Idempotency-Key` stands for one content: the same token again, or a refusal."""
    headers, offer = {"Idempotency-Key": "key-of-one-content"}, target.new_offer()
    first, again = taken(
        lambda t: [t.session(headers=headers, offer=offer) for _ in range(2)], status=201
    )(target)
    assert first.json()["token"] == again.json()["token"]
    other = refused("idempotency_key_reused", lambda t: t.session(headers=headers, offer="other-1"))
    return [first, again, *other(target)]


def _revoked(target: Target) -> list[Answer]:
    """A server key is taken out of the settings of the running process: it opens nothing."""
    make = refused(
        "server_key_invalid",
        lambda t: [t.session(partner="OTHER"), t.server(partner="OTHER")],
    )

    def is_so() -> bool:
        (answer,) = target.hears(target.session(partner="OTHER", origin=OTHER_SHOP))
        return answer.status == 401

    with target.changed(is_so, OTHER=_ANOTHER):
        return make(target)


def unknown_keys(*headers: str | None) -> Part:
    """Return the part that none of *headers* opens a call for servers."""
    return refused(
        "server_key_invalid",
        lambda t: [
            make(headers={"Authorization": header and header.format(key=t.bearer())})
            for header in headers
            for make in (t.session, t.server)
        ],
    )


CASES: dict[str, Case] = {
    "IDEM-01": _twice,
    "IDEM-02": _changed,
    "IDEM-04": _two_tokens,
    "IDEM-05": respelt("{same}", "{token}=", "{token}=="),
    "IDEM-07": _from_elsewhere,
    "IDEM-08": _accepted_in_time,
    "IDEM-10": _accepted_while_sending,
    "IDEM-11": _of_another_token,
    "IDEM-13": _flood,
    # A token proves the page, not the person: how soon a choice came is in its fact, as `said_at`.
    "IDEM-14": taken(lambda t: [t.page(token=t.token()) for _ in range(3)]),
    "IDEM-16": refused("token_claims_invalid", lambda t: t.page(token=t.token(o="A#frag"))),
    "SES-01": unknown_keys(None, "Bearer wrong", "Bearer osk_live_wrong", "{key}x", "Basic {key}"),
    "SES-02": refused(
        "browser_not_allowed",
        lambda t: [
            make(headers=headers)
            for headers in (
                {"Origin": "https://shop.example"},
                {"Sec-Fetch-Site": "same-origin"},
                {"Referer": "https://shop.example/"},
            )
            for make in (t.session, t.server)
        ],
    ),
    "SES-04": refused(
        "origin_not_allowed",
        lambda t: [t.session(origin=origin) for origin in ("https://evil.com", OTHER_SHOP)],
        status=422,
    ),
    "SES-05": _same_key,
    "SES-07": (
        refused(
            "invalid_request",
            lambda t: [t.session(ttl=ttl) for ttl in (10**9, 86_401, 59, 0, -1, True, "60", 60.0)],
        ),
        refused(
            "customer_invalid",
            lambda t: t.session(
                partner="OPEN",
                origin="https://open.example",
                customer={f"name{number}": "x" * 100 for number in range(90)},
            ),
        ),
    ),
    "SES-08": _revoked,
}
